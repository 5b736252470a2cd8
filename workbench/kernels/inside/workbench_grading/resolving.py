"""Which modules of a changed project ask one another for names that are no longer there, found out without running any of it.

Only what stood in some way before is held against a change: an import that found nothing then may find nothing now. Where a
module makes its names by a program, every name is taken to be there. So what is reported is broken, and not all that is
broken is reported.
"""

import functools
import os
import re
import sys
import time
from pathlib import Path, PurePosixPath
from typing import Literal

from workbench_grading.asking import SYNTAX, Ask, Module, parsed

_MOST_OF_FILE = 2**20
_MOST_SECONDS = 100
"""Of the processor's time. The largest project that is known takes 6 to be read twice."""
_MOST_LOST = 200
_COMPILED = (".pyx", ".pyi", ".so", ".pyd")
Found = Literal["found", "missing", "foreign"]


class TooMuch(Exception):
    """More has changed than is worth reading."""


class Tree:
    """A project's Python files, each read when it is first asked for.

    Parameters
    ----------
    root : Path
        Its top. Links are not followed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._began = time.process_time()
        self.files: dict[str, os.stat_result] = {}
        """The Python files, by path."""
        self.places: set[str] = set()
        """Where an import may lead: modules, packages and folders with either in them, by path without an ending."""
        folders = [root]
        while folders:
            with os.scandir(folders.pop()) as listing:
                for entry in listing:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in ("__pycache__", ".git"):
                            folders.append(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False) and entry.name.endswith((".py", *_COMPILED)):
                        self._add(Path(entry.path).relative_to(root).as_posix(), entry)
        self.packages: dict[str, list[str]] = {}
        """Packages that are in no other one, by name."""
        for path in self.files:
            place, _, name = path.rpartition("/")
            if name == "__init__.py" and not self._is_package(_above(place)):
                self.packages.setdefault(place.rpartition("/")[2], []).append(place)

    def _add(self, path: str, entry: "os.DirEntry[str]") -> None:
        folder, _, name = path.rpartition("/")
        if name.endswith(".py"):
            self.files[path] = entry.stat(follow_symlinks=False)
        if name != "__init__.py":
            self.places.add(_join(folder, name.partition(".")[0]))
        while folder and folder not in self.places:
            self.places.add(folder)
            folder = _above(folder)

    def data(self, path: str) -> bytes:
        """Return a file's content; of one that is too large, too little to be Python."""
        with open(self.root / path, "rb") as file:
            data = file.read(_MOST_OF_FILE + 1)
        return data if len(data) <= _MOST_OF_FILE else b"("

    @functools.cache  # noqa: B019 - a tree lives as long as a grading
    def read(self, path: str) -> Module:
        """Return what a file says.

        Raises
        ------
        TooMuch
            If reading has taken too long already.
        """
        if time.process_time() - self._began > _MOST_SECONDS:
            raise TooMuch("more has changed than can be read in time")
        return parsed(self.data(path))

    def _is_package(self, place: str) -> bool:
        return _join(place, "__init__.py") in self.files

    def file(self, place: str) -> "str | None":
        """Return the file of the module or package at a place."""
        return next((path for path in (_join(place, "__init__.py"), f"{place}.py") if path in self.files), None)

    @functools.cache  # noqa: B019
    def names(self, place: str) -> "tuple[set[str], bool]":
        """Return what a module has, with what it imports by stars, and whether it may have more."""
        names: set[str] = set()
        more, todo, seen = False, [place], set[str]()
        while todo:
            at = todo.pop()
            path = self.file(at)
            if at in seen or path is None:
                continue
            seen.add(at)
            module = self.read(path)
            names |= module.names
            more |= module.open
            for star in module.stars:
                found = self._starts(path, star)
                more |= not found
                todo += [_join(start, *star[1][0 if star[0] else 1 :]) for start in found]
        return names, more

    def look(self, path: str, ask: "Ask") -> Found:
        """Say what becomes of what the file at ``path`` asks for."""
        level, names, modules = ask
        if ask == SYNTAX:
            return "missing" if path in self.files and SYNTAX in self.read(path).asks else "found"
        starts = self._starts(path, ask)
        if any(self._leads(start, names, modules) if level else self._leads(start, names[1:], modules - 1) for start in starts):
            return "found"
        return "foreign" if not starts or (not level and names[0] in sys.stdlib_module_names) else "missing"

    def _starts(self, path: str, ask: "Ask") -> "list[str]":
        """Return the places where a search begins: the folder the dots lead to, or whatever has the first name."""
        level, names, _ = ask
        folder = _above(path)
        if level:
            for _ in range(level - 1):
                folder = _above(folder)
            return [folder]
        while self._is_package(folder):
            folder = _above(folder)
        beside = _join(folder, names[0])
        return [*self.packages.get(names[0], []), *([beside] if beside in self.places else [])]

    def _leads(self, place: str, names: "tuple[str, ...]", modules: int) -> bool:
        for at, name in enumerate(names):
            inner = _join(place, name)
            if inner not in self.places:
                # what is no module is not followed further
                bound, more = self.names(place)
                return at >= modules and (more or name in bound or (name.startswith("__") and name.endswith("__")))
            place = inner
        return True


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _above(place: str) -> str:
    return place.rpartition("/")[0]


