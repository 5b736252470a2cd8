"""Run upstream's tests with pytest, and what they start, or load from the submission, where it can reach neither them nor the verdict.

Started by ``grader.py`` with JSON: ``home`` (the working directory), ``files``, ``modules``, ``seconds``, ``channel`` (a
descriptor for the verdict), ``ini`` and ``library``. The tests themselves are upstream's, unchanged.
"""

import contextlib
import importlib.machinery
import json
import os
import re
import subprocess
import sys
from pathlib import Path

TOLD = json.loads(sys.argv[1])
os.set_inheritable(TOLD["channel"], False)
# last: what the tests name must not be found here first
sys.path.append(TOLD["library"])

import pytest
import sandlock
from workbench_grading import Failed, submitted

ROOMS = ("/workspace/", "/tmp/")
INTERPRETER = dict.fromkeys([sys.prefix, sys.base_prefix, "/usr", "/bin", "/lib", "/lib64", "/etc", "/dev", "/proc"])
READABLE = [path for path in [*INTERPRETER, *ROOMS, TOLD["library"]] if os.path.exists(path)]
LOADED = contextlib.ExitStack()
_popen, _exec_module = subprocess.Popen, importlib.machinery.SourceFileLoader.exec_module


class Confined(_popen):
    """A process that sees the submission and the interpreter; of the tests' files only those that its command names."""

    def __init__(self, args, *more, preexec_fn=None, **options):
        words = [args] if isinstance(args, (str, bytes, os.PathLike)) else list(args)
        named = re.findall(r"/tests/[\w./-]+", " ".join(map(os.fsdecode, words)))
        shown = [path for path in named if os.path.exists(path) and Path(path).name not in TOLD["files"]]

        def confine():
            sandlock.confine(sandlock.Sandbox(fs_readable=[*READABLE, *shown], fs_writable=[*ROOMS, "/dev/null"]))
            if preexec_fn is not None:
                preexec_fn()

        super().__init__(args, *more, preexec_fn=confine, **options)


def system(command):
    """Do what ``os.system`` does, confined."""
    return subprocess.call(command, shell=True) << 8


def exec_module(loader, module):
    """Load a Python file; one of the submission's is loaded in a process of its own, and what it has is called there."""
    path = os.path.realpath(loader.path)
    if not path.startswith(ROOMS):
        _exec_module(loader, module)
        return
    root = next(room for room in ROOMS if path.startswith(room))
    context = f"import os\nos.chdir({os.getcwd()!r})"
    try:
        there = LOADED.enter_context(
            submitted(Path(root), path.removeprefix(root), context=context, timeout=TOLD["seconds"])
        ).module
    except Failed as failed:
        raise ImportError(str(failed)) from None

    def attribute(name):
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return getattr(there, name)
        except Failed as failed:
            raise AttributeError(str(failed)) from None

    module.__getattr__ = attribute


class Verdict:
    """What became of each test."""

    def __init__(self):
        self.tests = {}

    def pytest_runtest_logreport(self, report):
        """Note one phase of a test; all must pass."""
        if report.failed or self.tests.get(report.nodeid) != "failed":
            self.tests[report.nodeid] = "failed" if report.failed else report.outcome

    def pytest_collectreport(self, report):
        """Note a file that cannot be collected."""
        if report.failed:
            self.tests[report.nodeid] = "failed"


def say(what):
    """Write one line to the grader."""
    os.write(TOLD["channel"], json.dumps(what).encode() + b"\n")


def main():
    """Rehearse, say so, run the tests, say what became of them."""
    for name in TOLD["modules"]:
        __import__(name)
    subprocess.Popen, os.system = Confined, system
    importlib.machinery.SourceFileLoader.exec_module = exec_module
    for forbidden in ("SourcelessFileLoader", "ExtensionFileLoader"):
        _refuse(getattr(importlib.machinery, forbidden))
    subprocess.run(["true"], check=True)
    say("ready")
    verdict = Verdict()
    options = ["-p", "no:cacheprovider", "-c", TOLD["ini"], "--rootdir", "/tests", "--confcutdir", "/tests", "-rA"]
    with LOADED:
        code = pytest.main([*options, *(f"/tests/{name}" for name in TOLD["files"])], plugins=[verdict])
    say({"exit": int(code), "tests": verdict.tests})


def _refuse(loader):
    original = loader.exec_module

    def refuse(self, module):
        if os.path.realpath(self.path).startswith(ROOMS):
            raise ImportError(f"{self.path} is compiled, and not loaded into the tests")
        original(self, module)

    loader.exec_module = refuse


main()
