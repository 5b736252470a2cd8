"""Journals: numbered durable lines, atomic artifacts, one writer."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any, cast

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import SmallDisk
from tests.storage.conftest import Start
from tests.storage.strategies import any_event
from tests.storage.test_tables import run_finished
from workbench.errors import HostError, StoreError, classify
from workbench.events import EVENT, Noticed
from workbench.storage import journal as module
from workbench.storage.journal import Journal, is_alive, read

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


class Failing:
    """A journal's file whose writes fail: the one of a number, after some of its bytes; and what would mend it, too."""

    def __init__(self, file: FileIO, writes: Iterator[int | None], *, mends: bool = True) -> None:
        self._file, self._writes, self._mends = file, writes, mends
        self.failed = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def write(self, data: memoryview) -> int:
        self.failed = False
        if (taken := next(self._writes, None)) is None:
            return self._file.write(data)
        self.failed = True
        self._file.write(data[:taken])
        raise OSError(errno.ENOSPC, "No space left on device")

    def truncate(self, size: int) -> int:
        if self.failed and not self._mends:
            self.failed = False
            raise OSError(errno.EIO, "Input/output error")
        return self._file.truncate(size)


def fail(journal: Journal, writes: list[int | None], *, mends: bool = True) -> None:
    """Let writes of a journal fail: for each in order, after how many bytes, or None where it does not."""
    journal._file = cast(Any, Failing(cast(FileIO, journal._file), iter(writes), mends=mends))


class TestFailures:
    @pytest.mark.parametrize("mends", [True, False])
    def test_leave_no_half_line_to_go_on_with(self, tmp_path: Path, mends: bool) -> None:
        with Journal(tmp_path, "r1") as journal:
            journal.write(note("a"))
            fail(journal, [20], mends=mends)
            with pytest.raises(HostError, match=r"r1\.jsonl cannot be written: No space left on device") as caught:
                journal.write(note("lost"))
            journal.write(run_finished(status="error"))
        assert caught.value.hint and classify(caught.value).kind == "sandbox"
        assert [(line["seq"], line["event"]) for line in lines(journal.path)] == [(0, "noticed"), (1, "run_finished")]

    def test_leave_no_hole_that_an_agent_can_go_on_behind(self, tmp_path: Path) -> None:
        with Journal(tmp_path, "r1") as journal:
            fail(journal, [0])
            for _ in range(2):
                with pytest.raises(HostError, match="No space left"):
                    journal.write(note())
            assert journal.failure is not None
        assert lines(journal.path) == []

    def test_of_a_sync_are_told_and_take_no_line_back(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # a reader may have taken it in already
        with Journal(tmp_path, "r1") as journal:
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
                with pytest.raises(HostError, match="Input/output error"):
                    journal.write(note("a"), durable=True)
            journal.write(run_finished(status="error"), durable=True)
        assert [line["seq"] for line in lines(journal.path)] == [0, 1]

    def test_of_memory_are_the_machines(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with Journal(tmp_path, "r1") as journal:
            monkeypatch.setattr(module, "_line", lambda _: (_ for _ in ()).throw(MemoryError))
            with pytest.raises(HostError, match="no memory is left"):
                journal.write(note())

    def test_leave_what_is_gone_on_with_when_opened_again(self, tmp_path: Path) -> None:
        with Journal(tmp_path, "r1") as journal:
            journal.write(note("a"))
        with journal.path.open("ab") as file:
            file.write(b"no event\n" + b'{"run_id":"r1","seq":1,"at":"20')
        with Journal(tmp_path, "r1") as journal:
            journal.write(note("b"))
        found = read(journal.path.read_bytes(), "r1")
        assert [(event["seq"], event["message"]) for event in found.events] == [(0, "a"), (1, "b")]
        assert found.unreadable == [b"no event"]

    def test_to_open_say_why(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FileLock, "acquire", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EMFILE, "Too many open files")))
        with pytest.raises(HostError, match=r"r1\.jsonl cannot be made: Too many open files") as caught:
            Journal(tmp_path, "r1")
        assert "ulimit -n" in caught.value.hint

    def test_to_open_that_the_user_can_mend_are_the_users(self, tmp_path: Path) -> None:
        (tmp_path / "journals").write_text("a file")
        with pytest.raises(StoreError, match=r"r1\.jsonl cannot be made") as caught:
            Journal(tmp_path / "journals", "r1")
        assert "--store" in caught.value.hint

    SMALL = """
import resource, sys
from pathlib import Path
from tests.storage.test_journal import note, run_finished
from workbench.errors import HostError
from workbench.storage.journal import Journal
kind, most = sys.argv[2], int(sys.argv[3])
with Journal(Path(sys.argv[1]), "r1") as journal:
    resource.setrlimit(getattr(resource, kind), (most, most))
    written = 0
    try:
        while True:
            journal.write(note("x" * 1000), durable=True)
            written += 1
    except HostError as error:
        print(written, error, flush=True)
"""

    def test_of_a_limit_on_the_size_of_files(self, tmp_path: Path, start: Start) -> None:
        other = start(self.SMALL, tmp_path, "RLIMIT_FSIZE", 100_000)
        written, said = other.hears().split(" ", 1)
        assert "File too large" in said and "ulimit -f" in said
        assert other.end() == 0
        assert 0 < int(written) == len(lines(tmp_path / "r1.jsonl"))

    def test_of_a_full_disk_keep_room_for_the_end(self, small_disk: SmallDisk) -> None:
        with Journal(small_disk.root, "r1") as journal:
            journal.write(note("a"), durable=True)
            name = journal.artifact(b"before")
            small_disk.fill()
            with pytest.raises(HostError, match="No space left"):
                journal.artifact(bytes(2**16))
            with pytest.raises(HostError, match="No space left"):
                for _ in range(1000):
                    journal.write(note("x" * 1000), durable=True)
            assert lines(journal.path)[-1]["event"] == "noticed"
            journal.write(run_finished(status="error", answer="y" * 50_000), durable=True)
        assert lines(journal.path)[-1]["event"] == "run_finished"
        assert [path.name for path in small_disk.root.glob("*.blob*")] == [f"{name}.blob"]
        assert not list(small_disk.root.glob("*.partial"))


