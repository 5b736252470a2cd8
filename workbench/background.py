"""The sync facade: one event loop on a thread of its own, so that a notebook stays responsive and Ctrl-C is heard."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_loop: asyncio.AbstractEventLoop | None = None
_guard = threading.Lock()


def loop() -> asyncio.AbstractEventLoop:
    """Return the background loop, started at first use."""
    global _loop
    with _guard:
        if _loop is None or _loop.is_closed():
            # a kernel dies with the thread that started it, so the thread must live as long as the process
            started = asyncio.new_event_loop()
            threading.Thread(target=started.run_forever, name="workbench", daemon=True).start()
            _loop = started
        return _loop


class Calls:
    """Calls that background work wants made by the thread that waits for it, in order.

    A notebook shows output under the right cell only from the thread that runs the cell.
    """

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def later(self, function: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a function that has ``function`` called with its argument by the waiting thread."""
        return lambda argument: self._waiting.put(lambda: function(argument))

    def end(self) -> None:
        """Say that no more calls come."""
        self._waiting.put(None)

    def make(self) -> None:
        """Make the calls until the end is said."""
        while (call := self._waiting.get()) is not None:
            call()


def wait(work: Coroutine[Any, Any, T], calls: Calls | None = None) -> T:
    """Run ``work`` on the background loop and return its result, making its ``calls`` meanwhile.

    Ctrl-C cancels the work, once, and then waits for what it returns or raises: a run that is interrupted still tidies
    up and keeps its record.

    Examples
    --------
    >>> async def answer():
    ...     return 42
    >>> wait(answer())
    42
    """
    calls = calls or Calls()
    running = loop()
    outcome: Future[T] = Future()
    tasks: list[asyncio.Task[T]] = []
    stopped = threading.Event()

    async def run() -> None:
        tasks.append(asyncio.ensure_future(work))
        if stopped.is_set():
            # the loop was busy when Ctrl-C was pressed, and this had not begun
            tasks[0].cancel()
        try:
            outcome.set_result(await tasks[0])
        except BaseException as error:
            # raised again where it is waited for
            outcome.set_exception(error)
        finally:
            calls.end()

    def stop() -> None:
        stopped.set()
        running.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])

    started = asyncio.run_coroutine_threadsafe(run(), running)
    try:
        calls.make()
        return outcome.result()
    except KeyboardInterrupt:
        stop()
        started.result()
        try:
            return outcome.result()
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
    except BaseException:
        # a call that fails must not leave the work running behind the caller's back
        stop()
        started.result()
        raise
