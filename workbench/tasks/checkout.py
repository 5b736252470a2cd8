"""A user's checkout of a published benchmark: its content, and its commit. Nothing is written there."""

from __future__ import annotations

import bisect
import contextlib
import functools
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from workbench.errors import TaskError, described
from workbench.tasks.files import Files
from workbench.tasks.fingerprints import Snapshot, sha256, snapshot

_HINT = "is this a complete checkout of the benchmark?"
_FORM = (ArithmeticError, AttributeError, LookupError, RecursionError, SyntaxError, TypeError, ValueError)
"""What reading a task raises that does not have the form of its kind."""
_OURS = Path(__file__).with_name("importers")
_GIT_SECONDS = 60
_SUBMODULE = "160000"
_MOST_POINTERS = 100
_LARGEST_POINTER = 1024


class Checkout:
    """A folder with a published benchmark, usually a clone.

    Parameters
    ----------
    root : Path
        Its top folder, or the one file that it consists of.

    Attributes
    ----------
    texts : set of str
        The files whose text was read, by path from the top.
    malformed : dict of str to TaskError
        Why tasks could not be read, by id.
    """

    most_bytes = 64 * 2**30
    """How much of it a task may use."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.texts: set[str] = set()
        self.malformed: dict[str, TaskError] = {}
        self._looked_at: dict[Path, Snapshot] = {}

    @functools.cached_property
    def files(self) -> Files:
        """Its content, without git's own folders (``.git``)."""
        top = self.root.parent if self.root.is_file() else self.root
        return Files(top, skipped=("__pycache__", ".git"), dangling=True, most_bytes=self.most_bytes)

    @functools.cached_property
    def others(self) -> tuple[Files, ...]:
        """Other folders whose files tasks use: the importers' own programs."""
        return (Files(_OURS),)

    @contextlib.contextmanager
    def reading(self, task: str) -> Iterator[None]:
        """Note that the task with this id is malformed if reading it fails, so that the others can be read."""
        try:
            yield
        except TaskError as error:
            self.malformed[task] = error
        except _FORM as error:
            said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else described(error)
            self.malformed[task] = TaskError(f"{task} of {self.root} is malformed: {said}", hint=_HINT)

    @functools.cached_property
    def origin(self) -> str | None:
        """Where the clone was made from, without a user's name and password; None if that is not known."""
        url = self._git("config", "--get", "remote.origin.url").decode(errors="replace").strip()
        return re.sub(r"^(?:\w+://)?(?:[^/@]*@)?|\.git$|/$", "", url) or None

    @functools.cached_property
    def commit(self) -> str | None:
        """The commit that is checked out; None if this is not part of a clone."""
        return self._git("rev-parse", "--verify", "HEAD").decode().strip() or None if self._committed else None

    @functools.cached_property
    def _committed(self) -> dict[str, str]:
        """The ids of the commit's files, by path from the top; if that is a subfolder of a clone, only those in it."""
        found: dict[str, str] = {}
        for line in self._git("ls-tree", "-r", "-z", "HEAD").split(b"\0"):
            head, _, raw = line.partition(b"\t")
            path = os.fsdecode(raw)
            if not path or set(PurePosixPath(path).parts) & set(self.files.skipped):
                continue
            mode, _, identity = head.decode().split()
            within = Checkout(self.files.root / path) if mode == _SUBMODULE else None
            if within is not None and within.commit == identity:
                found |= {f"{path}/{name}": each for name, each in within._committed.items()}
            else:
                found[path] = identity
        return found

    def _git(self, *arguments: str) -> bytes:
        """Return git's output for the repository, without running programs that it configures and without downloads."""
        # a clone may be another user's, and its configuration is not to be obeyed
        command = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", str(self.files.root), *arguments]
        environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        environ |= {
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_NO_REPLACE_OBJECTS": "1",
        }
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=environ, timeout=_GIT_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            return b""
        return done.stdout if done.returncode == 0 else b""

    def find(self, *parts: str) -> Path:
        """Return the path of something that must be there.

        Raises
        ------
        TaskError
            If it is not.
        """
        path = self.root.joinpath(*parts)
        if not path.exists():
            raise TaskError(f"{path} does not exist", hint=_HINT)
        return path

    def text(self, *parts: str) -> str:
        """Return what a file says.

        Raises
        ------
        TaskError
            If it is not there, or no text.
        """
        files, name = self._read(self.root.joinpath(*parts))
        return files.text(name, hint=_HINT)

    def data(self, path: Path) -> bytes:
        """Return the content of a file.

        Raises
        ------
        TaskError
            If it does not exist, or leads outside.
        """
        files, name = self._read(path)
        return files.read(name, hint=_HINT)

    def _read(self, path: Path) -> tuple[Files, str]:
        files, name = self.located(path)
        if files is self.files:
            self.texts.add(name)
        return files, name

    def has(self, path: Path) -> bool:
        """Say whether a path belongs to the user's files, and not to an importer's own."""
        return not path.is_relative_to(_OURS)

    def located(self, path: Path) -> tuple[Files, str]:
        """Return the folder that a path is in, and the path relative to that folder.

        Raises
        ------
        TaskError
            If it is in no folder that belongs to the checkout.
        """
        for files in (self.files, *self.others):
            if path.is_relative_to(files.root):
                return files, path.relative_to(files.root).as_posix()
        raise TaskError(f"{path} is outside {self.root}", hint=_HINT)

    def snapshot(self, path: Path) -> Snapshot:
        """Return the content of a file or folder, as it was at the first request."""
        if path not in self._looked_at:
            self._looked_at[path] = snapshot(*self.located(path))
        return self._looked_at[path]

    def look_again(self) -> None:
        """Forget the content of files and folders, so that it is read again."""
        self._looked_at.clear()

    def fingerprint(self, path: Path) -> str:
        """Return a hash of the content of a file or folder, as it was on disk at the first request."""
        return self.snapshot(path).fingerprint

    def differing(self, paths: Iterable[Path]) -> list[str]:
        """Return the files that differ from the commit, in order, including missing and new ones.

        What the commit does not contain at all, such as data that the user must provide, is not compared.
        """
        found = set().union(*(self._differing(path) for path in paths))
        return sorted(found if len(found) > _MOST_POINTERS else (each for each in found if not self._is_fetched(each)))

    def _differing(self, path: Path) -> set[str]:
        files, name = self.located(path)
        committed = self._below(name) if files is self.files else {}
        if not committed:
            return set()
        top = "" if name == "." else f"{name}/"
        contents = self.snapshot(path).contents
        present = {name if each == "." else top + each: content for each, content in contents.items() if content.kind != "d"}
        return {
            each
            for each in committed.keys() | present.keys()
            if each not in present or committed.get(each) not in (present[each].sha1, present[each].sha256)
        }

    def _below(self, name: str) -> dict[str, str]:
        """Return the commit's files at or below a path."""
        if name == ".":
            return self._committed
        if name in self._committed:
            return {name: self._committed[name]}
        # "0" is the character that sorts directly after a slash
        first, last = (bisect.bisect_left(self._names, f"{name}{end}") for end in "/0")
        return {each: self._committed[each] for each in self._names[first:last]}

    @functools.cached_property
    def _names(self) -> list[str]:
        return sorted(self._committed)

    def _is_fetched(self, path: str) -> bool:
        """Say whether a file is what git LFS downloads for a pointer in the commit."""
        identity = self._committed.get(path)
        if identity is None or int(self._git("cat-file", "-s", identity) or _LARGEST_POINTER) >= _LARGEST_POINTER:
            return False
        pointer = self._git("cat-file", "blob", identity).decode(errors="replace")
        if not pointer.startswith("version https://git-lfs"):
            return False
        return f"oid sha256:{sha256(self.files, path)}" in pointer.splitlines()
