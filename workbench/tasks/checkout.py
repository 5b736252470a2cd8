"""A user's own copy of a published benchmark: read, never written to."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
from pathlib import Path

from workbench.errors import TaskError
from workbench.tasks.folder import tree_hash


class Checkout:
    """A folder with somebody else's benchmark in it, usually a clone.

    Parameters
    ----------
    root : Path
        Its top.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @functools.cached_property
    def commit(self) -> str | None:
        """The commit that is checked out; None where it is no clone."""
        return self._git("rev-parse", "HEAD") if (self.root / ".git").exists() else None

    @functools.cached_property
    def changed(self) -> frozenset[str]:
        """Paths, relative to the top, that differ from the commit."""
        said = self._git("-c", "core.quotePath=false", "status", "--porcelain", "-z", "--no-renames") or ""
        return frozenset(entry[3:] for entry in said.split("\0") if entry)

    def _git(self, *arguments: str) -> str | None:
        # a clone may be another user's, and its configuration is not to be obeyed
        command = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", str(self.root), *arguments]
        environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_CONFIG_GLOBAL": os.devnull}
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
        except OSError:
            return None
        return done.stdout.strip("\n") if done.returncode == 0 else None

    def find(self, *parts: str) -> Path:
        """Return the path of something that must be there.

        Raises
        ------
        TaskError
            If it is not.
        """
        path = self.root.joinpath(*parts)
        if not path.exists():
            raise TaskError(f"{path} does not exist", hint="is this a complete checkout of the benchmark?")
        return path

    def text(self, *parts: str) -> str:
        """Return what a file says.

        Raises
        ------
        TaskError
            If it is not there, or no text.
        """
        path = self.find(*parts)
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TaskError(f"{path} cannot be read: {error}") from None

    def fingerprint(self, path: Path) -> str:
        """Return a hash of a file or folder: that of the commit where it is unchanged, so that it costs nothing to ask."""
        if not path.is_relative_to(self.root):
            return hashlib.sha256(path.read_bytes()).hexdigest()
        name = path.relative_to(self.root).as_posix()
        if self.commit is not None and not any(
            each == name or each.startswith(f"{name}/") or name.startswith(each) for each in self.changed
        ):
            known = self._git("rev-parse", f"HEAD:{name}")
            if known is not None:
                return known
        return tree_hash(path) if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
