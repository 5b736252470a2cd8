"""The store: journals land once and whole, whoever else is reading, writing, dying or holding the file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import SmallDisk
from tests.storage.conftest import Start
from tests.storage.test_journal import fail
from tests.storage.test_tables import fresh, keep, run_finished, run_started
from workbench.errors import HostError, StoreError, WorkbenchError, classify
from workbench.events import ActionTaken, Branched, Event, ModelCalled, Noticed, Scored, StepFinished, SubmissionFrozen
from workbench.messages import Message, Usage
from workbench.storage.journal import read
from workbench.storage.store import Store

HERE = datetime(2026, 1, 1, tzinfo=UTC)


def called(step: int, tokens: int = 10, cost: float | None = 0.25) -> ModelCalled:
    # as another version may have written it, which did not look at the numbers
    usage = Usage.model_construct(input_tokens=tokens - 3, output_tokens=3)
    prompt = [Message(role="user", text="go")]
    told = ModelCalled(step=step, prompt=prompt, text="ok", finish_reason="stop", usage=Usage(), cost_usd=cost, attempts=[], seconds=0)
    return told.model_copy(update={"usage": usage})


def a_step(step: int) -> list[Event]:
    return [called(step), ActionTaken(step=step, index=0, code="1", source="fence"), StepFinished(step=step, notes=[])]


def count(store: Store, table: str = "events") -> int:
    return store.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"]


def left(store: Store) -> list[str]:
    return sorted(path.name for path in store.journals.iterdir())


class TestAbsorb:
    def test_twice_adds_nothing(self, store: Store) -> None:
        with store.journal("r1") as journal:
            for event in [run_started(), *a_step(1), run_finished()]:
                journal.write(event)
        assert store.absorb() == 5
        assert store.absorb() == 0
        assert (count(store), count(store, "runs"), left(store)) == (5, 1, [])

    def test_of_a_live_run_shows_what_it_has_done_so_far(self, store: Store) -> None:
        with store.journal("r1") as journal:
            for number, event in enumerate([run_started(), *a_step(1), *a_step(2)], 1):
                journal.write(event)
                assert count(store) == number
            assert store.rows("SELECT status FROM runs") == [{"status": "running"}]
            assert count(store, "steps") == 2
            journal.write(run_finished(steps=2))
        assert store.rows("SELECT status, steps FROM runs") == [{"status": "completed", "steps": 2}]
        assert [row["seq"] for row in store.rows("SELECT seq FROM events ORDER BY seq")] == list(range(8))
        assert left(store) == []

    def test_of_a_live_run_leaves_half_a_line_for_later(self, store: Store) -> None:
        with store.journal("r1") as journal:
            journal.write(run_started())
            whole = journal.path.read_bytes()
            journal.path.write_bytes(whole[:-10])
            assert count(store) == 0
            journal.path.write_bytes(whole)
            assert count(store) == 1

    def test_of_many_runs_at_once(self, store: Store) -> None:
        for run in range(20):
            with store.journal(f"r{run}") as journal:
                for event in [run_started(), *a_step(1), run_finished()]:
                    journal.write(event)
        assert (count(store), count(store, "runs"), left(store)) == (100, 20, [])

    def test_of_a_run_that_ended_before_a_crash_is_not_repeated(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        # killed when all of the journal was in the file and before the journal was gone
        with store.journal("r1") as journal:
            for event in [run_started(), *a_step(1), run_finished()]:
                journal.write(event)

        class Killed(BaseException):
            pass

        def unlink(*_: object, **__: object) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", unlink)
            with pytest.raises(Killed):
                store.absorb()
        assert (count(store), count(store, "runs"), count(store, "steps")) == (5, 1, 1)
        assert left(store) == []

    def test_tidies_away_blobs_of_runs_taken_in_while_alive(self, store: Store) -> None:
        with store.journal("r1") as journal:
            journal.write(run_started())
            name = journal.artifact(b"submission")
            journal.write(SubmissionFrozen(kind="file", files=[], answer=None, invalid=None, artifact=name))
            assert store.artifact(name) == b"submission"
            journal.write(run_finished())
        store.absorb()
        assert left(store) == []
        assert store.artifact(name) == b"submission"

    def test_keeps_a_blob_that_two_runs_hand_in(self, store: Store) -> None:
        with store.journal("r1") as one, store.journal("r2") as two:
            for journal in (one, two):
                journal.write(run_started())
                name = journal.artifact(b"same")
                journal.write(SubmissionFrozen(kind="file", files=[], answer=None, invalid=None, artifact=name))
            one.write(run_finished())
            one.close()
            store.absorb()
            two.write(run_finished())
        store.absorb()
        assert store.artifact(name) == b"same"
        assert (count(store, "artifacts"), left(store)) == (1, [])

    @pytest.mark.parametrize(
        "bad",
        [
            b"this is not JSON\n",
            b'{"event": "run_started"}\n',
            b'{"event": "from_the_future", "run_id": "bad", "seq": 0, "at": "2026-01-01T00:00:00Z"}\n{"half": \n',
            b'["not", "an", "event"]\n',
            b"\xff\xfe\n",
            b"\n",
        ],
    )
    def test_of_a_journal_without_sense_keeps_nobody_out(self, store: Store, bad: bytes) -> None:
        # one broken file must not cost everybody else's records, nor end the run that happens to absorb it
        store.journals.mkdir()
        (store.journals / "bad.jsonl").write_bytes(bad)
        for run in ("a", "z"):
            with store.journal(run) as journal:
                journal.write(run_started())
                journal.write(run_finished())
        assert [row["run_id"] for row in store.rows("SELECT run_id FROM runs ORDER BY run_id")] == ["a", "z"]
        # and its bytes are still somewhere for who wants to repair it
        assert any(path.read_bytes().startswith(bad) for path in store.journals.iterdir() if path.is_file())

    def test_of_numbers_no_column_holds_keeps_nobody_out(self, store: Store) -> None:
        with store.journal("bad") as journal:
            journal.write(run_started())
            journal.write(called(1, tokens=10**30))
            journal.write(run_finished().model_copy(update={"tokens": 10**30}))
        with store.journal("good") as journal:
            journal.write(run_started())
            journal.write(run_finished())
        assert store.rows("SELECT status FROM runs WHERE run_id = 'good'") == [{"status": "completed"}]


class TestDamage:
    """Journals that could not be written whole, or were damaged later."""

    LOST = ("error", "sandbox")

    def test_ends_the_run_and_keeps_what_is_left(self, store: Store) -> None:
        with store.journal("r1") as journal:
            for event in [run_started(), *a_step(1), *a_step(2)]:
                journal.write(event)
        whole = journal.path.read_bytes().splitlines(keepends=True)
        # what versions before this one wrote on a full disk: half a line, gone on with by the next
        torn = b"".join([*whole[:4], whole[4][:60], *whole[5:]])
        journal.path.write_bytes(torn)
        with pytest.warns(UserWarning, match="the journal of run r1 is damaged"):
            rows = store.rows("SELECT status, error_kind, error_message, error_hint, success, steps FROM runs")
        assert rows[0]["error_message"] == "1 event of this run could not be written, or cannot be read any more"
        assert "r1.broken" in rows[0]["error_hint"]
        assert (rows[0]["status"], rows[0]["error_kind"], rows[0]["success"], rows[0]["steps"]) == (*self.LOST, None, 2)
        assert [row["seq"] for row in store.rows("SELECT seq FROM events ORDER BY seq")] == [0, 1, 2, 3, 5, 6, 7]
        assert (left(store), (store.journals / "r1.broken").read_bytes()) == (["r1.broken"], torn)
        assert store.absorb() == 0

    def test_is_not_hidden_by_an_end_that_says_otherwise(self, store: Store) -> None:
        with store.journal("r1") as journal:
            for event in [run_started(), *a_step(1), run_finished(status="completed", success=True)]:
                journal.write(event)
        whole = journal.path.read_bytes().splitlines(keepends=True)
        journal.path.write_bytes(b"".join([*whole[:2], b"\0" * 300 + b"\n", *whole[3:]]))
        with pytest.warns(UserWarning, match="is damaged"):
            assert store.rows("SELECT status, error_kind, success FROM runs") == [
                {"status": "error", "error_kind": "sandbox", "success": None}
            ]
        # the same journal, come back because the process that took it in was killed before it could move it
        (store.journals / "r1.broken").rename(journal.path)
        before = count(store)
        store.absorb()
        assert count(store) == before

    def test_that_adds_lines_and_takes_none_costs_nothing(self, store: Store) -> None:
        with store.journal("r1") as journal:
            for event in [run_started(), *a_step(1), run_finished()]:
                journal.write(event)
        whole = journal.path.read_bytes().splitlines(keepends=True)
        journal.path.write_bytes(b"".join([*whole[:2], b"no event\n", *whole[2:]]))
        with pytest.warns(UserWarning, match="is damaged"):
            assert store.rows("SELECT status FROM runs") == [{"status": "completed"}]
        assert count(store) == 5

    def test_of_a_run_that_a_reader_saw_does_not_leave_it_running(self, store: Store) -> None:
        with store.journal("r1") as journal:
            for event in [run_started(), *a_step(1)]:
                journal.write(event)
            assert store.rows("SELECT status FROM runs") == [{"status": "running"}]
            for event in a_step(2):
                journal.write(event)
        whole = journal.path.read_bytes().splitlines(keepends=True)
        journal.path.write_bytes(b"".join([*whole[:-1], b"garbage\n"]))
        with pytest.warns(UserWarning, match="is damaged"):
            assert store.rows("SELECT status, error_kind FROM runs") == [{"status": "error", "error_kind": "sandbox"}]

    def test_by_a_power_cut_after_a_reader_saw_more_does_not_leave_it_running(self, store: Store) -> None:
        with store.journal("r1") as journal:
            for event in [run_started(), *a_step(1), *a_step(2)]:
                journal.write(event)
            assert count(store) == 7
        # what had not been forced to disk is gone
        os.truncate(journal.path, journal.path.stat().st_size // 2)
        assert store.rows("SELECT status, steps FROM runs") == [{"status": "interrupted", "steps": 2}]
        assert [row["seq"] for row in store.rows("SELECT seq FROM events ORDER BY seq")] == list(range(8))
        assert left(store) == []

    def test_of_numbers_no_column_holds_keeps_the_rest_of_the_run(self, store: Store) -> None:
        with store.journal("r1") as journal:
            for event in [run_started(), *a_step(1), called(2, tokens=10**30), *a_step(3), run_finished(steps=3)]:
                journal.write(event)
        with pytest.warns(UserWarning, match="is damaged"):
            assert store.rows("SELECT status, steps FROM runs") == [{"status": "completed", "steps": 3}]
        assert (count(store), count(store, "steps"), count(store, "model_calls")) == (9, 2, 2)

    def test_of_an_end_no_column_holds_does_not_leave_it_running(self, store: Store) -> None:
        with store.journal("r1") as journal:
            journal.write(run_started())
            journal.write(run_finished().model_copy(update={"tokens": 10**30}))
        with pytest.warns(UserWarning, match="is damaged"):
            assert store.rows("SELECT status, error_kind FROM runs") == [{"status": "error", "error_kind": "sandbox"}]

    def test_of_a_field_from_the_future_costs_a_row_and_no_run(self, store: Store) -> None:
        with store.journal("r1") as journal:
            for event in [run_started(), *a_step(1), run_finished()]:
                journal.write(event)
        journal.path.write_bytes(journal.path.read_bytes().replace(b'"source":', b'"colour":"red","source":'))
        with pytest.warns(UserWarning, match="is damaged"):
            assert (count(store), count(store, "actions"), count(store, "steps")) == (5, 0, 1)


class TestFull:
    def test_disk_ends_the_run_as_an_error_of_the_machine_once_there_is_room(self, small_disk: SmallDisk) -> None:
        store = Store(small_disk.root / "runs.duckdb")
        with store.journal("r1") as journal:
            for event in [run_started(), *a_step(1)]:
                journal.write(event, durable=True)
            assert count(store) == 4
            small_disk.fill()
            with pytest.raises(HostError, match="No space left"):
                for step in range(2, 1000):
                    for event in a_step(step):
                        journal.write(event)
            # more than was kept free for the end
            with pytest.raises(HostError, match="No space left"):
                journal.write(run_finished(status="error", answer="y" * 2**20))
        small_disk.fill()
        with pytest.raises(HostError, match=r"cannot be read or written: .*No space left") as caught:
            store.absorb()
        assert "nothing is lost" in caught.value.hint and classify(caught.value).kind == "sandbox"
        whole = read(journal.path.read_bytes(), "r1")
        assert whole.unreadable == []
        small_disk.empty()
        assert store.rows("SELECT status, error_kind, error_message FROM runs") == [
            {"status": "error", "error_kind": "sandbox", "error_message": "the end of this run could not be written"}
        ]
        assert [row["seq"] for row in store.rows("SELECT seq FROM events ORDER BY seq")] == list(range(whole.next + 1))
        assert left(store) == []

    def test_disk_is_told_where_a_store_is_first_made(self, small_disk: SmallDisk) -> None:
        small_disk.fill()
        with pytest.raises(HostError, match="No space left"):
            Store(small_disk.root / "runs.duckdb").absorb()
        small_disk.empty()
        assert Store(small_disk.root / "runs.duckdb").absorb() == 0

    def test_memory_is_told(self, store: Store) -> None:
        with pytest.raises(StoreError) as caught:
            store.rows("SET memory_limit = '5MB'; SELECT list(range) FROM range(10000000)")
        assert classify(caught.value).kind == "sandbox"

    NO_FILES = """
