"""Run upstream's tests with pytest, and what they start or load of the submission where it can reach neither them nor the verdict.

Started by ``grader.py`` with JSON: ``home`` (the working directory), ``files``, ``modules``, ``seconds``, ``channel`` (a
descriptor for the verdict), ``ini`` and ``library``. The tests themselves are upstream's, unchanged.
"""

import contextlib
import importlib
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOMS = ("/workspace/", "/tmp/")
"""Where the submission is, and where it may leave things."""
MOST_ANSWER = 2**25
"""Bytes; upstream has no such limit, and this one is out of the way of honest answers."""
LOADED = contextlib.ExitStack()


def handed_in(path: "str | os.PathLike[str]") -> bool:
    """Say whether a file may be the submission's."""
    return f"{os.path.realpath(path)}/".startswith(ROOMS)


def start_confined(readable: "Iterable[str]", tests: "Iterable[str]") -> None:
    """Have ``subprocess`` and ``os.system`` start what sees the submission and the interpreter, and files that its command names.

    Parameters
    ----------
    readable : iterable of str
        What every process may read.
    tests : iterable of str
        Names of the files that none may read.
    """
    import sandlock

    class Confined(subprocess.Popen):
        def __init__(self, args, *more, preexec_fn=None, **options):
            words = [args] if isinstance(args, (str, bytes, os.PathLike)) else list(args)
            named = [Path(path) for path in re.findall(r"/tests/[\w./-]+", " ".join(map(os.fsdecode, words)))]
            own = {Path("/tests", name) for name in tests}
            shown = [str(path) for path in named if path.exists() and not any(file.is_relative_to(path) for file in own)]

            def confine():
                sandlock.confine(sandlock.Sandbox(fs_readable=[*readable, *shown], fs_writable=[*ROOMS, "/dev/null"]))
                if preexec_fn is not None:
                    preexec_fn()

            super().__init__(args, *more, preexec_fn=confine, **options)

    subprocess.Popen = Confined
    # as a wait status, which is what it returns
    os.system = lambda command: subprocess.call(command, shell=True) << 8
    subprocess.run(["true"], check=True)


class InstalledFirst:
    """Finds modules: what is installed is never the submission's, wherever tests put its folder on the path."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> "importlib.machinery.ModuleSpec | None":
        """Return what is installed under a name; None for others to look for it."""
        if path is not None:
            return None
        return importlib.machinery.PathFinder.find_spec(name, [entry for entry in sys.path if not handed_in(entry or ".")], target)


def load_apart(seconds: float) -> None:
    """Have Python files of the submission loaded in processes of their own, where what they define is called."""
    from workbench_grading import Failed, submitted

    original = importlib.machinery.SourceFileLoader.exec_module

    def exec_module(loader, module):
        if not handed_in(loader.path):
            original(loader, module)
            return
        path = Path(loader.path).resolve()
        context = f"import os\nos.chdir({str(Path.cwd())!r})"
        try:
            there = LOADED.enter_context(
                submitted(path.parent, path.name, context=context, timeout=seconds, most_answer=MOST_ANSWER)
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

    importlib.machinery.SourceFileLoader.exec_module = exec_module
    for kind in (importlib.machinery.SourcelessFileLoader, importlib.machinery.ExtensionFileLoader):
        _only_installed(kind)
    sys.meta_path.insert(0, InstalledFirst)


def _only_installed(kind: type) -> None:
    original = kind.exec_module

    def exec_module(loader, module):
        if handed_in(loader.path):
            raise ImportError(f"{loader.path} is compiled, and is not loaded into the tests")
        original(loader, module)

    kind.exec_module = exec_module


class Verdict:
    """What became of each test."""

    def __init__(self) -> None:
        self.tests: dict[str, str] = {}

    def pytest_runtest_logreport(self, report) -> None:
        """Note one phase of a test; all must pass."""
        if report.failed or self.tests.get(report.nodeid) != "failed":
            self.tests[report.nodeid] = "failed" if report.failed else report.outcome

    def pytest_collectreport(self, report) -> None:
        """Note a file that cannot be collected."""
        if report.failed:
            self.tests[report.nodeid] = "failed"


def main() -> None:
    """Rehearse, say so, run the tests, say what became of them."""
    told = json.loads(sys.argv[1])
    os.set_inheritable(told["channel"], False)
    # last: what the tests name must not be found there first
    sys.path.append(told["library"])
    import pytest

    for name in told["modules"]:
        importlib.import_module(name)
    interpreter = dict.fromkeys([sys.prefix, sys.base_prefix, "/usr", "/bin", "/lib", "/lib64", "/etc", "/dev", "/proc"])
    start_confined([path for path in [*interpreter, *ROOMS, told["library"]] if Path(path).exists()], told["files"])
    load_apart(told["seconds"])
    os.write(told["channel"], b"ready\n")
    if Path("/tests/__init__.py").exists():
        # to find it as a package would take a look into the folder above, which is not to be looked into
        spec = importlib.util.spec_from_file_location("tests", "/tests/__init__.py", submodule_search_locations=["/tests"])
        sys.modules["tests"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["tests"])
    verdict = Verdict()
    # plain: rewriting would load files that are named like tests into this process
    options = ["--assert=plain", "-p", "no:cacheprovider", "-c", told["ini"], "--rootdir", "/tests", "--confcutdir", "/tests", "-rA"]
    with LOADED:
        code = pytest.main([*options, *(f"/tests/{name}" for name in told["files"])], plugins=[verdict])
    os.write(told["channel"], json.dumps({"exit": int(code), "tests": verdict.tests}).encode() + b"\n")


main()
