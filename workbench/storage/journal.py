"""A run's journal: JSON lines, one an event, durable at every step; what a killed process had written is never lost."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout
from pydantic_core import PydanticSerializationError

from workbench.errors import StoreError
from workbench.events import Event

SUFFIX = ".jsonl"
LOCK = ".lock"


class Journal:
    """Writes a run's events; the lock it holds says that the run is alive.

    Parameters
    ----------
    folder : Path
        The store's journal folder.
    run_id : str
        Names the file.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.run_id = run_id
        self.path = folder / f"{run_id}{SUFFIX}"
        self._lock = FileLock(folder / f"{run_id}{LOCK}", thread_local=False)
        try:
            # a reader that asks whether this run is alive holds the lock for an instant
            self._lock.acquire(timeout=5)
        except Timeout:
            raise StoreError(f"run {run_id} is being written by another process") from None
        self._file = self.path.open("ab")
        self._next = sum(1 for _ in self.path.open("rb")) if self._file.tell() else 0
        _sync_folder(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, event: Event, *, durable: bool = False) -> None:
        """Append ``event``, numbering it.

        Parameters
        ----------
        durable : bool
            Return only when it is on disk, and everything before it.
        """
        event.run_id, event.seq = self.run_id, self._next
        line = _line(event)
        self._next += 1
        self._file.write(line + b"\n")
        self._file.flush()
        if durable:
            os.fsync(self._file.fileno())

    def artifact(self, data: bytes) -> str:
        """Keep ``data`` beside the journal until it is taken into the store, and return its SHA-256."""
        name = hashlib.sha256(data).hexdigest()
        path = self.path.parent / f"{name}.blob"
        if not path.exists():
            partial = path.with_suffix(f".{secrets.token_hex(4)}.partial")
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        return name

    def close(self) -> None:
        """Close the file and give up the lock; safe to call twice."""
        self._file.close()
        self._lock.release()


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
