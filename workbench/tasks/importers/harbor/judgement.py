"""Whether upstream's tests say the same here as in their own container.

There they run beside what they test, as the same user and often in the same process. Here they run in the grader, on a
copy of the files, and what was submitted runs confined. Where that could give another score, a doubt says so.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name

from workbench.kernels.locks import parse_package
from workbench.tasks.checkout import Checkout
from workbench.tasks.importers.harbor import shell
from workbench.tasks.importers.harbor.source import Source, name_of, read

_NAMED = {
    "beautifulsoup4": "bs4",
    "biopython": "Bio",
    "opencv-python": "cv2",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "python-dateutil": "dateutil",
    "pyyaml": "yaml",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}
"""What packages are imported as, where that is not their name."""
_BROUGHT = {"dateutil", "numpy", "pandas", "scipy"}
"""Modules that other packages bring with them."""
_SERVERS = {
    *("aiohttp", "docker", "ftplib", "grpc", "http", "httpx", "paramiko", "playwright", "psutil", "requests", "selenium"),
    *("smtplib", "socket", "telnetlib", "urllib", "websockets"),
}
_UNWATCHED = {
    *("_thread", "asyncio", "code", "concurrent", "ctypes", "dill", "joblib", "marshal", "multiprocessing", "pexpect"),
    *("pickle", "pty", "runpy", "shelve", "torch"),
}
"""Ways to run what was submitted in the tests' own process, or past ``subprocess``."""
_BESIDE = {
    *("collections", "copy", "csv", "importlib", "itertools", "json", "math", "os", "pathlib", "pytest", "random", "re"),
    *("string", "sys", "time", "typing"),
}
"""What tests may use that call submitted code: only plain values come back to them."""
_STARTS = {"Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput", "popen", "run", "system"}
_TOOLS = {
    *("bash", "cat", "cd", "cp", "diff", "echo", "grep", "head", "ls", "mkdir", "mv", "python", "python3", "rm", "sh", "sort"),
    *("tail", "true", "wc"),
}
"""Programs that every sandbox has."""
_UNTOLD = "what cannot be told beforehand"
_CLOCKS = {"monotonic", "perf_counter", "process_time", "time", "timeit"}
_EVALUATE = {"compile", "eval", "exec"}
_KEPT = r"app|workspace|tests|logs|tmp|dev/null|usr/bin/env|bin/(?:ba)?sh"
_OUTSIDE = re.compile(rf"/(?!(?:{_KEPT})(?:/|$))(?:[\w.-]+/)*[\w.-]+/?")
_MODES = {"X_OK", "is_symlink", "islink", "readlink", "st_mode", "st_mtime", "getmtime"}


@dataclass
class Judgement:
    """What tests need, and what speaks against them.

    Attributes
    ----------
    modules : list of str
        Modules of packages, without which they cannot be run.
    loads : bool
        Whether they call submitted code that they have loaded.
    timed : bool
        Whether they look at the clock.
    doubts : list of str
        Why they might say something else here.
    """

    modules: list[str] = field(default_factory=list)
    loads: bool = False
    timed: bool = False
    doubts: list[str] = field(default_factory=list)


def judge(checkout: Checkout, files: Iterable[Path], folder: Path, packages: Iterable[str]) -> Judgement:
    """Return what is to be said of the test ``files`` in ``folder``, where ``packages`` are installed."""
    names = {canonicalize_name(parse_package(each).name) for each in packages}
    given = {_NAMED.get(name, name.replace("-", "_")) for name in names} | _BROUGHT
    local = {path.stem for path in folder.glob("*.py")} | {path.name for path in folder.iterdir() if path.is_dir()}
    judgement = Judgement()
    for path in files:
        try:
            source = read(checkout.text(str(path.relative_to(checkout.root))))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            judgement.doubts.append(f"{path.name} is not Python: {error}")
            continue
        judgement.modules += sorted(source.imported & given)
        judgement.timed |= bool(source.called & _CLOCKS)
        theirs = source.imported - sys.stdlib_module_names - given - local
        if theirs or source.called & {"spec_from_file_location", "import_module", "__import__"}:
            judgement.loads = True
            judgement.doubts += _loading(source, theirs, local)
        judgement.doubts += [doubt for check in _CHECKS for doubt in check(source)]
    judgement.doubts = list(dict.fromkeys(judgement.doubts))
    return judgement