def _compared(untouched: Path, submission: Path) -> "tuple[Tree, Tree, set[str]]":
    """Return both trees, and the paths of the files that differ."""
    before, now = Tree(untouched), Tree(submission)
    return before, now, {path for path in before.files.keys() | now.files.keys() if not _same(before, now, path)}


def broken(untouched: Path, submission: Path) -> "tuple[dict[str, list[str]], int]":
    """Return the modules of a submitted tree that lack a name they had, each with those names, and how many modules there are.

    Raises
    ------
    TooMuch
        If so much has changed that it is not looked at.
    """
    before, now, changed = _compared(untouched, submission)
    lost = _lost(before, now, changed)
    word = re.compile(rb"\b(?:%s)\b" % b"|".join(re.escape(name.encode()) for name in sorted(lost)))
    # what begins with a name means the same wherever it stands: a file may have been moved
    moved = {ask for path in changed & before.files.keys() for ask in before.read(path).asks if not ask[0]}
    found: dict[str, list[str]] = {}
    for path in sorted(now.files):
        if path in changed or (lost and (len(lost) > _MOST_LOST or word.search(now.data(path)))):
            stood = moved | (before.read(path).asks if path in before.files else set())
            if lacking := [ask for ask in now.read(path).asks if _is_lost(before, now, path, ask, stood)]:
                found[path] = sorted("." * level + ".".join(names) if level >= 0 else "it cannot be parsed" for level, names, _ in lacking)
    return found, len(now.files)


def gone(untouched: Path, submission: Path) -> "tuple[dict[str, list[str]], float, int]":
    """Return definitions that were lost: the names by module, how many modules that amounts to, and of how many.

    A name is lost if a module had it and no changed module has it now. So a name may have moved, with its module or
    without it. Names also count as replaced if their module has as many new ones or, if it was deleted, a new module
    has. A module that has lost half of its names counts as half a module; its own name is one of them.

    Raises
    ------
    TooMuch
        If so much has changed that it is not looked at.
    """
    before, now, changed = _compared(untouched, submission)
    there = {f"{PurePosixPath(place).name}.py" for place in now.places}
    there.update(name for path in changed & now.files.keys() for name in now.read(path).own)
    had = {path: before.read(path).own | {_own_name(path)} for path in changed & before.files.keys()}
    lost = {path: lacking for path, names in had.items() if (lacking := names - there) and not (path in now.files and now.read(path).open)}
    known = set().union(*had.values())
    replaced = {path for path in lost.keys() & now.files.keys() if len(now.read(path).own - known) >= len(lost[path])}
    # the largest new module replaces the largest deleted one
    removed = sorted(lost.keys() - now.files.keys(), key=lambda path: (-len(lost[path]), path))
    new = sorted((len(now.read(path).own - known) + 1 for path in now.files.keys() - before.files.keys()), reverse=True)
    replaced |= {path for path, size in zip(removed, new, strict=False) if size >= len(lost[path])}
    found = {path: sorted(lost[path]) for path in sorted(lost.keys() - replaced)}
    return found, sum(len(names) / len(had[path]) for path, names in found.items()), len(before.files)


def _own_name(path: str) -> str:
    place = PurePosixPath(path)
    return f"{place.parent.name}.py" if place.name == "__init__.py" else place.name


def _same(before: Tree, now: Tree, path: str) -> bool:
    if path not in before.files or path not in now.files:
        return False
    one, other = before.files[path], now.files[path]
    return os.path.samestat(one, other) or (one.st_size == other.st_size and before.data(path) == now.data(path))


def _lost(before: Tree, now: Tree, changed: "set[str]") -> "set[str]":
    """Return the names that may be asked for in vain; who asks for one of them has written it."""
    lost = {PurePosixPath(place).name for place in before.places - now.places}
    for path in changed & before.files.keys():
        place = path.removesuffix(".py").removesuffix("/__init__")
        had, more = before.names(place)
        has, still = now.names(place)
        lost |= had - has
        if more and not still:
            lost.add(PurePosixPath(place).name)
    return lost


def _is_lost(before: Tree, now: Tree, path: str, ask: "Ask", stood: "set[Ask]") -> bool:
    after = now.look(path, ask)
    if after == "found":
        return False
    earlier = before.look(path, ask) if ask in stood else "foreign"
    return earlier == "found" if after == "foreign" else earlier != "missing"
