"""The sync facade: results, errors, calls on the right thread, and Ctrl-C."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from workbench import background
from workbench.background import Calls, wait


def interrupt(_: Any) -> None:
    raise KeyboardInterrupt


class TestWait:
    def test_returns_what_the_work_returns(self) -> None:
        async def work() -> int:
            await asyncio.sleep(0)
            return 42

        assert wait(work()) == 42

    def test_raises_what_the_work_raises(self) -> None:
        async def work() -> None:
            raise LookupError("nothing here")

        with pytest.raises(LookupError, match="nothing here"):
            wait(work())

    def test_works_within_a_running_loop(self) -> None:
        # as in a notebook's cell
        async def work() -> str:
            return threading.current_thread().name

        async def cell() -> str:
            return wait(work())

        assert asyncio.run(cell()) == "workbench"

    def test_is_for_many_threads_at_once(self) -> None:
        met = threading.Barrier(4, timeout=30)
        found: list[int] = []

        def ask(number: int) -> None:
            async def work() -> int:
                await asyncio.to_thread(met.wait)
                return number

            found.append(wait(work()))

        threads = [threading.Thread(target=ask, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [0, 1, 2, 3]

    def test_uses_one_loop(self) -> None:
        async def work() -> asyncio.AbstractEventLoop:
            return asyncio.get_running_loop()

        assert wait(work()) is wait(work()) is background.loop()

    def test_starts_another_loop_where_the_first_is_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        closed = asyncio.new_event_loop()
        closed.close()
        monkeypatch.setattr(background, "_loop", closed)
        other = background.loop()
        try:
            assert not other.is_closed()

            async def work() -> int:
                return 1

            assert wait(work()) == 1
        finally:
            other.call_soon_threadsafe(other.stop)


class TestCalls:
    def test_are_made_in_order_by_the_thread_that_waits(self) -> None:
        made: list[tuple[int, threading.Thread]] = []
        calls = Calls()
        call = calls.later(lambda number: made.append((number, threading.current_thread())))

        async def work() -> None:
            for number in range(5):
                call(number)
                await asyncio.sleep(0)

        wait(work(), calls)
        assert made == [(number, threading.current_thread()) for number in range(5)]

    def test_are_made_while_the_work_goes_on(self) -> None:
        calls, heard = Calls(), threading.Event()
        call = calls.later(lambda _: heard.set())

        async def work() -> bool:
            call(None)
            return await asyncio.to_thread(heard.wait, 30)

        assert wait(work(), calls) is True

    def test_are_all_made_where_the_work_fails(self) -> None:
        made: list[int] = []
        calls = Calls()
        call = calls.later(made.append)

        async def work() -> None:
            call(1)
            raise LookupError

        with pytest.raises(LookupError):
            wait(work(), calls)
        assert made == [1]

    def test_that_fail_stop_the_work_and_are_raised(self) -> None:
        calls, ended = Calls(), threading.Event()

        def fail(_: Any) -> None:
            raise ZeroDivisionError("by nought")

        call = calls.later(fail)

        async def work() -> None:
            call(None)
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        with pytest.raises(ZeroDivisionError, match="by nought"):
            wait(work(), calls)
        assert ended.is_set()


class TestInterrupt:
    def test_cancels_the_work_and_is_raised(self) -> None:
        calls, tidied = Calls(), threading.Event()
        call = calls.later(interrupt)

        async def work() -> None:
            call(None)
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                tidied.set()

        with pytest.raises(KeyboardInterrupt):
            wait(work(), calls)
        assert tidied.is_set()

    def test_returns_what_the_work_made_of_it(self) -> None:
        # a run that is interrupted has a result
        calls = Calls()
        call = calls.later(interrupt)

        async def work() -> str:
            call(None)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "interrupted"
            return "not reached"

        assert wait(work(), calls) == "interrupted"

    def test_raises_what_the_work_made_of_it(self) -> None:
        calls = Calls()
        call = calls.later(interrupt)

        async def work() -> None:
            call(None)
            try:
                await asyncio.Event().wait()
            finally:
                raise LookupError("while tidying up")

        with pytest.raises(LookupError, match="while tidying up"):
            wait(work(), calls)

    def test_before_the_work_has_begun_is_heard(self) -> None:
        # the loop is busy with somebody else's work, and only then comes to ours
        busy, go_on, told = threading.Event(), threading.Event(), threading.Event()

        def block() -> None:
            busy.set()
            go_on.wait(30)

        background.loop().call_soon_threadsafe(block)
        assert busy.wait(30)
        calls = Calls()
        calls.later(interrupt)(None)
        outcome: list[BaseException | None] = []
        free: list[asyncio.Event] = []

        async def work() -> None:
            free.append(asyncio.Event())
            await free[0].wait()

        def ask() -> None:
            try:
                outcome.append(wait(work(), calls))
            except BaseException as error:
                outcome.append(error)

        loop, asked = background.loop(), 0
        real = loop.call_soon_threadsafe

        def counted(*arguments: Any, **more: Any) -> Any:
            # the first call starts the work, the second stops it
            nonlocal asked
            handle = real(*arguments, **more)
            asked += 1
            if asked == 2:
                told.set()
            return handle

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        thread = threading.Thread(target=ask, daemon=True)
        try:
            thread.start()
            assert told.wait(30)
        finally:
            del loop.call_soon_threadsafe  # type: ignore[attr-defined]
            go_on.set()
        thread.join(5)
        heard = not thread.is_alive()
        if not heard:
            loop.call_soon_threadsafe(lambda: free[0].set())
            thread.join(30)
        assert heard
        assert isinstance(outcome[0], KeyboardInterrupt)
