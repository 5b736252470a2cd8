"""The errors of the workbench: one flat type per boundary, each says what, where and what to do.

A failure that belongs to a run is data, not a crash: :func:`classify` turns any exception into a :class:`Failure`
whose ``kind`` is stored with the run, so that infrastructure failures never count as capability failures.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel

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
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(WorkbenchError):
    """The caller asked for something that cannot be: a bad option, an unknown name."""

    kind = "user"


class AgentError(WorkbenchError):
    """The agent's own code failed, as opposed to what the model wrote."""

    kind = "agent"


class SandboxError(WorkbenchError):
    """A kernel or its walls could not be made, or died for a reason that is not the agent's."""

    kind = "sandbox"


class TaskError(WorkbenchError):
    """A task is missing, malformed, or cannot be staged here."""

    kind = "task"


class GraderError(WorkbenchError):
    """The grader crashed, timed out, or answered nonsense; never counted as a zero."""

    kind = "grader"


class StoreError(WorkbenchError):
    """The store cannot be opened or does not hold what was asked for."""

    kind = "user"


class Failure(BaseModel):
    """A failure as the record keeps it."""

    kind: Kind
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


def classify(error: BaseException) -> Failure:
    """Return the record of ``error``; anything that is not ours is a bug in the agent loop.

    Examples
    --------
    >>> classify(SandboxError("bubblewrap is not installed")).kind
    'sandbox'
    >>> classify(ZeroDivisionError("division by zero")).message
    'ZeroDivisionError: division by zero'
    """
    if isinstance(error, WorkbenchError):
        return Failure(kind=error.kind, message=error.message, hint=error.hint)
    try:
        said = str(error)
    except Exception:
        said = "(what it says cannot be shown)"
    return Failure(kind="agent", message=f"{type(error).__name__}: {said}", hint="this is a bug in workbench or in the agent's own code")
