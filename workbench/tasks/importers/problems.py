"""Problems that ask for a Python function and come with tests, as HumanEval and MBPP do."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from workbench.errors import TaskError
from workbench.tasks.checkout import Checkout
from workbench.tasks.files import MOST_OF_FILE
from workbench.tasks.imported import Imported, Piece, all_or_nothing, described

_GRADER = Path(__file__).with_name("graders") / "functions.py"
_FORMS = "it must be JSON lines, or a JSON list"
_Row = TypeVar("_Row", bound=BaseModel)


class Tests(BaseModel):
    """What the grader is told, see ``graders/functions.py``."""

    context: str
    """Code that runs before the submission, and before the tests."""
    setup: str = ""
    """Code that runs before each test and may use what was submitted."""
    tests: list[str]
    names: list[str]
    """What a test may use of the submission."""


def files(checkout: Checkout, names: Sequence[str]) -> list[Path]:
    """Return those of the named files that are in a checkout; the checkout may be such a file itself.

    Raises
    ------
    TaskError
        If there is none.
    """
    if checkout.root.is_file():
        return [checkout.root]
    found = [path for name in names if (path := checkout.root / name).is_file()]
    if not found:
        raise TaskError(f"{checkout.root} has none of {', '.join(names)}", hint="give the path of the file, or of the folder that it is in")
    return found


def rows(checkout: Checkout, suite: str, path: Path, kind: type[_Row]) -> list[_Row]:
    """Return the problems of a file: JSON lines, also compressed with gzip, or one JSON list; malformed ones are noted.

    Raises
    ------
    TaskError
        If it cannot be read as such.
    """
    data = checkout.data(path)
    try:
        text = (_unpacked(data) if data.startswith(b"\x1f\x8b") else data).decode("utf-8")
    except (OSError, EOFError, ValueError) as error:
        raise TaskError(f"{path} cannot be read: {error}", hint=_FORMS) from None
    if text.lstrip().startswith("["):
        parts = {f"problem {number}": part for number, part in enumerate(_parsed(str(path), text), 1)}
    else:
        parts = {f"line {number}": line for number, line in enumerate(text.splitlines(), 1) if line.strip()}
    if not parts:
        raise TaskError(f"{path} holds no problems")
    found = []
    for where, part in parts.items():
        with checkout.reading(f"{suite}/{path.name}, {where}"):
            found.append(_row(f"{path}, {where}", part, kind))
    return found


def _row(where: str, part: Any, kind: type[_Row]) -> _Row:
    try:
        return kind.model_validate(_parsed(where, part) if isinstance(part, str) else part)
    except ValidationError as error:
        first = error.errors()[0]
        raise TaskError(
            f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}", hint="is it the file that the benchmark's authors publish?"
        ) from None


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{where} cannot be read: {error}", hint=_FORMS) from None


def _unpacked(data: bytes) -> bytes:
    with gzip.open(io.BytesIO(data)) as file:
        unpacked = file.read(MOST_OF_FILE + 1)
    if len(unpacked) > MOST_OF_FILE:
        raise ValueError(f"it unpacks to more than {MOST_OF_FILE} bytes")
    return unpacked


def problem(checkout: Checkout, head: dict[str, str], instruction: str, tests: Tests, reference: str, start: str | None) -> Imported:
    """Return the task of writing ``/workspace/solution.py``.

    Parameters
    ----------
    checkout : Checkout
        Where it was found.
    head : dict
        Its name, licence, source and summary.
    instruction : str
        What the agent is asked.
    tests : Tests
        What is tested.
    reference : str
        The whole file as upstream solves it.
    start : str, optional
        What the file says when the agent begins; without it there is none.
    """
    task = described(
        # the nearest of the three: it is about code, and tests judge it
        family="refactoring",
        **head,
        interaction={"max_steps": 20, "max_seconds": 900},
        environment={"name": "python-min", "cell_seconds": 60},
        submission={"kind": "file", "path": "solution.py", "max_bytes": 2**20},
        grader={"timeout": 120},
        metric=[
            all_or_nothing("solved"),
            *([{"name": "checks", "range": [0, 1], "invalid": 0}] if len(tests.tests) > 1 else []),
        ],
    )
    pieces = [
        Piece("hidden/grader.py", _GRADER),
        Piece("hidden/problem.json", tests.model_dump_json()),
        *([] if start is None else [Piece("workspace/solution.py", start)]),
    ]
    write = f'open("solution.py", "w", encoding="utf-8").write({reference!r})'
    return Imported(task, checkout, {"": instruction}, pieces, cells=[write])
