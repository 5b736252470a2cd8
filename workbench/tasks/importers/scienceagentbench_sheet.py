"""The annotation sheet of ScienceAgentBench: one row a task, as CSV or parquet."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from workbench.errors import TaskError
from workbench.tasks.checkout import Checkout

_COLUMNS = {"instance_id", "task_inst", "dataset_folder_tree", "dataset_preview", "gold_program_name", "output_fname", "eval_script_name"}
_HINT = "save the sheet of huggingface.co/datasets/osunlp/ScienceAgentBench again"


@dataclass(frozen=True)
class Row:
    """One task as the sheet describes it."""

    id: str
    text: str
    knowledge: str
    tree: str
    preview: str
    program: str
    output: str
    script: str

    @property
    def datasets(self) -> list[str]:
        r"""The folders at the top of the tree, as in ``|-- clintox/``.

        Examples
        --------
        >>> Row("1", "", "", "|-- a/\n|---- b.csv\n|-- c/", "", "", "", "").datasets
        ['a', 'c']
        """
        return [line[4:].strip().strip("/") for line in self.tree.splitlines() if line.startswith("|-- ")]


def rows(checkout: Checkout, home: Path) -> list[Row] | None:
    """Return the tasks of the sheet in a checkout or its folder ``home``; if there are two, of the verified edition.

    None if there is no sheet. Malformed rows are noted in the checkout.

    Raises
    ------
    TaskError
        If the sheet cannot be read.
    """
    for path in sorted(_candidates((checkout.root, home)), key=lambda path: ("verified" not in path.name.lower(), path)):
        data = checkout.data(path)
        found = list(_csv(path, data) if path.suffix == ".csv" else _parquet(path, data))
        if found and found[0].keys() >= _COLUMNS:
            rows = []
            for number, each in enumerate(found, start=1):
                with checkout.reading(f"scienceagentbench/{str(each['instance_id'] or '').strip() or number}"):
                    rows.append(_row(path, number, each))
            return rows
    return None


def _candidates(folders: tuple[Path, ...]) -> set[Path]:
    return {
        path
        for folder in folders
        for within in (folder, folder / "data")
        for kind in ("csv", "parquet")
        for path in within.glob(f"*.{kind}")
    }


def _csv(path: Path, data: bytes) -> Iterator[Mapping[str, Any]]:
    try:
        yield from csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise TaskError(f"{path} cannot be read as CSV: {error}", hint=_HINT) from None


def _parquet(path: Path, data: bytes) -> Iterator[Mapping[str, Any]]:
    import duckdb

    try:
        # a copy: the path has already been checked, and DuckDB would resolve it again
        with tempfile.NamedTemporaryFile(suffix=".parquet") as copy, duckdb.connect() as connection:
            copy.write(data)
            copy.flush()
            result = connection.execute("SELECT * FROM read_parquet(?)", [copy.name])
            names = [column[0] for column in result.description or ()]
            yield from (dict(zip(names, row, strict=True)) for row in result.fetchall())
    except duckdb.Error as error:
        raise TaskError(f"{path} cannot be read as parquet: {error}", hint=_HINT) from None


def _row(path: Path, number: int, said: Mapping[str, Any]) -> Row:
    row = Row(
        id=str(said["instance_id"] or "").strip(),
        text=str(said["task_inst"] or ""),
        knowledge=str(said.get("domain_knowledge") or ""),
        tree=str(said["dataset_folder_tree"] or ""),
        preview=str(said["dataset_preview"] or ""),
        program=str(said["gold_program_name"] or ""),
        output=str(said["output_fname"] or ""),
        script=str(said["eval_script_name"] or ""),
    )
    if not row.id.isdigit():
        raise TaskError(f"{path}, row {number}: instance_id is {row.id[:40]!r}, not a number", hint=_HINT)
    for name, value in (("gold_program_name", row.program), ("output_fname", row.output), ("eval_script_name", row.script)):
        if not value or ".." in PurePosixPath(value).parts or PurePosixPath(value).is_absolute():
            raise TaskError(f"{path}, row {number}: {name} is {value[:80]!r}, not a path below the benchmark", hint=_HINT)
    if PurePosixPath(row.output).parts[0] != "pred_results":
        raise TaskError(f"{path}, row {number}: output_fname is {row.output[:80]!r}, which is not in pred_results", hint=_HINT)
    if not row.datasets or any(not name or name == ".." or "/" in name for name in row.datasets):
        raise TaskError(f"{path}, row {number}: dataset_folder_tree names no folder at its top", hint=_HINT)
    return row
