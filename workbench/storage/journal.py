"""A run's journal: JSON lines, one an event, durable at every step; what a killed process had written is never lost."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout
from pydantic_core import PydanticSerializationError

from workbench.errors import HostError, StoreError, shortage
from workbench.events import Event, RunFinished

SUFFIX = ".jsonl"
LOCK = ".lock"
RESERVE = ".reserve"
"""A file beside a journal that reserves disk space for the run's last event. It is emptied just before that is written.
An empty one means that the end was reached, whether or not it could be written."""
_RESERVED = 64 * 1024
_MOST_EVENTS = 2**31


class Journal:
    """Writes a run's events; the lock it holds shows that the run is alive.

    A line is written completely or not at all. After a line that could not be written, only the last event is accepted,
    so that no record has a gap that it does not report.

    Parameters
    ----------
    folder : Path
        The store's journal folder.
    run_id : str
        Names the file.

    Attributes
    ----------
    failure : HostError or None
        Why an event could not be written.

    Raises
    ------
    StoreError
        If another process writes this run, or the folder cannot be written to.
    HostError
        If the machine has no disk space or no file descriptors for a journal.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        self.run_id = run_id
        self.path = folder / f"{run_id}{SUFFIX}"
        self.failure: HostError | None = None
        self._reserve = self.path.with_suffix(RESERVE)
        self._lock = FileLock(folder / f"{run_id}{LOCK}", thread_local=False)
        self._file: FileIO | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # a reader that asks whether this run is alive holds the lock for an instant
            self._lock.acquire(timeout=5)
            self._file = self.path.open("ab", buffering=0)
            data = self.path.read_bytes()
            found = read(data, run_id)
            self._next, self._end = found.next, found.end
            self._torn = found.end < len(data)
            if not self._reserve.exists():
                self._reserve.write_bytes(bytes(_RESERVED))
            _sync_folder(folder)
        except Timeout:
            raise StoreError(f"run {run_id} is being written by another process") from None
        except OSError as error:
            self.close()
            said = f"the journal {self.path} cannot be made: {error.strerror or error}"
            if remedy := shortage(error):
                raise HostError(said, hint=remedy) from error
            raise StoreError(said, hint="name another store with --store, or change who may write there") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, event: Event, *, durable: bool = False) -> None:
        """Append ``event``, numbering it.

        Parameters
        ----------
        durable : bool
            Return only when it, and everything before it, is on disk.

        Raises
        ------
        HostError
            If it, or an earlier event, could not be written.
        """
        if isinstance(event, RunFinished):
            # the space reserved for this event
            with contextlib.suppress(OSError):
                os.truncate(self._reserve, 0)
        elif self.failure is not None:
            raise self.failure
        assert self._file is not None
        event.run_id, event.seq = self.run_id, self._next
        try:
            self._append(self._file, _line(event) + b"\n")
            if durable:
                self._sync(self._file)
        except (OSError, MemoryError) as error:
            self.failure = HostError(
                f"the journal {self.path} cannot be written: {getattr(error, 'strerror', None) or str(error) or 'no memory is left'}",
                hint=shortage(error) or "see that the folder is there and can be written to",
            )
            raise self.failure from error

    def _append(self, file: FileIO, line: bytes) -> None:
        if self._torn:
            # never append to what a failed write has left
            file.truncate(self._end)
            self._torn = False
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except BaseException:
            self._torn = True
            with contextlib.suppress(OSError):
                file.truncate(self._end)
                self._torn = False
            raise
        self._end += len(line)
        self._next += 1

    def _sync(self, file: FileIO) -> None:
        os.fsync(file.fileno())
        if not os.fstat(file.fileno()).st_nlink:
            raise FileNotFoundError(errno.ENOENT, "somebody has removed it")

    def artifact(self, data: bytes) -> str:
        """Keep ``data`` beside the journal until it is imported into the store, and return its SHA-256.

        Raises
        ------
        HostError
            If it cannot be written.
        """
        name = hashlib.sha256(data).hexdigest()
        path = self.path.parent / f"{name}.blob"
        if not path.exists():
            partial = path.with_suffix(f".{secrets.token_hex(4)}.partial")
            try:
                with partial.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
            except OSError as error:
                partial.unlink(missing_ok=True)
                raise HostError(
                    f"the artifact {path} cannot be written: {error.strerror or error}",
                    hint=shortage(error) or "see that the folder is there and can be written to",
                ) from error
        return name

    def close(self) -> None:
        """Close the file and give up the lock; safe to call twice."""
        if self._file is not None:
            # a failed write was reported when it happened
            with contextlib.suppress(OSError):
                self._file.close()
        self._lock.release()


@dataclass
class Lines:
    """The content of a journal.

    Attributes
    ----------
    events : list of dict
        Parsed from JSON, in order.
    unreadable : list of bytes
        Complete lines, or beginnings of lines, that are not an event of this run.
    end : int
        Where the last complete line ends; anything after that was cut off by a crash, or is still being written.
    """

    events: list[dict[str, Any]]
    unreadable: list[bytes]
    end: int

    @property
    def next(self) -> int:
        """The number of the event after the last one."""
        return max((event["seq"] for event in self.events), default=-1) + 1


def read(data: bytes, run_id: str) -> Lines:
    r"""Return the content of a run's journal, even if some of its lines are damaged.

    Examples
    --------
    >>> one, two = (f'{{"run_id":"r1","seq":{n},"at":"2026-01-01T00:00:00Z","event":"noticed"}}\n'.encode() for n in (0, 1))
    >>> found = read(one + b"no event\n" + two + one[:20], "r1")
    >>> [event["seq"] for event in found.events], found.unreadable, found.end == len(one + two) + 9
    ([0, 1], [b'no event'], True)
    """
    end = data.rfind(b"\n") + 1
    found = Lines([], [], end)
    begin = f'{{"run_id":{json.dumps(run_id)},'.encode()
    for line in data[:end].split(b"\n")[:-1]:
        event = _event(line, run_id)
        if event is None and (at := line.rfind(begin)) > 0:
            # a truncated line to which the next was appended; inside a complete line the quotes would be escaped
            event, line = _event(line[at:], run_id), line[:at]
            found.unreadable.append(line)
        elif event is None:
            found.unreadable.append(line)
        if event is not None:
            found.events.append(event)
    return found


def _event(line: bytes, run_id: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line, parse_constant=lambda _: None)
        sound = (
            event["run_id"] == run_id
            and type(event["seq"]) is int
            and 0 <= event["seq"] < _MOST_EVENTS
            and isinstance(event["event"], str)
            and datetime.fromisoformat(event["at"]) is not None
        )
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return event if sound else None


def _line(event: Event) -> bytes:
    try:
        return event.model_dump_json().encode()
    except PydanticSerializationError:
        # half a surrogate pair, which models, file names and cells can all produce, has no place in UTF-8
        return json.dumps(event.model_dump(mode="json"), ensure_ascii=False).encode(errors="replace")


def is_alive(path: Path) -> bool:
    """Say whether the process that writes the journal at ``path`` still lives."""
    try:
        with FileLock(path.with_suffix(LOCK), timeout=0):
            return False
    except Timeout:
        return True


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
