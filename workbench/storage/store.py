"""The DuckDB file: takes journals in, in short bursts, and answers SQL without ever keeping the file open."""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random

from workbench import paths
from workbench.errors import Failure, StoreError
from workbench.events import RunFinished
from workbench.storage.journal import LOCK, SUFFIX, Journal, is_alive
from workbench.storage.tables import Rows

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_WAIT_SECONDS = 30
_opening = threading.Lock()
"""One connection of this process at a time: DuckDB refuses a second one opened in another mode."""


class Store:
    """Everything that was ever run, in one DuckDB file and the journals beside it.

    Runs write journals, never the file, so that nobody who reads it can hold up a run. Whoever reads takes the
    journals in first, so that a question sees every event up to now, those of live runs too.

    Parameters
    ----------
    path : str or Path, optional
        The file; by default :func:`workbench.paths.store`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(f"{folder}/example.duckdb")
    ...     int(store.sql("SELECT count(*) AS runs FROM runs").runs[0])
    0
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path).expanduser().absolute() if path is not None else paths.store()
        if not self.path.parent.is_dir():
            raise StoreError(
                f"cannot make the store {self.path}: its folder does not exist", hint="make the folder, or name another with --store"
            )
        self.journals = self.path.with_name(self.path.name + ".journals")
        self._migrated = False

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def journal(self, run_id: str) -> Journal:
        """Return a new journal for ``run_id``."""
        return Journal(self.journals, run_id)

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
        with self._connect(read_only=True) as connection:
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
        """Take what is new in the journals into the file, and return the number of events.

        A run whose process is gone without a last event gets one that says it was interrupted. A journal is removed
        once all of it is in the file. A line that was cut off by a crash is left out: it was never durable.
        """
        if self._migrated and not self._pending() and self.path.exists():
            return 0
        with self._connect(read_only=False) as connection:
            self._migrate(connection)
            self._migrated = True
            return sum(self._take_in_or_set_aside(connection, journal) for journal in sorted(self.journals.glob(f"*{SUFFIX}")))

    def _pending(self) -> bool:
        return self.journals.is_dir() and any(self.journals.glob(f"*{SUFFIX}"))

    @contextmanager
    def _connect(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        import duckdb

        @retry(retry=retry_if_exception_type(duckdb.IOException), wait=wait_random(0.01, 0.05), stop=stop_after_delay(5), reraise=True)
        def connect() -> duckdb.DuckDBPyConnection:
            return duckdb.connect(str(self.path), read_only=read_only, config={"autoinstall_known_extensions": "false"})

        lock = FileLock(self.path.with_name(self.path.name + ".lock"))
        try:
            with _opening, lock.acquire(timeout=_WAIT_SECONDS):
                try:
                    connection = connect()
                except duckdb.Error as error:
                    held = isinstance(error, duckdb.ConnectionException) or "lock" in str(error).lower()
                    hint = "another program has it open: close it there; nothing is lost, runs go on in their journals" if held else ""
                    raise StoreError(f"cannot open the store {self.path}: {error}", hint=hint) from None
                with connection:
                    yield connection
        except Timeout:
            raise StoreError(
                f"the store {self.path} has been busy for {_WAIT_SECONDS} s", hint="a long query may be running; try again"
            ) from None

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

    def _take_in_or_set_aside(self, connection: duckdb.DuckDBPyConnection, path: Path) -> int:
        """One journal that makes no sense must not keep the others out."""
        import duckdb

        try:
            return self._take_in(connection, path)
        except (duckdb.DataError, duckdb.IntegrityError, ValueError, KeyError, TypeError, AttributeError) as error:
            with suppress(duckdb.Error):
                connection.execute("ROLLBACK")
            if not is_alive(path):
                aside = path.with_suffix(".broken")
                path.rename(aside)
                path.with_suffix(LOCK).unlink(missing_ok=True)
                warnings.warn(f"a journal makes no sense and was set aside as {aside}: {type(error).__name__}: {error}", stacklevel=2)
            return 0

    def _take_in(self, connection: duckdb.DuckDBPyConnection, path: Path) -> int:
        run_id = path.name.removesuffix(SUFFIX)
        # alive is asked before reading: a run that ends in between is then taken in next time, never called interrupted
        alive = is_alive(path)
        offset = connection.execute("SELECT bytes FROM journals WHERE run_id = ?", [run_id]).fetchone()
        before = offset[0] if offset else 0
        rows, size = _read(path, before)
        if not alive and run_id not in rows.finished and not self._ended(connection, run_id):
            self._interrupted(path)
            rows, size = _read(path, before)
        count = len(rows.inserts.get("events", []))
        connection.execute("BEGIN")
        for table, found in rows.inserts.items():
            _insert(connection, table, found)
        for run, columns in rows.updates:
            assignments = ", ".join(f"{name} = ?" for name in columns)
            connection.execute(f"UPDATE runs SET {assignments} WHERE run_id = ?", [*columns.values(), run])  # noqa: S608 - names are ours
        artifacts = dict(rows.artifacts)
        for name, media_type in rows.blobs:
            blob = path.parent / f"{name}.blob"
            if blob.is_file():
                artifacts[name] = (media_type, blob.read_bytes())
        for name, (media_type, data) in artifacts.items():
            connection.execute(
                "INSERT INTO artifacts SELECT ?, ?, ?, ? WHERE NOT EXISTS (FROM artifacts WHERE sha256 = ?)",
                [name, media_type, len(data), data, name],
            )
        connection.execute("DELETE FROM journals WHERE run_id = ?", [run_id])
        connection.execute("INSERT INTO journals VALUES (?, ?)", [run_id, size])
        connection.execute("COMMIT")
        # the commit above is durable, so the other copies may go
        for name, _ in rows.blobs:
            (path.parent / f"{name}.blob").unlink(missing_ok=True)
        if not alive:
            path.unlink(missing_ok=True)
            path.with_suffix(LOCK).unlink(missing_ok=True)
            # last: without this row a journal that is still there would be taken in again
            connection.execute("DELETE FROM journals WHERE run_id = ?", [run_id])
        return count

    def _ended(self, connection: duckdb.DuckDBPyConnection, run_id: str) -> bool:
        return connection.execute("SELECT 1 FROM events WHERE run_id = ? AND event = 'run_finished'", [run_id]).fetchone() is not None

    def _interrupted(self, path: Path) -> None:
        """End the journal of a process that is gone."""
        data = path.read_bytes()
        end = data.rfind(b"\n") + 1
        os.truncate(path, end)
        events = [json.loads(line) for line in data[:end].splitlines()]
        own = [event for event in events if not event.get("inherited")]
        calls = [event for event in own if event["event"] == "model_called"]
        costs = [call["cost_usd"] for call in calls if call["cost_usd"] is not None]
        error = Failure(
            kind="user",
            message="the process that made this run was killed",
            hint="what it had finished is here: workbench runs branch goes on from its last step",
        )
        with Journal(path.parent, path.name.removesuffix(SUFFIX)) as journal:
            journal.write(
                RunFinished(
                    status="interrupted",
                    error=error,
                    success=None,
                    steps=sum(event["event"] == "step_finished" for event in own),
                    tokens=sum(call["usage"]["input_tokens"] + call["usage"]["output_tokens"] for call in calls),
                    cost_usd=sum(costs) if costs else None,
                    seconds=_seconds(events),
                ),
                durable=True,
            )


def _seconds(events: list[dict[str, Any]]) -> float:
    from datetime import datetime

    if not events:
        return 0.0
    first, last = (datetime.fromisoformat(events[position]["at"]) for position in (0, -1))
    return (last - first).total_seconds()


def _read(path: Path, offset: int) -> tuple[Rows, int]:
    """Return the rows of the complete lines beyond ``offset``, and where they end."""
    rows = Rows()
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    end = data.rfind(b"\n") + 1
    for line in data[:end].splitlines():
        rows.add(json.loads(line))
    return rows, offset + end


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    """Insert ``rows`` in one statement: a hundred times faster than a statement each."""
    columns = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [table]
    ).fetchall()
    if unknown := {key for row in rows for key in row} - {name for name, _ in columns}:
        raise StoreError(f"table {table} has no column {', '.join(sorted(unknown))}")
    shape = json.dumps([dict(columns)])
    query = f"INSERT INTO {table} SELECT row.* FROM (SELECT unnest(from_json(?, ?)) AS row)"  # noqa: S608 - names are ours
    connection.execute(query, [json.dumps(rows), shape])
