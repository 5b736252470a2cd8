"""RefactorBench: 100 refactorings of nine real repositories, each with three instructions, checked by upstream's unit tests."""

from __future__ import annotations

import ast
from pathlib import Path, PurePosixPath

from workbench import syntax
from workbench.errors import TaskError
from workbench.tasks.checkout import Checkout
from workbench.tasks.imported import Imported, Piece, all_or_nothing, described

TITLE = "RefactorBench"
SOURCE = "Gautam et al. (2025), arXiv 2503.07832; github.com/microsoft/RefactorBench"

_GRADER = Path(__file__).with_name("graders") / "refactorbench.py"
_LEVELS = ("base", "lazy", "descriptive")
_LICENCES = {
    "ansible": "GPL-3.0-or-later",
    "celery": "BSD-3-Clause",
    "django": "BSD-3-Clause",
    "fastapi": "MIT",
    "flask": "BSD-3-Clause",
    "requests": "Apache-2.0",
    "salt": "Apache-2.0",
    "scrapy": "BSD-3-Clause",
    "tornado": "Apache-2.0",
}
_NOTE = "\n\nThe repository is in /workspace, which is your working directory."


def tasks(checkout: Checkout) -> list[Imported]:
    """Return the tasks; upstream joins tests and instructions in ``scripts/*_mapping.py``, which are read, not run.

    Raises
    ------
    TaskError
        If the checkout is not one of RefactorBench.
    """
    problems = {level: _mapping(checkout, level) for level in _LEVELS}
    found = []
    for test in problems["base"]:
        name = _name(test)
        with checkout.reading(name):
            found.append(_task(checkout, name, test, {level: problems[level].get(test) for level in _LEVELS}))
    return found


def _name(test: PurePosixPath) -> str:
    return f"refactorbench/{_project(test)}-{test.name.removesuffix('.py').removesuffix('-test').lower()}"


def _project(test: PurePosixPath) -> str:
    return test.parts[1].removesuffix("_refactor")


def _mapping(checkout: Checkout, level: str) -> dict[PurePosixPath, PurePosixPath]:
    name = f"scripts/{level}_mapping.py"
    try:
        (found,) = (
            ast.literal_eval(node.value)
            for node in syntax.parse(checkout.text(name)).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "file_mapping"
        )
        return {_within(test): _within(problem) for test, problem in found.items()}
    except (ValueError, SyntaxError, AttributeError) as error:
        raise TaskError(f"{checkout.root / name} does not hold the one dictionary file_mapping: {error}") from None


def _within(path: str) -> PurePosixPath:
    """Return a path of upstream's, which starts in ``scripts/``, from the top."""
    parts = PurePosixPath(path).parts
    if parts[:1] != ("..",) or ".." in parts[1:] or len(parts) < 4:
        raise ValueError(f"{path!r} is no path of the checkout")
    return PurePosixPath(*parts[1:])


def _task(checkout: Checkout, name: str, test: PurePosixPath, problems: dict[str, PurePosixPath | None]) -> Imported:
    base = problems["base"]
    assert base is not None
    levels = [level for level in _LEVELS if problems[level] is not None]
    tree = checkout.find("repositories", test.parts[1])
    task = described(
        name,
        family="refactoring",
        licence=_LICENCES.get(_project(test), "NOASSERTION"),
        source=SOURCE,
        summary=checkout.text(str(base)),
        prompt={"axes": {"level": levels}, "default": {"level": "base"}},
        interaction={"max_steps": 50, "max_seconds": 3600},
        environment={"name": "python-min", "memory": "2G", "cell_seconds": 300},
        submission={"kind": "tree", "max_bytes": 512 * 2**20, "max_files": 50_000},
        grader={"timeout": 300},
        metric=[
            all_or_nothing("solved"),
            {
                "name": "checks",
                "range": [0, 1],
                "invalid": 0,
                "normalise": "baseline_to_one",
                "best": 1,
                "baseline": {"measure": "untouched"},
            },
            {"name": "names_resolve", "range": [0, 1], "invalid": 0},
        ],
    )
    instructions = {f"level={level}": f"{checkout.text(str(problems[level])).strip()}{_NOTE}" for level in levels}
    return Imported(
        task,
        checkout,
        instructions,
        [Piece("workspace", tree), Piece("hidden/tests.py", checkout.find(str(test))), Piece("hidden/grader.py", _GRADER)],
    )
