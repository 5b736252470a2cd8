"""M3ToolEval: 82 tasks that take several calls of several tools, from the paper that proposed code as actions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.errors import TaskError
from workbench.tasks.checkout import Checkout
from workbench.tasks.imported import Imported, Piece, all_or_nothing, described
from workbench.tasks.listing import listed

TITLE = "M3ToolEval"
SOURCE = "Wang et al. (2024), arXiv 2402.01030; github.com/xingyaoww/code-act, scripts/eval/m3tooleval"

_PLACES = ("scripts/eval/m3tooleval/tasks", "m3tooleval/tasks", "tasks")
_HERE = Path(__file__).parent
_TURNS = 10
"""Upstream's limit."""


def tasks(checkout: Checkout) -> list[Imported]:
    """Return the tasks; upstream makes them in code, which is asked behind walls.

    Raises
    ------
    TaskError
        If the checkout is not one of M3ToolEval.
    """
    package = next((checkout.root / place for place in _PLACES if (checkout.root / place / "base.py").is_file()), None)
    if package is None:
        raise TaskError(f"{checkout.root} has no {_PLACES[0]}", hint="give a checkout of github.com/xingyaoww/code-act")
    # the walls show a folder, and the package is imported from the one above it
    found = listed(checkout, package, _HERE / "listings" / "m3tooleval.py", inside="tasks")
    tasks = []
    for number, each in enumerate(found):
        with checkout.reading(f"m3tooleval/{number}"):
            tasks.append(_task(checkout, package, each))
    return tasks


def _task(checkout: Checkout, package: Path, said: dict[str, Any]) -> Imported:
    task = described(
        f"m3tooleval/{said['name'].replace('/', '--').lower()}",
        family="data-science",
        licence="MIT",
        source=SOURCE,
        summary=said["instruction"],
        interaction={"mode": "tools", "tools": "grader.py:tools", "attempts": _TURNS, "max_steps": _TURNS, "max_seconds": 1800},
        environment={"name": "python-min", "memory": "1G", "cell_seconds": 60},
        submission={"kind": "answer"},
        metric=[all_or_nothing("correct")],
    )
    instruction = f"{said['instruction'].strip()}\n\nAnswer with the result alone (for example a single number), without any other text."
    pieces = [
        Piece("hidden/upstream/tasks", package),
        Piece("hidden/grader.py", _HERE / "graders" / "m3tooleval.py"),
        Piece("hidden/task.txt", said["name"]),
    ]
    return Imported(task, checkout, {"": instruction}, pieces, answer=said["answer"])
