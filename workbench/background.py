"""The sync facade: one event loop on a thread of its own, so that a notebook and Ctrl-C stay responsive."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import select
import selectors
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from types import FrameType
from typing import Any, Generic, TypeVar

from workbench import interrupts
from workbench.errors import Interrupted
from workbench.listener import Listener

T = TypeVar("T")

_loop: asyncio.AbstractEventLoop | None = None
_selectors: list[selectors.BaseSelector] = []
"""One for each loop."""
_guard = threading.Lock()

_LAST_INTERRUPT = 3
"""From this interrupt on, the end of the work is not waited for."""
_PATIENCE_SECONDS = 5.0
"""How long the loop may take to notice an interrupt before it is abandoned, because some code blocks it."""


def loop() -> asyncio.AbstractEventLoop:
    """Return the background loop, started at first use."""
    global _loop
    with _guard:
        if _loop is None or _loop.is_closed():
            # a kernel dies with the thread that started it, so the thread must live as long as the process
            _selectors.append(selectors.DefaultSelector())
            started = asyncio.SelectorEventLoop(_selectors[-1])
            threading.Thread(target=_serve, args=[started], name="workbench", daemon=True).start()
            _loop = started
        return _loop


def _serve(served: asyncio.AbstractEventLoop) -> None:
    # until the end of the process, even if a model or an agent stops the loop it runs on
    while not served.is_closed():
        # asyncio raises these two out of the loop, in addition to passing them to the waiter of the task
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            served.run_forever()


def _give_up(held_up: asyncio.AbstractEventLoop) -> None:
    """Abandon the loop, so that the next work gets another one."""
    global _loop
    with _guard:
        if _loop is held_up:
            _loop = None


def _forked() -> None:
    """Reset the state in a fork of this process, which does not have the loop's thread."""
    global _loop, _guard
    if _loop is not None:
        # no warnings about tasks that will never continue
        _loop.set_exception_handler(lambda *_: None)
    for each in _selectors if hasattr(select, "epoll") else []:
        # both processes share one epoll instance, from which this one would remove the connections that it drops
        with select.epoll() as own:
            os.dup2(own.fileno(), each.fileno(), inheritable=False)  # type: ignore[attr-defined]
    _selectors.clear()
    _loop, _guard = None, threading.Lock()


os.register_at_fork(after_in_child=_forked)


class Calls:
    """Calls that background work wants to have made by the thread that waits for it, in order.

    A notebook shows output under the right cell only from the thread that runs the cell.
    """

    def __init__(self) -> None:
        # put is safe in a signal handler at any moment
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def later(self, function: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a function that has the waiting thread call the listener ``function`` with its argument."""
        listener = Listener(function)
        return lambda argument: self._waiting.put(lambda: listener(argument))

    def wake(self) -> None:
        """Have the waiting thread check the time."""
        self._waiting.put(lambda: None)

    def end(self) -> None:
        """Announce that there are no more calls."""
        self._waiting.put(None)

    def make(self, patience: Callable[[], float | None]) -> None:
        """Make the calls until the end is announced.

        Raises
        ------
        queue.Empty
            If there is no call for as many seconds as ``patience`` returns.
        """
        while (call := self._waiting.get(timeout=patience())) is not None:
            call()


def wait(work: Coroutine[Any, Any, T], calls: Calls | None = None) -> T:
    """Run ``work`` on the background loop and return its result, making its ``calls`` meanwhile.

    Ctrl-C cancels the work, once, and then waits for its end: an interrupted run still cleans up and keeps its record.
    A second Ctrl-C has no effect. A third one stops waiting. Waiting also stops if the loop does not notice the first
    one because some code blocks it.

    Raises
    ------
    Interrupted
        After Ctrl-C, however the work ended; with its result, if it has one.

    Examples
    --------
    >>> async def answer():
    ...     return 42
    >>> wait(answer())
    42
    """
    return _Waiting(work, calls or Calls()).result()


class _Waiting(Generic[T]):
    """Work on the background loop, and the thread that waits for it."""

    def __init__(self, work: Coroutine[Any, Any, T], calls: Calls) -> None:
        self._work, self._calls, self._loop = work, calls, loop()
        self._task: asyncio.Task[T] | None = None
        self._outcome: Future[T] = Future()
        self._interrupts, self._interrupted_at = 0, 0.0
        self._heard = False
        """Whether the loop has noticed the interrupt."""

    def result(self) -> T:
        with self._signals():
            self._wait()
        if not self._interrupts:
            return self._outcome.result()
        interrupts.end_script()
        error = self._outcome.exception()
        if error is None:
            raise Interrupted(self._outcome.result())
        raise Interrupted from (None if isinstance(error, asyncio.CancelledError) else error)

    def _wait(self) -> None:
        while True:
            try:
                self._loop.call_soon_threadsafe(self._start)
                return self._calls.make(self._patience)
            except Interrupted:
                raise
            except queue.Empty:
                _give_up(self._loop)
                raise Interrupted from None
            except KeyboardInterrupt:
                # from a signal handler that is not ours
                self._interrupt()
            except BaseException:
                self._interrupt()
                self._wait()
                raise

    def _start(self) -> None:
        if self._task is None:
            self._task = self._loop.create_task(self._work)
            self._task.add_done_callback(self._end)
            if self._interrupts:
                self._cancel()

    def _end(self, task: asyncio.Task[T]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self._outcome.set_result(task.result())
        else:
            self._outcome.set_exception(error)
        self._calls.end()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Handle Ctrl-C as a call, not as an exception that could be raised anywhere."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        replaced = {number: signal.getsignal(number) for number in interrupts.SIGNALS if interrupts.is_raised(number)}
        for number in replaced:
            signal.signal(number, self._interrupt)
        try:
            yield
        finally:
            for number, handler in replaced.items():
                signal.signal(number, handler)

    def _interrupt(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self._interrupts += 1
        if self._interrupts == 1:
            self._interrupted_at = time.monotonic()
            self._loop.call_soon_threadsafe(self._cancel)
            self._calls.wake()
        elif self._interrupts >= _LAST_INTERRUPT:
            raise Interrupted

    def _cancel(self) -> None:
        # if the work has not begun, it is cancelled when it does
        self._heard = True
        if self._task is not None:
            self._task.cancel()

    def _patience(self) -> float | None:
        if not self._interrupts or self._heard:
            return None
        return max(0.0, self._interrupted_at + _PATIENCE_SECONDS - time.monotonic())
