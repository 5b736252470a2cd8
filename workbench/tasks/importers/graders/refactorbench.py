"""Upstream's unit tests of a refactored tree; and beside them, whether its modules still find what they ask of one another.

Upstream's tests look at named places only, so a refactoring that breaks the rest of the project can pass them.
"""

from pathlib import Path

from workbench_grading.kinds import unittest_
from workbench_grading.resolving import TooMuch, broken
from workbench_grading.tree import printable


def grade(submission: Path, hidden: Path, untouched: Path) -> dict:
    """Return upstream's verdict, and the share of modules that lack no name which they had."""
    # the tests look at ../src/...: they must run in a folder right below the top
    report = unittest_.grade(submission, hidden, tests="tests.py", cwd="*/")
    try:
        found, modules = broken(untouched, submission)
        said = {printable(path): [printable(name) for name in names[:10]] for path, names in list(found.items())[:50]}
    except TooMuch as reason:
        found, modules, said = {}, 0, str(reason)
    report["metrics"]["names_resolve"] = 1 - len(found) / modules if modules else 0.0
    report["details"]["broken"] = said
    return report
