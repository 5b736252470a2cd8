"""Journals: numbered durable lines, atomic artifacts, one writer."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.storage.conftest import Start
from tests.storage.strategies import any_event
from workbench.errors import HostError, StoreError
from workbench.events import EVENT, Noticed
from workbench.storage import journal as module
from workbench.storage.journal import Journal, is_alive

HOLD = """
import sys
from pathlib import Path
from workbench.events import Noticed
from workbench.storage.journal import Journal
journal = Journal(Path(sys.argv[1]), "r1")
journal.write(Noticed(kind="test", message="first"), durable=True)
print("open", flush=True)
sys.stdin.readline()
"""


def note(message: str = "hello") -> Noticed:
    return Noticed(kind="test", message=message)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Don't wait the seconds that a reader might need to let go of the lock."""

    class Hasty(FileLock):
        def acquire(self, timeout: float | None = None, **more: object) -> object:
            return super().acquire(timeout=None if timeout is None else min(timeout, 0.05), **more)

    monkeypatch.setattr(module, "FileLock", Hasty)


class TestLines:
    def test_are_numbered_and_carry_the_run(self, tmp_path: Path) -> None:
        with Journal(tmp_path / "journals", "r1") as journal:
            for message in ("a", "b", "c"):
                journal.write(note(message))
        found = lines(journal.path)
        assert [(line["run_id"], line["seq"], line["message"]) for line in found] == [("r1", 0, "a"), ("r1", 1, "b"), ("r1", 2, "c")]

    def test_are_in_the_file_when_write_returns(self, tmp_path: Path) -> None:
        with Journal(tmp_path, "r1") as journal:
            journal.write(note("now"))
            assert lines(journal.path)[0]["message"] == "now"

    def test_of_a_durable_event_are_synced_with_all_before(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with Journal(tmp_path, "r1") as journal:
            synced = []

            def fsync(_: int) -> None:
                synced.append([line["message"] for line in lines(journal.path)])

            monkeypatch.setattr(os, "fsync", fsync)
            journal.write(note("a"))
            assert synced == []
            journal.write(note("b"), durable=True)
            assert synced == [["a", "b"]]

    def test_go_on_counting_where_a_journal_is_opened_again(self, tmp_path: Path) -> None:
        for message in ("a", "b"):
            with Journal(tmp_path, "r1") as journal:
                journal.write(note(message))
        assert [line["seq"] for line in lines(journal.path)] == [0, 1]

    def test_that_end_lines_elsewhere_stay_one_line(self, tmp_path: Path) -> None:
        message = "a\nb\r\nc\rd\x0be\x0cf\x1cg\x85h\u2028i\u2029j\0k"
        with Journal(tmp_path, "r1") as journal:
            journal.write(note(message))
        assert [line["message"] for line in lines(journal.path)] == [message]

    @pytest.mark.parametrize("message", ["\ud83d", "name\udcff.txt", "\udfff\ud800"])
    def test_with_half_a_surrogate_pair_are_kept(self, tmp_path: Path, message: str) -> None:
        # a model's JSON, a file's name and a cell's output can all hold one, and none may end a run
        with Journal(tmp_path, "r1") as journal:
            journal.write(note(f"before {message} after"))
            journal.write(note("next"))
        first, second = lines(journal.path)
        assert str(first["message"]).startswith("before ") and str(first["message"]).endswith(" after")
        assert second["seq"] == 1

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(events=st.lists(any_event, max_size=6))
    def test_read_back_as_the_events_they_were(self, tmp_path_factory: pytest.TempPathFactory, events: list[object]) -> None:
        folder = tmp_path_factory.mktemp("journals")
        with Journal(folder, "r1") as journal:
            for event in events:
                journal.write(event)
        assert [EVENT.validate_json(line) for line in journal.path.read_bytes().split(b"\n")[:-1]] == events


class TestWriters:
    def test_there_is_one_a_run(self, tmp_path: Path, hasty: None) -> None:
        with Journal(tmp_path, "r1"), pytest.raises(StoreError, match="r1 is being written by another process"):
            Journal(tmp_path, "r1")

    def test_there_is_one_among_processes(self, tmp_path: Path, start: Start, hasty: None) -> None:
        other = start(HOLD, tmp_path)
        other.hears()
        with pytest.raises(StoreError, match="r1 is being written"):
            Journal(tmp_path, "r1")
        other.say()
        assert other.end() == 0
        with Journal(tmp_path, "r1") as journal:
            journal.write(note("second"))
        assert [line["message"] for line in lines(journal.path)] == ["first", "second"]

    def test_of_different_runs_do_not_meet(self, tmp_path: Path) -> None:
        with Journal(tmp_path, "r1") as one, Journal(tmp_path, "r2") as two:
            one.write(note())
            two.write(note())
        assert [line["seq"] for path in (one.path, two.path) for line in lines(path)] == [0, 0]

    def test_are_alive_until_closed(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path, "r1")
        assert is_alive(journal.path)
        journal.close()
        journal.close()
        assert not is_alive(journal.path)

    def test_are_dead_once_killed(self, tmp_path: Path, start: Start) -> None:
        other = start(HOLD, tmp_path)
        other.hears()
        assert is_alive(tmp_path / "r1.jsonl")
        other.kill()
        assert not is_alive(tmp_path / "r1.jsonl")


class TestArtifacts:
    def test_are_named_by_content(self, tmp_path: Path) -> None:
        data = b"\0\xffpicture"
        with Journal(tmp_path, "r1") as journal:
            name = journal.artifact(data)
        assert name == hashlib.sha256(data).hexdigest()
        assert (tmp_path / f"{name}.blob").read_bytes() == data

    def test_are_written_once(self, tmp_path: Path) -> None:
        with Journal(tmp_path, "r1") as journal:
            before = (tmp_path / f"{journal.artifact(b'data')}.blob").stat().st_ino
            after = (tmp_path / f"{journal.artifact(b'data')}.blob").stat().st_ino
        assert before == after

    def test_are_whole_or_not_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with Journal(tmp_path, "r1") as journal:

            def fail(_: int) -> None:
                assert list(tmp_path.glob("*.blob")) == []
                raise OSError("disk full")

            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", fail)
                with pytest.raises(HostError, match="disk full"):
                    journal.artifact(b"data")
            assert list(tmp_path.glob("*.blob*")) == list(tmp_path.glob("*.partial")) == []
            assert (tmp_path / f"{journal.artifact(b'data')}.blob").read_bytes() == b"data"

    def test_that_are_alike_can_be_written_by_two_runs_at_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # two runs of a sweep that hand in the same: both are in the middle of writing when either goes on
        both, real = threading.Barrier(2, timeout=30), os.fsync

        def fsync(handle: int) -> None:
            both.wait()
            real(handle)

        found: list[object] = []

        def write(journal: Journal) -> None:
            try:
                found.append(journal.artifact(b"same"))
            except BaseException as error:
                found.append(error)

        with Journal(tmp_path, "r1") as one, Journal(tmp_path, "r2") as two:
            monkeypatch.setattr(os, "fsync", fsync)
            threads = [threading.Thread(target=write, args=[journal]) for journal in (one, two)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert found == [hashlib.sha256(b"same").hexdigest()] * 2
        assert [path.read_bytes() for path in tmp_path.glob("*.blob")] == [b"same"]
