"""Where things are: caches, run folders, the store, and what ships with the package."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path

import platformdirs

from workbench.errors import UsageError, shortage

_PACKAGE = Path(__file__).resolve().parent


def builtin(kind: str) -> Path:
    """Return the folder of built-in ``tasks`` or ``sandboxes``, in a wheel install or in a checkout.

    Examples
    --------
    >>> (builtin("sandboxes") / "python-min" / "environment.toml").is_file()
    True
    """
    installed = _PACKAGE / "_builtin" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def given(path: str | Path) -> Path:
    """Return a path that the user gave as an absolute one, with ``~`` replaced.

    Raises
    ------
    UsageError
        If there is no such home folder, or no current folder that a relative path could start from.

    Examples
    --------
    >>> given("/tmp/runs.duckdb").as_posix()
    '/tmp/runs.duckdb'
    """
    try:
        expanded = Path(path).expanduser()
    except RuntimeError:
        raise UsageError(f"{path} cannot be found: there is no such home folder", hint="write the whole path") from None
    return expanded if expanded.is_absolute() else here() / expanded


def here() -> Path:
    """Return the current folder.

    Raises
    ------
    UsageError
        If it was removed.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(f"the current folder cannot be used: {error.strerror}", hint="change to a folder that exists (cd)") from None


def make(folder: Path, *, hint: str) -> Path:
    """Return ``folder`` after making it and the folders above it.

    Raises
    ------
    UsageError
        If it cannot be made or written to. If the disk is full, the operating system's own error is raised.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if shortage(error) and error.errno != errno.EROFS:
            raise
        raise UsageError(f"the folder {folder} cannot be made: {error.strerror}", hint=hint) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"the folder {folder} cannot be written to", hint=hint)
    return folder


def private_roots() -> list[Path]:
    """Return the folders that hold graders and solutions; no sandbox may ever see into them."""
    roots = [_PACKAGE, cache() / "tasks", cache() / "listings"]
    if not (_PACKAGE / "_builtin").is_dir():
        roots += [builtin("tasks"), builtin("sandboxes")]
    return roots


def cache() -> Path:
    """Return the folder for what can be made again: environments, prepared tasks, packages.

    ``WORKBENCH_CACHE`` overrides the platform's usual place.

    Raises
    ------
    UsageError
        If it cannot be made or written to.
    """
    chosen = os.environ.get("WORKBENCH_CACHE")
    path = given(chosen or platformdirs.user_cache_dir("codeact-workbench", appauthor=False))
    return make(path, hint="set WORKBENCH_CACHE to a folder that you can write to")


def run_root() -> Path:
    """Return the folder that holds every live run's files, private to this user.

    It is short on purpose: the path of a unix socket must fit in 107 bytes.

    Raises
    ------
    UsageError
        If the folder belongs to somebody else.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    path = Path(tempfile.gettempdir()).resolve() / f"workbench-{user}"
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
    except OSError as error:
        if shortage(error) and error.errno != errno.EROFS:
            raise
        raise UsageError(f"the folder {path} cannot be made: {error.strerror}", hint="point TMPDIR at a folder of your own") from None
    if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and (found.st_uid != user or found.st_mode & 0o077)):
        raise UsageError(f"{path} is not private to you", hint="remove it, or point TMPDIR at a folder of your own")
    return path


def suites() -> Path:
    """Return the file that says where the user's checkouts of published benchmarks are; ``WORKBENCH_SUITES`` overrides it."""
    chosen = os.environ.get("WORKBENCH_SUITES")
    return given(chosen or Path(platformdirs.user_data_dir("codeact-workbench", appauthor=False)) / "suites.json")


def store() -> Path:
    """Return the store's path: ``WORKBENCH_STORE``, else ``workbench.duckdb`` in the project folder.

    The project folder is the nearest one upwards with a ``.git`` or a ``pyproject.toml``, else the current one.
    """
    if chosen := os.environ.get("WORKBENCH_STORE"):
        return given(chosen)
    start = here()
    project = next(
        (folder for folder in (start, *start.parents) if (folder / ".git").exists() or (folder / "pyproject.toml").is_file()), start
    )
    return project / "workbench.duckdb"