import resource, sys
from workbench.errors import HostError
from workbench.storage.store import Store
store = Store(sys.argv[1])
store.absorb()
with store.journal("r1"):
    pass
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
try:
    store.absorb()
except HostError as error:
    print(error, flush=True)
"""

    def test_table_of_open_files_is_told_and_loses_nothing(self, store: Store, start: Start) -> None:
        other = start(self.NO_FILES, store.path)
        assert "Too many open files" in (said := other.hears()) and "ulimit -n" in said
        assert other.end() == 0
        assert "r1.jsonl" in left(store)

    def test_folder_that_nobody_may_write_is_the_users(self, tmp_path: Path) -> None:
        (tmp_path / "runs.duckdb.journals").write_text("in the way")
        with pytest.raises(StoreError):
            Store(tmp_path / "runs.duckdb").journal("r1")


TEMPLATE = "run-000000"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The journal of a whole run."""
    store = Store(tmp_path_factory.mktemp("written") / "runs.duckdb")
    with store.journal(TEMPLATE) as journal:
        for number, event in enumerate(
            [run_started(), *a_step(1), *a_step(2), Noticed(kind="x", message="é\0"), *a_step(3), run_finished()]
        ):
            journal.write(event.model_copy(update={"at": HERE + timedelta(seconds=number)}))
    return journal.path.read_bytes()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for many examples."""
    return Store(tmp_path_factory.mktemp("store") / "runs.duckdb")


class TestKilled:
    @settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.data())
    def test_at_any_byte_keeps_exactly_the_complete_lines(self, shared: Store, written: bytes, data: st.DataObject) -> None:
        cut = data.draw(st.integers(0, len(written)), label="cut")
        run = f"run-{next(fresh):06}"
        shared.journals.mkdir(exist_ok=True)
        path = shared.journals / f"{run}.jsonl"
        whole = written.replace(TEMPLATE.encode(), run.encode())
        path.write_bytes(whole[:cut])
        expected = [json.loads(line) for line in whole[:cut].split(b"\n")[:-1]]
        ended = any(event["event"] == "run_finished" for event in expected)
        with_end = shared.rows("SELECT seq, event, data FROM events WHERE run_id = ? ORDER BY seq", [run])
        found = with_end if ended else with_end[:-1]
        assert [(row["seq"], row["event"]) for row in found] == [(event["seq"], event["event"]) for event in expected]
        assert not path.exists()
        if not ended:
            last = json.loads(with_end[-1]["data"])
            calls = [event for event in expected if event["event"] == "model_called"]
            assert with_end[-1]["event"] == "run_finished" and with_end[-1]["seq"] == len(expected)
            assert (last["status"], last["success"]) == ("interrupted", None)
            assert last["steps"] == sum(event["event"] == "step_finished" for event in expected)
            assert last["tokens"] == 10 * len(calls)
            assert last["cost_usd"] == (0.25 * len(calls) if calls else None)
            assert last["seconds"] == max(len(expected) - 1, 0)

    @pytest.mark.filterwarnings("ignore:the journal of run")
    @settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.data(), garbage=st.binary(min_size=1, max_size=200))
    def test_and_damaged_anywhere_keeps_every_line_that_is_whole(
        self, shared: Store, written: bytes, data: st.DataObject, garbage: bytes
    ) -> None:
        run = f"run-{next(fresh):06}"
        whole = written.replace(TEMPLATE.encode(), run.encode())
        at = data.draw(st.integers(0, len(whole)), label="garbage at")
        cut = data.draw(st.integers(at, len(whole)), label="cut")
        damaged = whole[:at] + garbage + whole[at:cut]
        shared.journals.mkdir(exist_ok=True)
        path = shared.journals / f"{run}.jsonl"
        # a reader may have been there before, and taken in what was whole then
        if data.draw(st.booleans(), label="seen before"):
            path.write_bytes(whole[:at])
            with FileLock(path.with_suffix(".lock")):
                shared.absorb()
        path.write_bytes(damaged)
        found = shared.rows("SELECT seq, event, data FROM events WHERE run_id = ? ORDER BY seq", [run])
        kept = {line for line in damaged.split(b"\n")[:-1] if line and line in whole.split(b"\n")}
        expected = {(event["seq"], event["event"]) for event in map(json.loads, kept)}
        assert expected <= {(row["seq"], row["event"]) for row in found}
        for row in shared.rows("SELECT status, success FROM runs WHERE run_id = ?", [run]):
            assert row["status"] == json.loads(found[-1]["data"])["status"]
            if row["status"] == "completed":
                # a line behind garbage that does not end is found too
                assert len(found) == len(whole.split(b"\n")) - 1
            else:
                assert row["status"] in ("error", "interrupted") and row["success"] is None and len(expected) < len(found)
        assert not path.exists()
        assert shared.absorb() == 0
        assert shared.rows("SELECT seq, event, data FROM events WHERE run_id = ? ORDER BY seq", [run]) == found

    @settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.data())
    def test_or_not_whose_writes_fail_keeps_what_was_written_and_says_so(self, shared: Store, data: st.DataObject) -> None:
        run = f"run-{next(fresh):06}"
        events = [
            run_started(),
            *a_step(1),
            *a_step(2),
            Scored(metrics=[], success=True, invalid=None, grader_hash="h", details={}, seconds=0),
        ]
        failing = data.draw(st.lists(st.none() | st.integers(0, 400), max_size=len(events) + 1), label="writes")
        looks = data.draw(st.sets(st.integers(0, len(events))), label="a reader looks after")
        kept: list[Event] = []
        with shared.journal(run) as journal:
            fail(journal, failing, mends=data.draw(st.booleans(), label="can be mended"))
            with suppress(HostError):
                for number, event in enumerate(events):
                    journal.write(event)
                    kept.append(event)
                    if number in looks:
                        shared.absorb()
            with suppress(HostError):
                journal.write(run_finished(status="error" if journal.failure else "completed"))
        seen = shared.rows("SELECT seq, event FROM events WHERE run_id = ? ORDER BY seq", [run])
        assert [row["event"] for row in seen] == [*(event.event for event in kept), "run_finished"]
        assert [row["seq"] for row in seen] == list(range(len(seen)))
        failed = any(each is not None for each in failing[: len(events) + 1])
        for row in shared.rows("SELECT status FROM runs WHERE run_id = ?", [run]):
            assert row["status"] == ("error" if failed else "completed")
        assert shared.absorb() == 0

    RUN = """
