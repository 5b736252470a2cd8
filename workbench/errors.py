"""The errors of the workbench: one flat type per boundary, each says what, where and what to do.

A failure that belongs to a run is data, not a crash: :func:`classify` turns any exception into a :class:`Failure`
whose ``kind`` is stored with the run, so that infrastructure failures never count as capability failures.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel

from workbench.text import shown, storable

Kind = Literal["model", "agent", "sandbox", "task", "grader", "limit", "user"]


class WorkbenchError(Exception):
    """What went wrong, and what to do about it.

    Parameters
    ----------
    message : str
        What went wrong and where, in one sentence.
    hint : str
        What the reader can do about it; empty where nothing is known.

    Examples
    --------
    >>> error = TaskError("no task is named 'refactoring/nope'", hint="workbench tasks list shows them all")
    >>> print(error)
    no task is named 'refactoring/nope' (workbench tasks list shows them all)
    >>> error.kind
    'task'
    """

    kind: ClassVar[Kind] = "user"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = str(message)
        self.hint = str(hint)

    def __str__(self) -> str:
        return shown(f"{self.message} ({self.hint})" if self.hint else self.message)


class UsageError(WorkbenchError):
    """The caller asked for something that cannot be: a bad option, an unknown name."""

    kind = "user"


class AgentError(WorkbenchError):
    """The agent's own code failed, as opposed to what the model wrote."""

    kind = "agent"


class SandboxError(WorkbenchError):
    """A kernel or its walls could not be made, or died for a reason that is not the agent's."""

    kind = "sandbox"


class HostError(WorkbenchError):
    """The machine ran out of something that a run needs: disk space, memory, file descriptors, processes."""

    kind = "sandbox"


class TaskError(WorkbenchError):
    """A task is missing, malformed, or cannot be staged here."""

    kind = "task"


class GraderError(WorkbenchError):
    """The grader crashed, timed out, or returned an invalid result; never counted as a zero."""

    kind = "grader"


class StoreError(WorkbenchError):
    """The store cannot be opened or does not hold what was asked for."""

    kind = "user"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a notebook's stop button, ended what workbench was doing; its outcome is recorded.

    It is a ``KeyboardInterrupt``, so it ends loops, queued cells and scripts as that would.

    Attributes
    ----------
    result : RunResult or None
        The result of the run, usually with status ``interrupted``. None if no run had begun, or its end was not waited
        for.
    """

    def __init__(self, result: Any = None) -> None:
        super().__init__(result)
        self.result = result

    def __str__(self) -> str:
        return "interrupted" if self.result is None else f"interrupted: {self.result}"

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook displays; a traceback into workbench would not help anybody."""
        return [f"KeyboardInterrupt: {self}"]


class Failure(BaseModel):
    """A failure as the record keeps it."""

    kind: Kind
    message: Annotated[str, AfterValidator(storable)]
    hint: Annotated[str, AfterValidator(storable)] = ""

    def __str__(self) -> str:
        return shown(f"{self.message} ({self.hint})" if self.hint else self.message)


def classify(error: BaseException) -> Failure:
    """Return the record of ``error``.

    A shortage on this machine is of kind ``sandbox``, wherever it was noticed. Any other exception that is not ours is
    a bug in the agent loop. Never raises, whatever code the class of ``error`` has.

    Examples
    --------
    >>> classify(SandboxError("bubblewrap is not installed")).kind
    'sandbox'
    >>> classify(ZeroDivisionError("division by zero")).message
    'ZeroDivisionError: division by zero'
    >>> classify(OSError(errno.ENOSPC, "No space left on device")).kind
    'sandbox'
    """
    try:
        return _classify(error)
    except BaseException:
        return Failure(kind="agent", message=described(error), hint=_BUG)


def _classify(error: BaseException) -> Failure:
    remedy = shortage(error)
    if isinstance(error, WorkbenchError):
        return Failure(kind="sandbox" if remedy else error.kind, message=error.message, hint=error.hint or remedy or "")
    message = described(error)
    if remedy:
        return Failure(kind="sandbox", message=message, hint=remedy)
    return Failure(kind="agent", message=message, hint=_BUG)


_BUG = "this is a bug in workbench or in the agent's own code"


def described(error: BaseException) -> str:
    """Return the type and message of an exception, even if its ``__str__`` fails.

    Examples
    --------
    >>> described(KeyError("x")), described(KeyError())
    ("KeyError: 'x'", 'KeyError')
    """
    said = _said(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


_DISK = "make room on the disk, or use another one"
_BROKEN_DISK = "check the disk and how it is mounted"
_MEMORY = "free memory on this machine, or run less at once"
_PROCESSES = "run less at once, or raise the limit on processes (ulimit -u)"
_REMEDIES = {
    errno.ENOSPC: _DISK,
    errno.EDQUOT: _DISK,
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EIO: _BROKEN_DISK,
    errno.EROFS: _BROKEN_DISK,
    errno.ESTALE: _BROKEN_DISK,
    errno.EMFILE: "run less at once, or raise the limit on open files (ulimit -n)",
    errno.ENFILE: "run less at once: this machine has no file descriptors left",
    errno.ENOLCK: "run less at once: this machine has no file locks left",
    errno.ENOMEM: _MEMORY,
    errno.ENOBUFS: _MEMORY,
    errno.EAGAIN: _PROCESSES,
}
"""What to do about each shortage that the operating system can report."""
_SAYINGS = {
    **{os.strerror(number): remedy for number, remedy in _REMEDIES.items() if number != errno.EAGAIN},
    "database or disk is full": _DISK,
    "out of memory": _MEMORY,
}
"""The same for errors that have no error number, by their text."""
_QUOTING = ("_duckdb", "duckdb", "pyarrow", "sqlite3", "subprocess")
"""Packages whose errors contain the operating system's message as text only."""


def shortage(error: BaseException) -> str | None:
    """Return what to do if ``error`` says, or was caused by, a shortage on this machine; otherwise None.

    Examples
    --------
    >>> shortage(OSError(errno.EMFILE, "Too many open files"))
    'run less at once, or raise the limit on open files (ulimit -n)'
    >>> shortage(FileNotFoundError(errno.ENOENT, "No such file or directory")) is None
    True
    """
    try:
        return next((remedy for each in _causes(error) if (remedy := _shortage(each))), None)
    except BaseException:
        # an exception's class may define __cause__ as code that fails
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error``, the errors that it groups, and the causes of all of them, each once."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop(0)
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            led = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
            waiting += [cause for cause in (*led, each.__cause__, each.__context__) if cause is not None]


def _shortage(error: BaseException) -> str | None:
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, OSError) and error.errno is not None:
        return _REMEDIES.get(error.errno)
    if type(error) is RuntimeError and _said(error) == "can't start new thread":
        return _PROCESSES
    if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in _QUOTING:
        return None
    said = f"{_said(error)} {getattr(error, 'stderr', None) or ''}".casefold()
    return next((remedy for saying, remedy in _SAYINGS.items() if saying.casefold() in said), None)


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "(what it says cannot be shown)"
