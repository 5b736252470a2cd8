"""Upstream's unit tests of a refactored tree, and whether its modules still find the names that they import.

Upstream's tests look at named places only, so a refactoring that breaks the rest of the project can pass them.
"""

from pathlib import Path

from workbench_grading.kinds import unittest_
from workbench_grading.resolving import TooMuch, broken, gone
from workbench_grading.tree import printable


def grade(submission: Path, hidden: Path, untouched: Path) -> dict:
    """Return upstream's verdict, and the share of modules whose names still resolve and whose definitions exist."""
    # the tests look at ../src/...: they must run in a folder right below the top
    report = unittest_.grade(submission, hidden, tests="tests.py", cwd="*/")
    try:
        lacking, now = broken(untouched, submission)
        lost, lost_modules, before = gone(untouched, submission)
        whole = 1 - (len(lacking) + lost_modules) / max(now, before, 1)
        said = {"broken": _said(lacking), "gone": _said(lost)}
    except TooMuch as reason:
        whole, said = 0.0, {"broken": str(reason)}
    report["metrics"]["names_resolve"] = max(whole, 0.0)
    report["details"].update(said)
    return report


def _said(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {printable(path): [printable(name) for name in names[:10]] for path, names in list(found.items())[:50]}