import sys
from tests.storage.test_store import a_step
from tests.storage.test_tables import run_started
from workbench.storage.store import Store
journal = Store(sys.argv[1]).journal("r1")
for event in [run_started(), *a_step(1), *a_step(2), a_step(3)[0]]:
    journal.write(event, durable=True)
journal._file.write(b'{"run_id": "r1", "seq": 8, "at": "2026')
journal._file.flush()
print("in the middle", flush=True)
sys.stdin.readline()
"""

    def test_process_leaves_an_interrupted_run_with_what_it_used(self, store: Store, start: Start) -> None:
        other = start(self.RUN, store.path)
        other.hears()
        assert store.rows("SELECT status FROM runs") == [{"status": "running"}]
        other.kill()
        (row,) = store.rows("SELECT status, success, steps, tokens, cost_usd, error_kind, error_message, error_hint FROM runs")
        assert row == {
            "status": "interrupted",
            "success": None,
            "steps": 2,
            "tokens": 30,
            "cost_usd": 0.75,
            "error_kind": "user",
            "error_message": "the process that made this run was killed",
            "error_hint": "what it had finished is here: workbench runs branch goes on from its last step",
        }
        assert [row["seq"] for row in store.rows("SELECT seq FROM events ORDER BY seq")] == list(range(9))
        assert left(store) == []

    def test_branch_is_not_said_to_have_used_what_it_inherited(self, store: Store) -> None:
        with store.journal("r1") as journal:
            journal.write(run_started())
            for event in a_step(1):
                journal.write(event.model_copy(update={"inherited": True}))
            journal.write(Branched(branched_by="replay", diverged=[], seconds=0.5))
            for event in a_step(2):
                journal.write(event)
        assert store.rows("SELECT status, steps, tokens, cost_usd FROM runs") == [
            {"status": "interrupted", "steps": 1, "tokens": 10, "cost_usd": 0.25}
        ]

    def test_run_that_costs_nothing_known_says_so(self, store: Store) -> None:
        with store.journal("r1") as journal:
            journal.write(run_started())
            journal.write(called(1, cost=None))
        assert store.rows("SELECT status, cost_usd, tokens FROM runs") == [{"status": "interrupted", "cost_usd": None, "tokens": 10}]


class TestAnswers:
    ASK = """
