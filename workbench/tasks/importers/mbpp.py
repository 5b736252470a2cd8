"""MBPP: 974 short Python functions to write from one sentence and three tests, and the 427 that its authors edited by hand."""

from __future__ import annotations

import re

from pydantic import AliasChoices, BaseModel, Field

from workbench.errors import TaskError
from workbench.tasks.checkout import Checkout
from workbench.tasks.imported import Imported
from workbench.tasks.importers import problems

TITLE = "MBPP"
SOURCE = "Austin et al. (2021), arXiv 2108.07732; github.com/google-research/google-research, folder mbpp"

_FILES = [f"{folder}{name}" for name in ("mbpp.jsonl", "sanitized-mbpp.json") for folder in ("mbpp/", "")]


class _Row(BaseModel):
    task_id: int = Field(ge=1)
    text: str = Field(validation_alias=AliasChoices("text", "prompt"))
    code: str
    test_list: list[str] = Field(min_length=1)
    test_setup_code: str = ""
    test_imports: list[str] | None = None
    """Only the edited problems have them."""


def tasks(checkout: Checkout) -> list[Imported]:
    """Return the problems of ``mbpp.jsonl`` and ``sanitized-mbpp.json``, or of the one of them that the checkout has, or is.

    Raises
    ------
    TaskError
        If neither is there, or one is not MBPP's.
    """
    found = [_task(checkout, row) for path in problems.files(checkout, _FILES) for row in problems.rows(checkout, "mbpp", path, _Row)]
    if len({each.task.id for each in found}) != len(found):
        raise TaskError(f"{checkout.root}: a problem is there twice", hint="keep one copy of each of upstream's two files")
    return found


def _task(checkout: Checkout, row: _Row) -> Imported:
    edited = "sanitized-" if row.test_imports is not None else ""
    setup, tests = _lines(row.test_setup_code), [_lines(test) for test in row.test_list]
    head = {
        "name": f"mbpp/{edited}{_split(row.task_id)}-{row.task_id}",
        "licence": "CC-BY-4.0",
        "source": SOURCE,
        "summary": row.text,
    }
    shown = "\n".join([setup, *tests]).strip()
    instruction = (
        f"{row.text.strip()}\n\nYour code should pass these tests:\n\n```python\n{shown}\n```\n\n"
        "Write it to `/workspace/solution.py`, which is what is graded, by these tests. Only the standard library is there."
    )
    told = problems.Tests(
        context="\n".join(row.test_imports or []),
        # upstream runs code and tests in one namespace: there the tests find what the code imports
        setup="\n".join([*re.findall(r"^import [\w., ]+", row.code, re.MULTILINE), setup]),
        tests=tests,
        names=re.findall(r"^(?:def|class)\s+(\w+)", row.code, re.MULTILINE),
    )
    return problems.problem(checkout, head, instruction, told, _lines(row.code), None)


def _lines(text: str) -> str:
    """Return text whose lines end alike: upstream's end in both ways."""
    return text.replace("\r\n", "\n")


def _split(number: int) -> str:
    """Return what upstream uses a problem for: published numbers are of ``test``."""
    return next(name for last, name in ((10, "prompt"), (510, "test"), (600, "validation"), (10**9, "train")) if number <= last)
