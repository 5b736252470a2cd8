"""Blocking functions, called from an event loop without making a cancelled caller wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class _Call:
    """A call in progress, with the programs it has started."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._abandoned = False
        self._programs: set[subprocess.Popen[str]] = set()

    @contextlib.contextmanager
    def holding(self, program: subprocess.Popen[str]) -> Iterator[None]:
        """Kill ``program`` if the call is or was abandoned."""
        with self._guard:
            self._programs.add(program)
            if self._abandoned:
                program.kill()
        try:
            yield
        finally:
            with self._guard:
                self._programs.discard(program)

    def abandon(self) -> None:
        with self._guard:
            self._abandoned = True
            for program in self._programs:
                program.kill()


_current: contextvars.ContextVar[_Call | None] = contextvars.ContextVar("_current", default=None)


async def call(function: Callable[..., T], *arguments: Any) -> T:
    """Return what ``function`` returns, called in a thread of its own.

    When the caller is cancelled, the call is abandoned: programs that it started with :func:`run` are killed, its
    result is ignored, and its thread, unlike one of ``asyncio.to_thread``, delays neither the caller nor the end of the
    process.

    Examples
    --------
    >>> asyncio.run(call(sum, [1, 2, 3]))
    6
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()
    this = _Call()

    def tell(value: T | None, error: BaseException | None) -> None:
        if not answer.done():
            answer.set_result((value, error))

    def work() -> None:
        _current.set(this)
        value, error = None, None
        try:
            value = function(*arguments)
        except BaseException as raised:
            # exceptions of any kind go to the caller, even those that would end threads and event loops
            error = raised
        # if the caller is gone, its loop may be closed
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, value, error)

    threading.Thread(target=contextvars.copy_context().run, args=[work], name="workbench-call", daemon=True).start()
    try:
        value, error = await answer
    except asyncio.CancelledError:
        this.abandon()
        raise
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    r"""Run a program as ``subprocess.run`` does, with its output captured as text; an abandoned :func:`call` kills it.

    Examples
    --------
    >>> run(["echo", "hello"]).stdout
    'hello\n'
    """
    this = _current.get()
    if this is None:
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as program, this.holding(program):
        output, errors = program.communicate()
    return subprocess.CompletedProcess(command, program.returncode, output, errors)
