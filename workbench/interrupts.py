"""Interrupting a program that has nothing to clean up: it exits at once. Imports very little, to be ready early."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType, TracebackType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EXIT = 130
"""The exit code of a command that was interrupted."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Sent by Ctrl-C, by ``kill``, and by a terminal that is closed."""

_DOCUMENT = b'{"status": "interrupted", "error": {"kind": "user", "message": "the command was interrupted", "hint": ""}}\n'
_answered = False


def tell() -> None:
    """If ``--json`` was given, print the document of a command that was interrupted before it had printed one."""
    if "--json" in sys.argv and not _answered:
        try:  # noqa: SIM105 - contextlib is slow to import
            os.write(1, _DOCUMENT)
        except OSError:
            pass


def leave(_number: int = 0, _frame: FrameType | None = None) -> None:
    """Exit the process at once, as a signal handler: an exception raised during an import could be lost there."""
    tell()
    os._exit(EXIT)


def heed() -> None:
    """From now on exit at these signals, unless the process was started to ignore them."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


def answered() -> None:
    """Note that the command prints its document, so that an interrupt does not print another."""
    global _answered
    _answered = True


def end_script() -> None:
    """Give a script that ends with ``Interrupted`` the exit code of Ctrl-C; Python uses another for subclasses."""
    if not isinstance(sys.excepthook, _Hook):
        sys.excepthook = _Hook(sys.excepthook)


class _Hook:
    def __init__(self, previous: Callable[[type[BaseException], BaseException, TracebackType | None], object]) -> None:
        self._previous = previous

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self._previous(kind, error, trace)
        if issubclass(kind, KeyboardInterrupt):
            raise SystemExit(EXIT)


def is_raised(number: int) -> bool:
    """Say whether a signal interrupts this process, rather than being handled by the user's own code."""
    return signal.getsignal(number) in (signal.default_int_handler, leave)
