"""What graders of refactorings ask of a package: what it defines, who refers to what, and what has changed."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from workbench.kernels.view import INSIDE

UTIL = """
import re
from os import path as p

LIMIT = 3

def f(s: str, quote=True, *, deep: int = LIMIT) -> str:
    '''A docstring.'''
    return re.escape(s)  # a comment

def g(s):
    return f(s) + p.join(s)

class Box:
    size = 1

    def __init__(self, f):
        self.f = f

    def open(self):
        return self.f(LIMIT)
"""
USES = """
from .util import Box, f as h
from . import util
import pkg.util as u

def one(x):
    return h(x) + x.f(x)

def two(x):
    f = x
    return f(x)

def three(x):
    return util.f(x), u.f(s=x), [f for f in x]
"""
FILES = {
    "pkg/__init__.py": "from .util import *\nfrom pkg.util import f as f\n__all__ = ['f', 'Box']\n",
    "pkg/util.py": UTIL,
    "pkg/uses.py": USES,
    "pkg/deep/__init__.py": "from .. import f\nfrom ..util import g\n\ndef four():\n    return f(g)\n",
    "pkg/data.txt": "data",
}


@pytest.fixture(scope="module")
def code() -> Iterator[ModuleType]:
    sys.path.insert(0, str(INSIDE))
    try:
        yield importlib.import_module("workbench_grading.code")
    finally:
        sys.path.remove(str(INSIDE))
        for name in [name for name in sys.modules if name.split(".")[0] == "workbench_grading"]:
            del sys.modules[name]


def package(code: ModuleType, files: Mapping[str, str | None] = {}, same: Mapping[str, str] | None = None):
    return code.Package({path: text.encode() for path, text in {**FILES, **files}.items() if text is not None}, same)


def changed(code: ModuleType, files: Mapping[str, str | None], same: Mapping[str, str] | None = None) -> set[str]:
    found = package(code, files, same).changes(package(code, {}, same).fingerprints)
    return {*found.changed, *found.extra}


def test_a_package_is_divided_into_its_definitions(code: ModuleType) -> None:
    read = package(code)
    assert not read.broken
    assert {name for name in read.units if name.startswith("pkg.util")} == {
        *("pkg.util.<imports>", "pkg.util.LIMIT", "pkg.util.f", "pkg.util.g"),
        *("pkg.util.Box", "pkg.util.Box.__init__", "pkg.util.Box.open"),
    }
    assert {"pkg/data.txt", "pkg/util.py", "pkg.__all__"} < read.units.keys()
    assert read.modules["pkg"].exported == ["f", "Box"]
    assert read.modules["pkg.util"].defined == {"f", "g", "Box"}
    assert read.modules["pkg"].bindings["LIMIT"] == "pkg.util.LIMIT", "by a star"


def test_references_are_found_however_a_name_is_imported(code: ModuleType) -> None:
    read = package(code)
    assert read.users("pkg.util.f") == [
        *("pkg.<imports>", "pkg.__all__", "pkg.deep.<imports>", "pkg.deep.four"),
        *("pkg.uses.<imports>", "pkg.uses.one", "pkg.uses.three", "pkg.util.g"),
    ]
    assert read.users("pkg.f") == ["pkg.deep.<imports>", "pkg.deep.four"]
    assert read.users(".f") == ["pkg.uses.one", "pkg.util.Box.__init__", "pkg.util.Box.open"]
    assert read.paths(read.users("pkg.util.g")) == {"pkg/deep/__init__.py"}
    assert read.users("re") == ["pkg.util.<imports>", "pkg.util.f"]
    assert [(name, len(call.args)) for name, call in read.calls("pkg.util.f")] == [
        *(("pkg.deep.four", 1), ("pkg.uses.one", 1)),
        *(("pkg.uses.three", 1), ("pkg.uses.three", 0), ("pkg.util.g", 1)),
    ]
    assert [name for name, _ in read.calls(".f")] == ["pkg.uses.one", "pkg.util.Box.open"]


def test_a_signature_has_no_annotations(code: ModuleType) -> None:
    read = package(code)
    assert read.signature("pkg.util.f") == "s, quote=True, *, deep=LIMIT"
    assert read.signature("pkg.util.Box.open") == "self"
    assert read.signature("pkg.util.Box") is None
    twice = package(code, {"pkg/util.py": UTIL + "\ndef g(s, /, *more):\n    pass\n"})
    assert (twice.signatures("pkg.util.g"), twice.signature("pkg.util.g")) == (["s", "s, /, *more"], "s, /, *more")
    assert read.signature("pkg.util.nothing") is None


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("pkg/util.py", "# a comment", ""),
        ("pkg/util.py", "'''A docstring.'''", ""),
        ("pkg/util.py", "import re\nfrom os import path as p\n", "from os import path as p\nimport re\n"),
        ("pkg/util.py", "return re.escape(s)", "return (\n    re.escape( s ))"),
        ("pkg/__init__.py", "['f', 'Box']", "('Box', 'f')"),
        (
            "pkg/uses.py",
            "from .util import Box, f as h\n",
            "from .util import Box\nfrom .util import f as k\nh = None\ndel h\nfrom pkg import f as h\n",
        ),
        ("pkg/util.py", "import re\n", "import re\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from re import Pattern\n"),
    ],
)
def test_what_does_not_count(code: ModuleType, path: str, old: str, new: str) -> None:
    assert old in FILES[path]
    assert not {name for name in changed(code, {path: FILES[path].replace(old, new)}) if "<" not in name and name != "pkg.uses.h"}


@pytest.mark.parametrize(
    ("path", "old", "new", "units"),
    [
        ("pkg/util.py", "return f(s)", "return f(s, 1)", {"pkg.util.g"}),
        ("pkg/util.py", "quote=True", "quote=False", {"pkg.util.f"}),
        ("pkg/util.py", "LIMIT = 3", "LIMIT = 3.0", {"pkg.util.LIMIT"}),
        ("pkg/util.py", "size = 1", "size = 2", {"pkg.util.Box"}),
        ("pkg/util.py", "self.f(LIMIT)", "self.g(LIMIT)", {"pkg.util.Box.open"}),
        ("pkg/util.py", "def g(s)", "@f\ndef g(s)", {"pkg.util.g"}),
        ("pkg/util.py", "def g(", "f = g = None\ndef g(", {"pkg.util.<body>"}),
        ("pkg/uses.py", "f as h", "g as h", {"pkg.uses.<imports>", "pkg.uses.one"}),
        ("pkg/uses.py", "    f = x\n", "    f = x\n    global f\n", {"pkg.uses.two"}),
        ("pkg/__init__.py", "'Box'", "'g'", {"pkg.__all__"}),
        ("pkg/data.txt", "data", "date", {"pkg/data.txt"}),
    ],
)
def test_what_counts(code: ModuleType, path: str, old: str, new: str, units: set[str]) -> None:
    assert old in FILES[path]
    assert changed(code, {path: FILES[path].replace(old, new)}) == units


def test_a_definition_that_was_moved_is_the_same_when_that_is_said(code: ModuleType) -> None:
    moved = {
        "pkg/util.py": UTIL.replace(UTIL[UTIL.index("def f(") : UTIL.index("def g(")], "from .new import f\n"),
        "pkg/new.py": "import re\nfrom .util import LIMIT\n" + UTIL[UTIL.index("def f(") : UTIL.index("def g(")],
        "pkg/uses.py": USES.replace("from .util import Box, f as h", "from .util import Box\nfrom .new import f as h"),
    }
    same = {"pkg.util.f": "@f", "pkg.new.f": "@f"}
    assert changed(code, moved, same) == {"pkg/new.py", "pkg.new.<imports>", "pkg.util.<imports>"}
    assert "@f" in changed(code, {**moved, "pkg/new.py": moved["pkg/new.py"].replace("re.escape", "re.compile")}, same)
    assert "@f" in changed(code, {**moved, "pkg/util.py": UTIL}, same), "it is there twice"
    assert "pkg.uses.one" in changed(code, moved, None)


def test_what_may_change_counts_in_no_way(code: ModuleType) -> None:
    before = package(code).fingerprints
    read = package(code, {"pkg/new.py": "x = 1\n", "pkg/data.txt": None, "pkg/util.py": UTIL.replace("LIMIT = 3", "LIMIT = 4")})
    free = ["pkg/new.py", "pkg.new.*", "pkg/data.txt", "pkg.util.LIMIT"]
    everything = read.changes(before)
    assert everything.changed == ["pkg.util.LIMIT", "pkg/data.txt"]
    assert everything.extra == ["pkg.new.x", "pkg/new.py"]
    assert everything.unchanged == 1 - 4 / len(before)
    assert everything
    left = read.changes(before, free)
    assert (left.changed, left.extra, left.unchanged, bool(left)) == ([], [], 1, False)
    assert read.changes({"a": "1"}, []).unchanged == 0


def test_units_that_have_to_change_are_as_they_should_be_or_not(code: ModuleType) -> None:
    before = package(code)
    after = package(
        code, {"pkg/util.py": UTIL.replace("LIMIT = 3", "LIMIT = 4").replace("size = 1", ""), "pkg/data.txt": None}
    ).fingerprints
    wanted = {name: after.get(name) for name in ("pkg.util.LIMIT", "pkg.util.Box", "pkg/data.txt")}
    assert before.reached(wanted) == dict.fromkeys(wanted, False)
    half = package(code, {"pkg/util.py": UTIL.replace("LIMIT = 3", "LIMIT = 4"), "pkg/data.txt": None})
    assert half.reached(wanted) == {"pkg.util.LIMIT": True, "pkg.util.Box": False, "pkg/data.txt": True}


def test_a_refactoring_is_solved_when_all_of_it_holds_and_nothing_less(code: ModuleType) -> None:
    read = package(code)
    same, other = read.changes(read.fingerprints), read.changes({**read.fingerprints, "pkg.util.f": "x"})

    def solved(checks: dict[str, bool], changes: object = same, of: object = read, **more: bool) -> float:
        return code.verdict(of, checks, changes, **{"imports": True, "behaviour": True, **more})["metrics"]["solved"]

    assert solved({"a": True}) == 1
    assert solved({"a": True, "b": False}) == solved({"a": True}, other) == 0
    assert solved({"a": True}, imports=False) == solved({"a": True}, behaviour=False) == 0
    assert solved({"a": True}, of=package(code, {"pkg/uses.py": "def ("})) == 0
    verdict = code.verdict(read, {"a": True, "b": False}, other, imports=True, behaviour=False, left=["c"])
    assert verdict["metrics"]["checks"] == 0.5 and 0.9 < verdict["metrics"]["unchanged"] < 1
    assert (verdict["details"]["changed"], verdict["details"]["left"], verdict["invalid"]) == (["pkg.util.f"], ["c"], None)


@pytest.mark.parametrize(
    "text", ["def (", "x = " + "(" * 5000 + ")" * 5000, "x = " + "+".join(["1"] * 50_000), "\0", "# coding: nothing\n"]
)
def test_what_is_no_python_is_broken_and_nothing_else_is(code: ModuleType, text: str) -> None:
    read = package(code, {"pkg/uses.py": text})
    assert list(read.broken) == ["pkg/uses.py"]
    assert "pkg.util.f" in read.units


def test_every_star_is_followed_and_only_to_what_is_public(code: ModuleType) -> None:
    stars = {
        "pkg/__init__.py": "from .one import *\nfrom .two import *\nfrom os import *\na(), b(), _c(), d()\n",
        "pkg/one.py": "def a(): pass\ndef _c(): pass\n",
        "pkg/two.py": "__all__ = ['b']\ndef b(): pass\ndef d(): pass\n",
    }
    read = package(code, stars)
    assert read.modules["pkg"].stars == ["pkg.one", "pkg.two", "os"]
    assert [target for target, _ in read.units["pkg.<body>"].calls] == ["pkg.one.a", "pkg.two.b"]


def test_imports_in_a_circle_end(code: ModuleType) -> None:
    read = package(code, {"pkg/a.py": "from .b import *\nfrom .b import x\n", "pkg/b.py": "from .a import *\nfrom .a import x\nx()\n"})
    assert not read.broken
    assert "pkg.b.<body>" in read.users("pkg.a.x")


def test_a_folder_is_read_without_its_caches(code: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "pkg" / "__pycache__").mkdir(parents=True)
    (tmp_path / "pkg" / "__pycache__" / "x.pyc").write_bytes(b"x")
    (tmp_path / "pkg" / "é\n.py").write_text("x = 1\n")
    assert list(code.read_tree(tmp_path / "pkg")) == ["pkg/\\xe9\\n.py"]
    assert not code.read_package(tmp_path / "pkg").broken


def test_a_folder_that_holds_anything_odd_is_a_reason(code: ModuleType, tmp_path: Path) -> None:
    def reason(root: Path) -> str:
        with pytest.raises(code.Invalid) as caught:
            code.read_tree(root)
        return str(caught.value)

    assert reason(tmp_path / "absent") == "the folder absent is missing"
    (tmp_path / "link").symlink_to(tmp_path)
    assert reason(tmp_path / "link") == "the folder link is missing"
    for name, make in {"inner": lambda path: path.symlink_to("/"), "pipe": os.mkfifo, "many": None, "large": None}.items():
        root = tmp_path / f"with-{name}"
        root.mkdir()
        if name == "many":
            for number in range(1001):
                (root / str(number)).touch()
        elif name == "large":
            with (root / "large").open("wb") as file:
                file.truncate(2**20 + 1)
        else:
            make(root / os.fsdecode(b"\xe9"))
        assert reason(root).isascii()


@pytest.mark.walls
def test_what_runs_beside_a_package_gives_one_value_or_none(code: ModuleType, tmp_path: Path) -> None:
    root = tmp_path / "pkg"
    root.mkdir()
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    (root / "__main__.py").write_text("raise SystemExit(1)\n")
    assert code.import_all("pkg", tmp_path) == ["pkg", "pkg.__main__", "pkg.deep", "pkg.uses", "pkg.util"]
    assert code.ask("from pkg import f\nprint(json.dumps([f(each) for each in given]))", tmp_path, ["a.b", "'\"{}\\"]) == [
        "a\\.b",
        "'\"\\{\\}\\\\",
    ]
    for nothing in ("", "raise SystemExit(0)", "print(1); raise SystemExit(3)", "print(1, 2)", "print('[' * 100_000)"):
        assert code.ask(nothing, tmp_path) is None
    assert code.ask("while True: pass", tmp_path, timeout=0.5) is None
    (root / "uses.py").write_text("from .util import nothing\n")
    assert code.import_all("pkg", tmp_path) is None
    assert code.import_all("pkg", tmp_path, but=("pkg.uses",)) == ["pkg", "pkg.__main__", "pkg.deep", "pkg.uses", "pkg.util"]
