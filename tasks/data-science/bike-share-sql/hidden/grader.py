"""Run the submitted queries on a database the agent has not seen, behind walls, and compare what they return."""

import json
import shutil
import tempfile
from pathlib import Path

from workbench_grading import Invalid, read_json, run_submitted

TOLERANCE = 0.005
# Each result is printed as soon as it is there, so that a query that brings the process down takes only those after it along.
RUN = """
import decimal, json, pathlib, sys, threading
import duckdb

folder = pathlib.Path(sys.path[0])
off = ("enable_external_access", "autoload_known_extensions", "autoinstall_known_extensions")
config = {{**dict.fromkeys(off, "false"), "threads": "1"}}
database = duckdb.connect(str(folder / "others.duckdb"), read_only=True, config=config)
database.execute("SET memory_limit = '400MB'")
database.execute("SET lock_configuration = true")
for name, query in {queries!r}.items():
    timer = threading.Timer(10, database.interrupt)
    timer.start()
    try:
        (statement,) = database.extract_statements(query)
        if statement.type != duckdb.StatementType.SELECT:
            raise ValueError("this is not a SELECT")
        result = {{"rows": database.execute(statement).fetchmany({most} + 1)}}
    except Exception as error:
        result = {{"error": str(error)[:300]}}
    timer.cancel()
    print(json.dumps([name, result], default=lambda value: float(value) if isinstance(value, decimal.Decimal) else str(value)), flush=True)
"""


def read_queries(path: Path, names: list[str]) -> dict[str, str]:
    answer = read_json(path, names)
    if wrong := [name for name in names if not isinstance(answer[name], str)]:
        raise Invalid(f"{wrong[0]} must be a string")
    return {name: answer[name] for name in names}


def run(queries: dict[str, str], database: Path, most: int) -> dict[str, dict]:
    """Return for each query its rows, or the error; a query that did not get to say either is left out."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(database, folder)
        done = run_submitted(RUN.format(queries=queries, most=most), submission=Path(folder), timeout=90)
    results = {}
    for line in done.stdout.splitlines():
        try:
            # an integer of SQL may be too large for a float to be taken from it, but not to be one: infinite
            name, result = json.loads(line, parse_int=float)
            results[name] = dict(result)
        except (ValueError, TypeError, RecursionError):
            continue
    return results


def same(found: object, wanted: object) -> bool:
    numbers = (int, float)
    if type(found) in numbers and type(wanted) in numbers:
        return abs(found - wanted) <= TOLERANCE
    if isinstance(found, str) and isinstance(wanted, str):
        # a day may come as the timestamp of its midnight
        return found.removesuffix(" 00:00:00") == wanted.removesuffix(" 00:00:00")
    return found is None and wanted is None


def same_rows(found: object, wanted: list[list]) -> bool:
    if not isinstance(found, list) or len(found) != len(wanted):
        return False
    return all(
        isinstance(row, list) and len(row) == len(other) and all(map(same, row, other)) for row, other in zip(found, wanted, strict=True)
    )


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    queries = read_queries(submission / "queries.json", list(expected))
    results = run(queries, hidden / "others.duckdb", max(map(len, expected.values())))
    right = {name: same_rows(results.get(name, {}).get("rows"), rows) for name, rows in expected.items()}
    failed = {name: str(results.get(name, {}).get("error", "no result"))[:300] for name in expected if "rows" not in results.get(name, {})}
    return {
        "metrics": {"right": sum(right.values()) / len(right), "failed": float(len(failed))},
        "invalid": None,
        "details": {"right": right, "failed": failed},
    }
