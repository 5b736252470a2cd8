"""Who asks a model, and can hear what happens before there is a reply."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar


class Caller:
    """Hears what happens while a model is asked; here it ignores all of it."""

    def noticed(self, message: str) -> None:
        """Hear what a waiting person should know at once, such as why the model is asked again."""

    def preparing(self) -> None:
        """Hear that workbench has work of its own to do before the request, which is not the model's time."""

    def sent(self) -> None:
        """Hear that a request is being sent."""


_caller: ContextVar[Caller | None] = ContextVar("_caller", default=None)


@contextlib.contextmanager
def calling(caller: Caller) -> Iterator[None]:
    """Let ``caller`` hear of the models that are asked inside the block.

    This is no part of the protocol of models: your own need not know it, and one that wraps another, such as
    :class:`workbench.models.cassette.Recorder`, has nothing to pass on.
    """
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)


def current_caller() -> Caller:
    """Return who asks."""
    return _caller.get() or Caller()
