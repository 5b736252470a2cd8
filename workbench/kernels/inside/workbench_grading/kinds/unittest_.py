"""The kind ``unittest``: tests that look at the submitted files, never run them, and need their working directory in the tree."""

import importlib.util
import io
import os
import sys
import unittest
from pathlib import Path

from workbench_grading.reading import Invalid


def grade(submission: Path, hidden: Path, *, tests: str, cwd: str = ".") -> dict:
    """Run the test cases of a hidden file and return the share that passes.

    The tests run in the grader's own process: they may read what was submitted, but must neither import nor run it.

    Parameters
    ----------
    submission, hidden : Path
        As every grader is given them.
    tests : str
        The file, relative to the hidden folder.
    cwd : str
        The folder in which they run, relative to the submission; ``*/`` is any folder right below it.

    Returns
    -------
    dict
        A report: ``solved`` is 1 if all pass; ``checks`` is the share that does.
    """
    outcome = run(hidden / tests, folder(submission, cwd))
    passed = sum(outcome.values())
    return {
        "metrics": {"solved": float(passed == len(outcome)), "checks": passed / len(outcome)},
        "invalid": None,
        "details": {"failed": sorted(name for name, holds in outcome.items() if not holds), "tests": len(outcome)},
    }


def folder(submission: Path, cwd: str) -> Path:
    """Return the folder in which tests run; an agent that has removed it has broken what they look at."""
    if cwd == "*/":
        below = sorted(path for path in submission.iterdir() if path.is_dir())
        if not below:
            raise Invalid("there is no folder left in the tree")
        return below[0]
    if not (submission / cwd).is_dir():
        raise Invalid(f"the folder {cwd} is gone")
    return submission / cwd


def run(tests: Path, cwd: Path) -> "dict[str, bool]":
    """Run every test case of a file in a working directory; return which passed, by name."""
    spec = importlib.util.spec_from_file_location("hidden_tests", tests)
    module = importlib.util.module_from_spec(spec)
    sys.modules["hidden_tests"] = module
    before = Path.cwd()
    os.chdir(cwd)
    try:
        spec.loader.exec_module(module)
        suite = unittest.defaultTestLoader.loadTestsFromModule(module)
        names = [case.id().removeprefix("hidden_tests.") for case in _cases(suite)]
        if not names:
            raise RuntimeError(f"{tests.name} has no test cases")
        result = unittest.TextTestRunner(stream=io.StringIO(), verbosity=0).run(suite)
    finally:
        os.chdir(before)
    bad = [case.id() for case, _ in [*result.failures, *result.errors]]
    # a failure in setUpClass or setUpModule names no case: nothing it stands for was tried
    broken = result.testsRun != len(names)
    return {name: not broken and f"hidden_tests.{name}" not in bad for name in names}


def _cases(suite: unittest.TestSuite) -> "list[unittest.TestCase]":
    return [case for each in suite for case in (_cases(each) if isinstance(each, unittest.TestSuite) else [each])]
