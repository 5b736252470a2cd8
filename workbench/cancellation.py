"""The cancellation of a task: distinguished from exceptions that only look like it, and delayed during cleanup."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from workbench.errors import Interrupted

T = TypeVar("T")


class Cancellation:
    """Detects whether the running task has been cancelled since this was created.

    A model, an agent or a listener may raise ``CancelledError`` or ``KeyboardInterrupt`` itself. That is its own
    failure, and ends nothing else.

    Examples
    --------
    >>> async def main():
    ...     cancellation = Cancellation()
    ...     asyncio.current_task().cancel()
    ...     try:
    ...         await asyncio.sleep(0)
    ...     except asyncio.CancelledError as error:
    ...         return cancellation.is_cause_of(error), cancellation.is_cause_of(SystemExit())
    >>> asyncio.run(main())
    (True, False)
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._before = task, task.cancelling()

    @property
    def requested(self) -> bool:
        """Whether the task was cancelled."""
        return self._task.cancelling() > self._before

    def check(self) -> None:
        """Raise ``CancelledError`` if the task was cancelled, in case other code has caught the first one."""
        if self.requested:
            raise asyncio.CancelledError

    def is_cause_of(self, error: BaseException) -> bool:
        """Say whether ``error`` is the cancellation of the task, or a Ctrl-C that was raised in this thread."""
        if isinstance(error, KeyboardInterrupt):
            return is_interrupt(error)
        return isinstance(error, asyncio.CancelledError) and self.requested


def is_interrupt(error: BaseException) -> bool:
    """Say whether ``error`` can be a real Ctrl-C: Python raises it only in the main thread, if there is no handler."""
    if threading.current_thread() is not threading.main_thread() or not isinstance(error, KeyboardInterrupt):
        return False
    return isinstance(error, Interrupted) or signal.getsignal(signal.SIGINT) is signal.default_int_handler


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of ``work``, which runs to its end; if the caller is cancelled, that is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()
