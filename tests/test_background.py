"""The sync facade: results, errors, calls on the right thread, and Ctrl-C."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import threading
from typing import Any

import pytest

from workbench import background
from workbench.background import Calls, wait
from workbench.errors import Interrupted


def interrupt(_: Any = None) -> None:
    """Press Ctrl-C; in the main thread it is heard before this returns."""
    signal.raise_signal(signal.SIGINT)


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

    def test_goes_on_where_the_work_stops_the_loop(self) -> None:
        async def work() -> int:
            asyncio.get_running_loop().stop()
            await asyncio.sleep(0)
            return 42

        assert wait(work()) == wait(work()) == 42

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

    def test_that_fail_end_only_the_listening(self) -> None:
        calls, heard = Calls(), []

        def fail(number: int) -> None:
            heard.append(number)
            raise SystemExit(3)

        call = calls.later(fail)

        async def work() -> int:
            call(1)
            call(2)
            return 42

        with pytest.warns(UserWarning, match="hears no more: SystemExit: 3"):
            assert wait(work(), calls) == 42
        assert heard == [1]


class TestWorkThatRaises:
    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
    def test_something_that_ends_threads_is_heard_and_ends_nothing_else(self, error: BaseException) -> None:
        async def work() -> None:
            raise error

        async def more() -> int:
            return 42

        before = background.loop()
        with pytest.raises(type(error)):
            wait(work())
        assert wait(more()) == 42
        assert background.loop() is before

    def test_in_a_callback_of_the_loop_ends_nothing(self) -> None:
        async def work() -> int:
            asyncio.get_running_loop().call_soon(exit, 3)
            await asyncio.sleep(0)
            return 42

        assert wait(work()) == 42


async def for_ever() -> None:
    await asyncio.Event().wait()


class TestInterrupt:
    def test_cancels_the_work_and_is_raised(self) -> None:
        calls, tidied = Calls(), threading.Event()
        call = calls.later(interrupt)

        async def work() -> None:
            call(None)
            try:
                await for_ever()
            finally:
                await asyncio.sleep(0)
                tidied.set()

        with pytest.raises(Interrupted) as interrupted:
            wait(work(), calls)
        assert tidied.is_set() and isinstance(interrupted.value, KeyboardInterrupt) and interrupted.value.result is None

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_brings_what_the_work_made_of_it(self, number: signal.Signals) -> None:
        # a run that is interrupted has a result
        calls = Calls()
        call = calls.later(lambda _: signal.raise_signal(number))

        async def work() -> str:
            call(None)
            try:
                await for_ever()
            except asyncio.CancelledError:
                return "interrupted"
            return "not reached"

        before = signal.signal(number, signal.default_int_handler)
        try:
            with pytest.raises(Interrupted) as interrupted:
                wait(work(), calls)
            assert signal.getsignal(number) is signal.default_int_handler
        finally:
            signal.signal(number, before)
        assert interrupted.value.result == "interrupted"

    def test_names_what_the_work_raised_while_tidying_up(self) -> None:
        calls = Calls()
        call = calls.later(interrupt)

        async def work() -> None:
            call(None)
            try:
                await for_ever()
            finally:
                raise LookupError("while tidying up")

        with pytest.raises(Interrupted) as interrupted:
            wait(work(), calls)
        assert isinstance(interrupted.value.__cause__, LookupError)

    def test_that_comes_after_the_end_is_raised_with_the_result(self) -> None:
        # a loop over runs must stop, however late in a run Ctrl-C was pressed
        calls = Calls()
        call = calls.later(interrupt)

        async def work() -> int:
            call(None)
            return 42

        with pytest.raises(Interrupted) as interrupted:
            wait(work(), calls)
        assert interrupted.value.result == 42

    def test_before_the_work_has_begun_starts_nothing(self) -> None:
        # the loop is busy with somebody else's work, and comes to ours only after Ctrl-C
        busy, go_on = threading.Event(), threading.Event()
        begun: list[bool] = []

        def block() -> None:
            busy.set()
            go_on.wait(30)

        background.loop().call_soon_threadsafe(block)
        assert busy.wait(30)
        calls = Calls()
        calls.later(interrupt)(None)
        calls.later(lambda _: go_on.set())(None)

        async def work() -> None:
            begun.append(True)
            await for_ever()

        with pytest.raises(Interrupted):
            wait(work(), calls)
        assert not begun

    def test_a_second_time_waits_for_the_tidying_up_as_well(self) -> None:
        calls = Calls()
        call = calls.later(interrupt)

        async def work() -> str:
            call(None)
            try:
                await for_ever()
            except asyncio.CancelledError:
                again = asyncio.Event()
                running = asyncio.get_running_loop()
                calls.later(lambda _: (interrupt(), running.call_soon_threadsafe(again.set)))(None)
                await again.wait()
                await asyncio.sleep(0)
            return "recorded"

        with pytest.raises(Interrupted) as interrupted:
            wait(work(), calls)
        assert interrupted.value.result == "recorded"

    def test_a_third_time_waits_for_nothing(self) -> None:
        calls, go_on = Calls(), threading.Event()
        call = calls.later(lambda _: [interrupt() for _ in range(3)])

        async def work() -> None:
            call(None)
            try:
                await for_ever()
            finally:
                await asyncio.to_thread(go_on.wait, 60)

        try:
            with pytest.raises(Interrupted):
                wait(work(), calls)
        finally:
            go_on.set()

    def test_does_not_wait_for_code_that_blocks_the_loop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # as an async function that is not
        monkeypatch.setattr(background, "_PATIENCE_SECONDS", 0.01)
        calls, go_on, ended = Calls(), threading.Event(), threading.Event()
        call = calls.later(interrupt)

        async def work() -> None:
            call(None)
            go_on.wait(60)
            try:
                await for_ever()
            finally:
                ended.set()

        async def more() -> int:
            return 42

        blocked = background.loop()
        try:
            with pytest.raises(Interrupted):
                wait(work(), calls)
            assert not ended.is_set()
            assert wait(more()) == 42
        finally:
            go_on.set()
        # its end was only not waited for
        assert ended.wait(60)
        blocked.call_soon_threadsafe(blocked.stop)

    def test_is_left_to_a_handler_of_the_users_own(self) -> None:
        calls, heard = Calls(), threading.Event()
        call = calls.later(interrupt)

        async def work() -> int:
            call(None)
            await asyncio.to_thread(heard.wait, 30)
            return 42

        before = signal.signal(signal.SIGINT, lambda *_: heard.set())
        try:
            assert wait(work(), calls) == 42
        finally:
            signal.signal(signal.SIGINT, before)

    def test_that_a_handler_of_the_users_own_raises_stops_the_work_and_is_raised(self) -> None:
        tidied = threading.Event()

        def raises(*_: object) -> None:
            raise LookupError("my own")

        async def work() -> None:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            try:
                await for_ever()
            finally:
                tidied.set()

        before = signal.signal(signal.SIGINT, raises)
        try:
            with pytest.raises(LookupError, match="my own"):
                wait(work())
        finally:
            signal.signal(signal.SIGINT, before)
        assert tidied.is_set()


def test_a_fork_of_the_process_has_a_loop_of_its_own() -> None:
    async def work() -> int:
        return 42

    assert wait(work()) == 42
    fork = multiprocessing.get_context("fork")
    told: Any = fork.SimpleQueue()
    # a lock that another thread holds at that moment is never given up in the fork
    with background._guard:
        child = fork.Process(target=lambda: told.put(wait(work())))
        child.start()
    child.join(60)
    assert child.exitcode == 0 and told.get() == 42
    assert wait(work()) == 42