class TestReading:
    @settings(deadline=None)
    @given(data=st.binary(max_size=200))
    def test_survives_anything(self, data: bytes) -> None:
        found = read(data, "r1")
        assert found.events == [] and found.end == data.rfind(b"\n") + 1
        assert b"".join(line + b"\n" for line in found.unreadable) == data[: found.end]

    @pytest.mark.parametrize(
        "line",
        [
            b"[" * 100_000,
            b'{"run_id":"r2","seq":0,"at":"2026-01-01T00:00:00Z","event":"noticed"}',
            b'{"run_id":"r1","seq":-1,"at":"2026-01-01T00:00:00Z","event":"noticed"}',
            b'{"run_id":"r1","seq":true,"at":"2026-01-01T00:00:00Z","event":"noticed"}',
            b'{"run_id":"r1","seq":1e400,"at":"2026-01-01T00:00:00Z","event":"noticed"}',
            b'{"run_id":"r1","seq":99999999999,"at":"2026-01-01T00:00:00Z","event":"noticed"}',
            b'{"run_id":"r1","seq":0,"at":"yesterday","event":"noticed"}',
            b'{"run_id":"r1","seq":0,"at":"2026-01-01T00:00:00Z","event":["noticed"]}',
        ],
    )
    def test_takes_no_event_that_is_none_of_this_run(self, line: bytes) -> None:
        found = read(line + b"\n", "r1")
        assert (found.events, found.unreadable, found.next) == ([], [line], 0)

    def test_finds_the_line_that_went_on_with_half_a_line(self) -> None:
        # as versions before this one wrote it on a full disk
        whole = [b'{"run_id":"r1","seq":%d,"at":"2026-01-01T00:00:00Z","event":"noticed","message":"\\"run_id"}' % seq for seq in range(3)]
        found = read(b"\n".join([whole[0], whole[1][:50] + whole[2], b""]), "r1")
        assert [event["seq"] for event in found.events] == [0, 2]
        assert found.unreadable == [whole[1][:50]]


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
