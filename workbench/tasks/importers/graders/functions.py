"""Run upstream's tests of a function here, in the grader, on a submission that stays in a process of its own.

The tests are upstream's, word for word; the functions they call are stand-ins that ask the submission's process for what
the real ones return. See ``workbench_grading.submitted`` for what that keeps out, and for what it cannot: a submission
that knows the answers from elsewhere passes, and so does one that only covers the tested cases where the prompt shows them.
"""

import ast
import json
from pathlib import Path

from workbench_grading import Failed, read_text, submitted

_SECONDS = 30
_FILE = "solution.py"


def grade(submission: Path, hidden: Path) -> dict:
    """Return the share of tests that pass; an error in one is upstream's own way to say that it does not."""
    problem = json.loads((hidden / "problem.json").read_text(encoding="utf-8"))
    read_text(submission / _FILE, 2**20)
    why: list[str] = []
    try:
        with submitted(submission, _FILE, context=problem["context"], timeout=_SECONDS) as there:
            for test in problem["tests"]:
                try:
                    exec(test, tested(problem, there.module))
                except Exception as error:
                    why.append(f"{type(error).__name__}: {error}"[:300])
    except Failed as reason:
        why = [f"{_FILE} cannot be loaded: {reason}"] * len(problem["tests"])
    passed = len(problem["tests"]) - len(why)
    return {"metrics": {"solved": float(not why), "checks": passed / len(problem["tests"])}, "invalid": None, "details": {"failed": why}}


def tested(problem: dict, module: object) -> dict:
    """Return the names a test finds: upstream's context, and of the submission only what the problem names.

    So a submission that defines ``abs`` or ``len`` does not change what a test means by them.
    """
    found: dict = {"__name__": "tests"}
    exec(problem["context"], found)
    used = {node.id for text in [problem["setup"], *problem["tests"]] for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    found |= {name: getattr(module, name) for name in problem["names"] if name in used}
    exec(problem["setup"], found)
    return found
