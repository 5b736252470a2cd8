"""The DuckDB file: takes journals in, in short bursts, and answers SQL without ever keeping the file open."""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from tenacity import retry, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random

from workbench import paths
from workbench.errors import Failure, HostError, StoreError, shortage
from workbench.events import RunFinished
from workbench.storage.journal import LOCK, RESERVE, SUFFIX, Journal, is_alive, read
from workbench.storage.tables import Rows

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

BROKEN = ".broken"
"""The suffix of a journal with unreadable lines, once all its other lines have been imported."""
_FORM = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What parsing an event raises if it does not have the form of its kind."""
_WAIT_SECONDS = 30
_MAGIC = slice(8, 12)
"""Where the file of a DuckDB database says that it is one."""
_ANOTHER = "name another file with --store or WORKBENCH_STORE; it is made if it is not there"
_opening = threading.Lock()
"""One connection of this process at a time: DuckDB refuses a second one opened in another mode."""


def _forked() -> None:
    """Replace the lock in a fork of this process, which has none of the threads that could hold it."""
    global _opening
    _opening = threading.Lock()


os.register_at_fork(after_in_child=_forked)


class BusyError(StoreError):
    """Somebody else has the store open."""


class Store:
    """Everything that was ever run, in one DuckDB file and the journals beside it.

    Runs write journals, never the file, so that nobody who reads it can hold up a run. Whoever reads takes the
    journals in first, so that a question sees every event up to now, those of live runs too.

    Parameters
    ----------
    path : str or Path, optional
        The file; by default :func:`workbench.paths.store`.

    Raises
    ------
    StoreError
        If no store can be there: the path is empty, a folder or a device, or its folder does not exist.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(f"{folder}/example.duckdb")
    ...     int(store.sql("SELECT count(*) AS runs FROM runs").runs[0])
    0
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = _usable(path)
        self.journals = self.path.with_name(self.path.name + ".journals")
        self._migrated = False

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def journal(self, run_id: str) -> Journal:
        """Return a new journal for ``run_id``."""
        return Journal(self.journals, run_id)

    def check(self) -> None:
        """Refuse what cannot be a store, before a run begins that would be recorded there.

        Raises
        ------
        StoreError
            If the file is no database, or one of a newer workbench, or nothing can be written beside it.
        """
        with self._told():
            if self.path.exists() and not self._migrated:
                with self.path.open("rb") as file:
                    start = file.read(_MAGIC.stop)
                if start and start[_MAGIC] != b"DUCK":
                    raise StoreError(f"{self.path} is no DuckDB database, and cannot be a store", hint=_ANOTHER)
                # whoever has it open does not hold up a run
                with suppress(BusyError), self._connect(read_only=False, wait=False) as connection:
                    self._migrate(connection)
                    self._migrated = True
            try:
                self.journals.mkdir(exist_ok=True)
                with tempfile.TemporaryFile(dir=self.journals):
                    return
            except OSError as error:
                if error.errno != errno.EROFS:
                    raise
        # while a run writes, the same is a disk that failed; so it must not be the cause of this error either
        raise StoreError(f"the store {self.path} cannot be written: its file system is read-only", hint=_ANOTHER)

    def sql(self, query: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> pd.DataFrame:
        """Answer ``query`` over everything recorded up to now; the file is open only while it runs, and read-only.

        Parameters
        ----------
        query : str
            DuckDB SQL over the tables of ``docs/store.md``.
        parameters : sequence or dict
            For ``?`` or ``$name`` in the query.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        StoreError
            If another program holds the file, or the query is wrong.
        """
        with self._asked(query, parameters) as answer:
            return answer.df()

    def rows(self, query: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[dict[str, Any]]:
        """Answer ``query`` as plain Python values, one dict a row; raises like :meth:`sql`."""
        with self._asked(query, parameters) as answer:
            names = [column[0] for column in answer.description or ()]
            return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    @contextmanager
    def _asked(self, query: str, parameters: Sequence[Any] | dict[str, Any]) -> Iterator[duckdb.DuckDBPyConnection]:
        import duckdb

        self.absorb()
        with self._told(), self._connect(read_only=True) as connection:
            try:
                answer = connection.execute(query, parameters)
                if answer is None:
                    raise StoreError("the query is empty", hint="docs/store.md lists the tables")
                yield answer
            except duckdb.Error as error:
                raise StoreError(str(error), hint="docs/store.md lists the tables; writing is not possible here") from None

    def artifact(self, sha256: str) -> bytes:
        """Return the content of an artifact.

        Raises
        ------
        StoreError
            If there is none of that hash.
        """
        found = self.rows("SELECT data FROM artifacts WHERE sha256 = ?", [sha256])
        if not found:
            raise StoreError(f"{self.path} has no artifact {sha256}")
        data: bytes = found[0]["data"]
        return data

    def absorb(self) -> int:
        """Import what is new in the journals into the file, and return the number of events.

        If the process of a run is gone and there is no last event, the run gets one that says that it was interrupted,
        or that its record could not be written. A journal is removed once all of it is in the file. A line that was cut
        off by a crash is skipped: it was never durable. A journal with unreadable lines is imported without them, and
        kept aside.

        Raises
        ------
        StoreError
            If another program has locked the file, or it cannot be written.
        HostError
            If this machine has no disk space for it. Nothing is lost then: the journals wait.
        """
        with self._told():
            return self._absorb()

    def _absorb(self) -> int:
        if self._migrated and not self._pending() and self.path.exists():
            return 0
        if not self.path.exists():
            self.check()
        with self._connect(read_only=False) as connection:
            self._migrate(connection)
            self._migrated = True
            return sum(self._take_in(connection, journal) for journal in sorted(self.journals.glob(f"*{SUFFIX}")))

    def _pending(self) -> bool:
        return self.journals.is_dir() and any(self.journals.glob(f"*{SUFFIX}"))

    @contextmanager
    def _connect(self, *, read_only: bool, wait: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
        import duckdb

        busy = BusyError(f"the store {self.path} has been busy for {_WAIT_SECONDS} s", hint="a long query may be running; try again")
        patience = stop_after_delay(5) if wait else stop_after_attempt(1)

        @retry(retry=retry_if_exception(_may_pass), wait=wait_random(0.01, 0.05), stop=patience, reraise=True)
        def connect() -> duckdb.DuckDBPyConnection:
            fresh = not self.path.exists()
            try:
                return duckdb.connect(str(self.path), read_only=read_only, config={"autoinstall_known_extensions": "false"})
            except duckdb.Error:
                if fresh:
                    # an incomplete file, which could not be opened again
                    self.path.unlink(missing_ok=True)
                raise

        lock = FileLock(self.path.with_name(self.path.name + ".lock"))
        opening = _opening
        if not opening.acquire(blocking=wait):
            raise busy
        try:
            with lock.acquire(timeout=_WAIT_SECONDS if wait else 0):
                try:
                    connection = connect()
                except duckdb.Error as error:
                    if shortage(error):
                        raise
                    said = f"cannot open the store {self.path}: {error}"
                    if isinstance(error, duckdb.ConnectionException) or "lock" in str(error).lower():
                        hint = "another program has it open: close it there; nothing is lost, runs go on in their journals"
                        raise BusyError(said, hint=hint) from None
                    raise StoreError(said, hint=_ANOTHER) from None
                with connection:
                    # it would be shown on standard output, in notebooks and with python -c, if a query takes 2 seconds
                    with suppress(duckdb.InvalidInputException):
                        # a notebook without ipywidgets has no progress bar, and refuses to turn it off
                        connection.execute("SET enable_progress_bar = false")
                    yield connection
        except Timeout:
            raise busy from None
        finally:
            opening.release()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Add to errors of the database or the operating system which store it is, and what to do."""
        import duckdb

        try:
            yield
        except (duckdb.Error, OSError, MemoryError) as error:
            said = f"the store {self.path} cannot be read or written: {error}"
            if remedy := shortage(error):
                raise HostError(said, hint=f"{remedy}; nothing is lost, the journals beside it wait") from error
            raise StoreError(said, hint=_ANOTHER if isinstance(error, OSError) else "") from error

    def _migrate(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER, applied_at TIMESTAMP)")
        found = connection.execute("SELECT coalesce(max(version), 0) FROM schema_migrations").fetchone()
        assert found is not None
        scripts = {
            int(entry.name.removesuffix(".sql")): entry
            for entry in resources.files("workbench.storage").joinpath("migrations").iterdir()
            if entry.name.endswith(".sql")
        }
        if found[0] > max(scripts):
            raise StoreError(f"{self.path} has schema version {found[0]}, this workbench knows {max(scripts)}", hint="update workbench")
        for version in sorted(scripts):
            if version > found[0]:
                connection.execute("BEGIN")
                connection.execute(scripts[version].read_text(encoding="utf-8"))
                connection.execute("INSERT INTO schema_migrations VALUES (?, now()::TIMESTAMP)", [version])
                connection.execute("COMMIT")

    def _take_in(self, connection: duckdb.DuckDBPyConnection, path: Path) -> int:
        run_id = path.name.removesuffix(SUFFIX)
        # alive is asked before reading: a run that ends in between is then taken in next time, never called interrupted
        alive = is_alive(path)
        before, last = _one(
            connection, "SELECT (SELECT max(bytes) FROM journals WHERE run_id = $1), max(seq) FROM events WHERE run_id = $1", run_id
        )
        with path.open("rb") as file:
            # after a power cut a journal may be shorter than what was imported from it
            start = before if before is not None and before <= os.fstat(file.fileno()).st_size else 0
            file.seek(start)
            found = read(file.read(), run_id)
        events = [event for event in found.events if last is None or event["seq"] > last]
        blobs, refused = _keep(connection, path.parent, events)
        unreadable = len(found.unreadable) + refused
        connection.execute("BEGIN")
        damaged = not alive and _end(connection, path, unreadable)
        connection.execute("DELETE FROM journals WHERE run_id = ?", [run_id])
        connection.execute("INSERT INTO journals VALUES (?, ?)", [run_id, start + found.end])
        connection.execute("COMMIT")
        # the commit above is durable, so the other copies may go
        for name in blobs:
            (path.parent / f"{name}.blob").unlink(missing_ok=True)
        if not alive:
            if damaged or unreadable:
                aside = path.rename(path.with_suffix(BROKEN))
                warnings.warn(
                    f"the journal of run {run_id} is damaged: what can be read is in the store, and it is kept as {aside}", stacklevel=2
                )
            for suffix in (RESERVE, SUFFIX, LOCK):
                path.with_suffix(suffix).unlink(missing_ok=True)
            # last: it records how much of a journal that still exists has been imported
            connection.execute("DELETE FROM journals WHERE run_id = ?", [run_id])
        return len(events)


def _keep(connection: duckdb.DuckDBPyConnection, folder: Path, events: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Insert events, all at once or, if one of them fits no table, in smaller parts.

    Returns
    -------
    blobs : list of str
        Artifacts beside the journal that are now in the store.
    refused : int
        How many events could not be inserted.
    """
    import duckdb

    rows = Rows()
    connection.execute("BEGIN")
    try:
        for event in events:
            rows.add(event)
        _insert_rows(connection, folder, rows)
        connection.execute("COMMIT")
    except (*_FORM, duckdb.DataError, duckdb.IntegrityError, duckdb.ProgrammingError):
        connection.execute("ROLLBACK")
    else:
        return [name for name, _ in rows.blobs], 0
    if len(events) > 1:
        parts = [_keep(connection, folder, part) for part in (events[: len(events) // 2], events[len(events) // 2 :])]
        return [name for blobs, _ in parts for name in blobs], sum(refused for _, refused in parts)
    rows = Rows()
    connection.execute("BEGIN")
    try:
        # for example numbers that fit in no column: the table of all events has what was recorded
        rows.add_untyped(events[0])
        _insert_rows(connection, folder, rows)
        connection.execute("COMMIT")
    except (*_FORM, duckdb.DataError, duckdb.IntegrityError):
        connection.execute("ROLLBACK")
    return [], 1


def _insert_rows(connection: duckdb.DuckDBPyConnection, folder: Path, rows: Rows) -> None:
    for table, found in rows.inserts.items():
        _insert(connection, table, found)
    for run, columns in rows.updates:
        assignments = ", ".join(f"{name} = ?" for name in columns)
        connection.execute(f"UPDATE runs SET {assignments} WHERE run_id = ?", [*columns.values(), run])  # noqa: S608 - names are ours
    artifacts = dict(rows.artifacts)
    for name, media_type in rows.blobs:
        blob = folder / f"{name}.blob"
        if blob.is_file():
            artifacts[name] = (media_type, blob.read_bytes())
    for name, (media_type, data) in artifacts.items():
        connection.execute(
            "INSERT INTO artifacts SELECT ?, ?, ?, ? WHERE NOT EXISTS (FROM artifacts WHERE sha256 = ?)",
            [name, media_type, len(data), data, name],
        )


def _end(connection: duckdb.DuckDBPyConnection, journal: Path, unreadable: int) -> bool:
    """End the run of a process that is gone, if its last event, or any event before that, is missing from the store.

    Returns
    -------
    damaged : bool
        Whether events are missing.
    """
    run_id = journal.name.removesuffix(SUFFIX)
    count, last, seconds, ended = _one(
        connection,
        "SELECT count(*), coalesce(max(seq), -1), coalesce(epoch(max(recorded_at) - min(recorded_at)), 0.0),"
        " coalesce(bool_or(event = 'run_finished'), false) FROM events WHERE run_id = $1",
        run_id,
    )
    missing = last + 1 - count
    status, kind = _one(connection, "SELECT max(status), max(error_kind) FROM runs WHERE run_id = $1", run_id)
    over = ended if status is None else status != "running"
    if over and (kind == "sandbox" or not missing):
        return bool(missing)
    used = connection.execute(
        "SELECT input_tokens + output_tokens::HUGEINT, cost_usd FROM model_calls WHERE run_id = ? AND inherited IS NOT true", [run_id]
    ).fetchall()
    costs = [cost for _, cost in used if cost is not None]
    (steps,) = _one(connection, "SELECT count(*) FROM steps WHERE run_id = $1 AND inherited IS NOT true", run_id)
    goes_on = "what it had finished is here: workbench runs branch goes on from its last step"
    reserve = journal.with_suffix(RESERVE)
    # a last event that exists but has not ended the run did not fit into the table of runs
    if lost := missing or unreadable or int(ended):
        error = Failure(
            kind="sandbox",
            message=f"{lost} event{'s' if lost > 1 else ''} of this run could not be written, or cannot be read any more",
            hint=f"the rest is here; the journal is kept as {journal.with_suffix(BROKEN)}",
        )
    elif reserve.exists() and reserve.stat().st_size == 0:
        error = Failure(
            kind="sandbox", message="the end of this run could not be written", hint=f"make room on the store's disk; {goes_on}"
        )
    else:
        error = Failure(kind="user", message="the process that made this run was killed", hint=goes_on)
    end = RunFinished(
        run_id=run_id,
        seq=last + 1,
        status="interrupted" if error.kind == "user" else "error",
        error=error,
        success=None,
        steps=steps,
        tokens=min(sum(tokens for tokens, _ in used), 2**63 - 1),
        cost_usd=sum(costs) if costs else None,
        seconds=seconds,
    )
    rows = Rows()
    rows.add(end.model_dump(mode="json"))
    _insert_rows(connection, journal.parent, rows)
    return bool(missing)


def _usable(path: str | Path | None) -> Path:
    """Return the absolute path of a store, if one is there or could be made there."""
    if path is not None and not str(path):
        raise StoreError("the path of the store is empty", hint=_ANOTHER)
    try:
        found = paths.store() if path is None else paths.given(path)
        mode = found.stat().st_mode if found.exists() else None
        folder = found.parent.is_dir()
    except (OSError, ValueError) as error:
        raise StoreError(f"no store can be at {path}: {getattr(error, 'strerror', None) or error}", hint=_ANOTHER) from None
    if mode is not None and not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise StoreError(f"{found} is {what}, and cannot be a store", hint=_ANOTHER)
    if not folder:
        raise StoreError(f"cannot make the store {found}: its folder does not exist", hint="make the folder, or name another with --store")
    return found


def _may_pass(error: BaseException) -> bool:
    """Say whether opening the file is worth a retry: another process has it open, and this machine has no shortage."""
    import duckdb

    return isinstance(error, duckdb.IOException) and "not a valid DuckDB" not in str(error) and shortage(error) is None


def _one(connection: duckdb.DuckDBPyConnection, query: str, run_id: str) -> tuple[Any, ...]:
    found = connection.execute(query, [run_id]).fetchone()
    assert found is not None
    return found


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    """Insert ``rows`` in one statement: a hundred times faster than a statement each."""
    columns = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [table]
    ).fetchall()
    if unknown := {key for row in rows for key in row} - {name for name, _ in columns}:
        raise ValueError(f"table {table} has no column {', '.join(sorted(unknown))}")
    shape = json.dumps([dict(columns)])
    query = f"INSERT INTO {table} SELECT row.* FROM (SELECT unnest(from_json(?, ?)) AS row)"  # noqa: S608 - names are ours
    connection.execute(query, [json.dumps(rows), shape])
