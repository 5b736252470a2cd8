"""The interrupt of a program that has nothing to tidy up: it leaves at once. Imports next to nothing, so that it is there first."""

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
"""Ctrl-C, what ``kill`` sends, and what a terminal sends that is closed."""

_DOCUMENT = b'{"status": "interrupted", "error": {"kind": "user", "message": "the command was interrupted", "hint": ""}}\n'
_answered = False


def tell() -> None:
    """Print the document of a command that was interrupted before it had one, where ``--json`` asks for it."""
    if "--json" in sys.argv and not _answered:
        try:  # noqa: SIM105 - contextlib takes its time to import
            os.write(1, _DOCUMENT)
        except OSError:
            pass


def leave(_number: int = 0, _frame: FrameType | None = None) -> None:
    """Leave the process at once, as a signal handler: an exception could be raised within an import, and be lost there."""
    tell()
    os._exit(EXIT)


def heed() -> None:
    """Leave at these signals from now on, except where the process was started to ignore them."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


def answered() -> None:
    """Say that the command prints its document, so that an interrupt must not print another."""
    global _answered
    _answered = True


def has_answered() -> bool:
    """Say whether the command has printed its document."""
    return _answered


def end_script() -> None:
    """Have a script that an ``Interrupted`` ends exit with the code of one that Ctrl-C ends; Python gives subclasses another."""
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
    """Say whether a signal stops what this process does now, rather than being handled by code of somebody's own."""
    return signal.getsignal(number) in (signal.default_int_handler, leave)