import sys
from workbench.storage.store import Store
store = Store(sys.argv[1])
print(store.rows("SELECT current_setting('enable_progress_bar') AS bar"), flush=True)
"""

    def test_show_no_progress_on_standard_output(self, store: Store, start: Start) -> None:
        # DuckDB would, in a notebook and where Python was given its program as an argument
        assert start(self.ASK, store.path).hears() == "[{'bar': False}]"


class TestCompany:
    WRITE = """
import sys
from tests.storage.test_store import a_step
from tests.storage.test_tables import run_finished, run_started
from workbench.storage import store as module
from workbench.storage.store import Store
# a busy machine takes long over what the other writer does
module._WAIT_SECONDS = 200
store = Store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(6):
    with store.journal(f"{sys.argv[2]}-{number}") as journal:
        for event in [run_started(), *a_step(1), *a_step(2)]:
            journal.write(event, durable=True)
            if event.event == "step_finished":
                store.absorb()
        journal.write(run_finished(), durable=True)
    store.absorb()
"""
    READ = """
import sys
from workbench.storage.store import Store
store = Store(sys.argv[1])
frame = store.sql("SELECT * FROM events")
print(len(frame), flush=True)
sys.stdin.readline()
print(len(frame), len(store.sql("SELECT * FROM events")), flush=True)
"""
    FOREIGN = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone()[0], flush=True)
sys.stdin.readline()
connection.close()
"""

    def test_of_two_writers_and_a_reader_loses_nothing(self, store: Store, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workbench.storage.store._WAIT_SECONDS", 200)
        others = [start(self.WRITE, store.path, name) for name in ("one", "two")]
        for other in others:
            other.hears()
        for other in others:
            other.say()
        seen = [count(store) for _ in range(5)]
        assert seen == sorted(seen)
        assert [other.end() for other in others] == [0, 0]
        assert (count(store), count(store, "runs"), left(store)) == (96, 12, [])
        assert store.rows("SELECT count(*) AS n FROM (SELECT DISTINCT run_id, seq FROM events)") == [{"n": 96}]

    def test_of_a_reader_that_keeps_its_result_holds_nobody_up(self, store: Store, start: Start) -> None:
        with store.journal("r1") as journal:
            journal.write(run_started())
            reader = start(self.READ, store.path)
            assert reader.hears() == "1"
            journal.write(run_finished())
        assert store.absorb() == 1
        assert count(store) == 2
        reader.say()
        assert reader.hears() == "1 2"
        assert reader.end() == 0

    def test_of_a_writer_holds_no_reader_up(self, store: Store, start: Start) -> None:
        with store.journal("r1") as journal:
            journal.write(run_started(), durable=True)
            reader = start(self.READ, store.path)
            assert reader.hears() == "1"
            reader.say()
            assert reader.hears() == "1 1"

    def test_of_an_own_result_leaves_the_file_free(self, store: Store, start: Start) -> None:
        frame = store.sql("SELECT 1 AS one")
        foreign = start(self.FOREIGN, store.path)
        assert int(foreign.hears()) > 0
        foreign.say()
        assert foreign.end() == 0
        assert list(frame.one) == [1]

    @pytest.mark.usefixtures("impatient")
    def test_of_a_foreign_program_is_said_and_costs_no_run(self, store: Store, start: Start) -> None:
        foreign = start(self.FOREIGN, store.path)
        foreign.hears()
        for ask in (store.sql, store.rows):
            with pytest.raises(StoreError) as caught:
                ask("SELECT count(*) FROM runs")
            assert f"cannot open the store {store.path}" in caught.value.message
            assert "close it there" in caught.value.hint
        with store.journal("r1") as journal:
            for event in [run_started(), *a_step(1), run_finished()]:
                journal.write(event, durable=True)
        with pytest.raises(StoreError):
            store.absorb()
        assert left(store) == ["r1.jsonl", "r1.lock", "r1.reserve"]
        foreign.say()
        assert foreign.end() == 0
        assert store.absorb() == 5
        assert store.rows("SELECT status FROM runs") == [{"status": "completed"}]

    @pytest.mark.usefixtures("impatient")
    def test_of_a_connection_in_this_process_is_said(self, store: Store) -> None:
        store.absorb()
        with duckdb.connect(str(store.path)), pytest.raises(StoreError) as caught:
            store.sql("SELECT 1")
        assert str(store.path) in caught.value.message
        assert caught.value.hint

    @pytest.mark.usefixtures("impatient")
    def test_of_a_file_that_is_no_database_is_said(self, store: Store) -> None:
        store.path.write_text("a shopping list\n" * 1000)
        with pytest.raises(StoreError, match="cannot open the store"):
            store.sql("SELECT 1")
        assert store.path.read_text().startswith("a shopping list")


MIGRATIONS = sorted(resources.files("workbench.storage").joinpath("migrations").iterdir(), key=lambda entry: entry.name)
VERSIONS = [int(entry.name.removesuffix(".sql")) for entry in MIGRATIONS if entry.name.endswith(".sql")]


class TestSchema:
    def test_of_the_first_version_is_brought_up_to_date_with_what_is_in_it(self, store: Store) -> None:
        with duckdb.connect(str(store.path)) as connection:
            connection.execute("CREATE TABLE schema_migrations (version INTEGER, applied_at TIMESTAMP)")
            connection.execute(MIGRATIONS[0].read_text(encoding="utf-8"))
            connection.execute("INSERT INTO schema_migrations VALUES (1, now()::TIMESTAMP)")
            connection.execute("INSERT INTO steps VALUES ('old', 1, now()::TIMESTAMP, ['n'])")
        # and a journal of that time, which says nothing of branches
        with store.journal("r1") as journal:
            for event in [run_started(), *a_step(1), run_finished()]:
                journal.write(event)
        old = ("inherited", "parent_run", "parent_step")
        lines = [
            {key: value for key, value in json.loads(line).items() if key not in old} for line in journal.path.read_text().splitlines()
        ]
        journal.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert store.rows("SELECT run_id, inherited FROM steps ORDER BY run_id") == [
            {"run_id": "old", "inherited": False},
            {"run_id": "r1", "inherited": False},
        ]
        assert store.rows("SELECT parent_run, parent_step, branched_by, diverged_steps FROM runs WHERE parent_run IS NULL") == [
            {"parent_run": None, "parent_step": None, "branched_by": None, "diverged_steps": None}
        ]
        assert store.rows("SELECT inherited FROM model_calls UNION ALL SELECT inherited FROM actions") == [{"inherited": False}] * 2

    def test_is_made_in_an_empty_store(self, store: Store) -> None:
        assert not store.path.exists()
        assert [row["version"] for row in store.rows("SELECT version FROM schema_migrations ORDER BY ALL")] == VERSIONS

    def test_is_made_once(self, store: Store) -> None:
        for run in ("r1", "r2"):
            keep(store, [run_started(), run_finished()])
            with store.journal(run) as journal:
                journal.write(run_started())
            Store(store.path).absorb()
        assert count(store, "schema_migrations") == len(VERSIONS)
        assert count(store, "runs") == 4

    @pytest.mark.parametrize("pending", [False, True])
    def test_is_made_in_a_database_that_is_there_already(self, store: Store, pending: bool) -> None:
        with duckdb.connect(str(store.path)) as connection:
            connection.execute("CREATE TABLE mine AS SELECT 42 AS x")
        if pending:
            with store.journal("r1") as journal:
                journal.write(run_started())
        assert count(store, "runs") == int(pending)
        assert store.rows("SELECT x FROM mine") == [{"x": 42}]

    @pytest.mark.parametrize("pending", [False, True])
    def test_of_a_newer_workbench_is_refused(self, store: Store, pending: bool) -> None:
        store.absorb()
        with duckdb.connect(str(store.path)) as connection:
            connection.execute("INSERT INTO schema_migrations VALUES (99, now()::TIMESTAMP)")
        if pending:
            with store.journal("r1") as journal:
                journal.write(run_started())
        with pytest.raises(StoreError, match=f"has schema version 99, this workbench knows {VERSIONS[-1]}\\b") as caught:
            Store(store.path).sql("SELECT * FROM runs")
        assert caught.value.hint == "update workbench"
        if pending:
            assert left(store) == ["r1.jsonl", "r1.lock", "r1.reserve"]


class TestQueries:
    @pytest.mark.parametrize("query", ["SELEC 1", "SELECT nope FROM runs", "SELECT * FROM nowhere", "SELECT 1 / 'x'", "SELECT ?", ""])
    @pytest.mark.parametrize("ask", [Store.sql, Store.rows], ids=["sql", "rows"])
    def test_that_are_wrong_are_a_store_error(self, store: Store, ask: Callable[..., Any], query: str) -> None:
        with pytest.raises(StoreError):
            ask(store, query)
        assert count(store) == 0

    @pytest.mark.parametrize(
        "query",
        [
            "INSERT INTO journals VALUES ('x', 1)",
            "UPDATE runs SET status = 'completed'",
            "DELETE FROM runs",
            "DROP TABLE runs",
            "CREATE TABLE more (x INTEGER)",
            "ALTER TABLE runs ADD COLUMN x INTEGER",
        ],
    )
    def test_that_write_are_refused(self, store: Store, query: str) -> None:
        keep(store, [run_started(), run_finished(status="limit", limit="steps")])
        with pytest.raises(StoreError, match=r"read-only|Cannot execute") as caught:
            store.sql(query)
        assert "writing is not possible here" in caught.value.hint
        assert store.rows("SELECT status FROM runs") == [{"status": "limit"}]
        assert count(store, "journals") == 0

    def test_take_parameters(self, store: Store) -> None:
        assert store.sql("SELECT ? + ? AS x", [1, 2]).x[0] == 3
        assert store.sql("SELECT $a || $b AS x", {"a": "'", "b": ";--"}).x[0] == "';--"
        assert store.rows("SELECT $a AS x", {"a": None}) == [{"x": None}]

    def test_for_an_artifact_that_is_not_there_say_so(self, store: Store) -> None:
        with pytest.raises(StoreError, match=f"has no artifact {'0' * 64}"):
            store.artifact("0" * 64)


TEXTS = {
    "nul": "a\0b",
    "controls": "".join(map(chr, range(32))) + "\x7f\x85\u2028\u2029",
    "quotes": "'\"\\`$1 ?; DROP TABLE runs; --",
    "braces": '{"a": [1, null, "\\u0000"]}',
    "unicode": "naïve 日本語 العربية 🧪👩‍🔬 \ufeff\uffff\U0010ffff",
    "empty": "",
    "huge": "0123456789" * 1_000_000,
    "null": "null",
    "number": "1e400",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_any_text_survives(store: Store, text: str) -> None:
    details = {"text": text, text[:50]: [text[:50]]}
    with store.journal("r1") as journal:
        journal.write(run_started().model_copy(update={"instruction": text, "variant": {"level": text[:50]}}))
        journal.write(ActionTaken(step=1, index=0, code=text, source="fence"))
        journal.write(StepFinished(step=1, notes=[text, text]))
        journal.write(Scored(metrics=[{"metric": "m", "primary": True, "value": 1, "normalised": 1, "success": True}],
                             success=True, invalid=None, grader_hash="", details=details, seconds=0))  # fmt: skip
        journal.write(run_finished(answer=text))
    (run,) = store.rows("SELECT instruction, variant, answer FROM runs")
    assert (run["instruction"], run["answer"]) == (text, text)
    assert json.loads(run["variant"]) == {"level": text[:50]}
    assert store.rows("SELECT code FROM actions") == [{"code": text}]
    assert store.rows("SELECT notes FROM steps") == [{"notes": [text, text]}]
    assert json.loads(store.rows("SELECT details FROM scores")[0]["details"]) == details
    assert list(store.sql("SELECT answer FROM runs").answer) == [text]


class TestPath:
    def test_without_its_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="its folder does not exist") as caught:
            Store(tmp_path / "nowhere" / "runs.duckdb")
        assert str(tmp_path / "nowhere" / "runs.duckdb") in caught.value.message
        assert "--store" in caught.value.hint
        assert not (tmp_path / "nowhere").exists()

    def test_below_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="its folder does not exist"):
            Store(tmp_path / "file" / "runs.duckdb")

    def test_is_relative_to_where_it_was_given(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path)
        store = Store("runs.duckdb")
        monkeypatch.chdir("elsewhere")
        store.absorb()
        assert store.path == tmp_path / "runs.duckdb"
        assert store.path.is_file()
        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_may_start_at_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert Store("~/runs.duckdb").path == tmp_path / "runs.duckdb"

    def test_is_by_default_that_of_the_variable(self, store_path: Path) -> None:
        assert os.environ["WORKBENCH_STORE"] == str(store_path)
        assert Store().path == store_path
        assert Store().journals.parent == store_path.parent

    def test_of_the_variable_is_checked_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "nowhere" / "runs.duckdb"))
        with pytest.raises(WorkbenchError, match="its folder does not exist"):
            Store()

    def test_may_hold_anything(self, tmp_path: Path) -> None:
        folder = tmp_path / "a b'c\"d;é#%20"
        folder.mkdir()
        store = Store(folder / "r'u n.duckdb")
        keep(store, [run_started(), run_finished()])
        assert count(store) == 2