def _loading(source: Source, theirs: set[str], local: set[str]) -> list[str]:
    """Submitted code that tests import runs in a process of its own: that will do for calls with plain values, and no more."""
    more = source.imported - _BESIDE - theirs - local | source.packages & theirs
    objects = source.called & {"capsys", "fixture", "monkeypatch", "patch", "raises"} or any(
        isinstance(node, ast.AsyncFunctionDef | ast.Try) for node in source.nodes
    )
    named = f" ({', '.join(sorted(theirs))})" if theirs else ""
    return [f"its tests load submitted code into their own process{named}"] if more or objects else []


def _companions(source: Source) -> list[str]:
    found = []
    if servers := sorted(source.imported & _SERVERS):
        found.append(f"its tests talk to servers or processes ({', '.join(servers)})")
    if unwatched := sorted(source.imported & _UNWATCHED):
        found.append(f"its tests use {', '.join(unwatched)}, which could run submitted code among them")
    return found


def _evaluation(source: Source) -> list[str]:
    unpickles = source.called & {"read_pickle", "unsafe_load", "full_load"} or any(
        word.arg == "allow_pickle" or (word.arg == "Loader" and "Safe" not in ast.unparse(word.value))
        for call in source.calls
        for word in call.keywords
    )
    evaluated = [call for call in source.calls if isinstance(call.func, ast.Name) and call.func.id in _EVALUATE]
    evaluates = any(not call.args or not source.is_own(call.args[0]) for call in evaluated)
    return ["its tests may evaluate what was submitted"] if evaluates or unpickles else []


def _places(source: Source) -> list[str]:
    found = [f"its tests look at {path}" for path in sorted(text for text in source.texts if _OUTSIDE.fullmatch(text))[:1]]
    if any(re.search(r"(^|/)\.git(/|$)", text) for text in source.texts):
        found.append("its tests look at a git repository, which is not handed in")
    if source.called & {"expanduser", "home"}:
        found.append("its tests look at the home folder")
    if any(word.arg == "cwd" and "/tests" in ast.unparse(word.value) for call in source.calls for word in call.keywords):
        found.append("its tests run programs in their own folder")
    if source.attributes & _MODES:
        found.append("its tests look at modes, times or links, which are not handed in")
    return found


def _programs(source: Source) -> list[str]:
    """Name the programs that tests start and that some sandboxes lack, including those that cannot be determined."""
    found: set[str] = set()
    for call in source.calls:
        if name_of(call.func) in _STARTS and _starts_processes(call.func) and call.args:
            given = call.args[0]
            for value in source.bound.get(given.id, [given]) if isinstance(given, ast.Name) else [given]:
                found |= _first_words(value)
    return [f"its tests run {program}" for program in sorted(found - _TOOLS)]


def _starts_processes(node: ast.expr) -> bool:
    return not isinstance(node, ast.Attribute) or (isinstance(node.value, ast.Name) and node.value.id in ("subprocess", "os", "sp"))


def _first_words(node: ast.expr) -> set[str]:
    if isinstance(node, ast.List | ast.Tuple) and node.elts:
        first = node.elts[0]
        if isinstance(first, ast.Attribute) and first.attr == "executable":
            return {"python"}
        return {first.value} if isinstance(first, ast.Constant) and isinstance(first.value, str) else {_UNTOLD}
    if isinstance(node, ast.JoinedStr):
        # what is put in is taken for a part of a word
        node = ast.Constant("".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values))
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return {words[0].lstrip("(") for command in shell.commands(node.value) for words in shell.pipeline(command)}
        except ValueError:
            return {_UNTOLD}
    return {_UNTOLD}


_CHECKS: tuple[Callable[[Source], list[str]], ...] = (_companions, _evaluation, _places, _programs)
