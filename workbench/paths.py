"""Where things are: caches, run folders, the store, and what ships with the package."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

import platformdirs

from workbench.errors import UsageError

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


def private_roots() -> list[Path]:
    """Return the folders that hold graders and solutions; no sandbox may ever see into them."""
    roots = [_PACKAGE, cache() / "tasks", cache() / "listings"]
    if not (_PACKAGE / "_builtin").is_dir():
        roots += [builtin("tasks"), builtin("sandboxes")]
    return roots


def cache() -> Path:
    """Return the folder for what can be made again: environments, prepared tasks, packages.

    ``WORKBENCH_CACHE`` overrides the platform's usual place.
    """
    chosen = os.environ.get("WORKBENCH_CACHE")
    path = Path(chosen).expanduser().absolute() if chosen else Path(platformdirs.user_cache_dir("codeact-workbench", appauthor=False))
    path.mkdir(parents=True, exist_ok=True)
    return path


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
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and (found.st_uid != user or found.st_mode & 0o077)):
        raise UsageError(f"{path} is not private to you", hint="remove it, or point TMPDIR at a folder of your own")
    return path


def suites() -> Path:
    """Return the file that says where the user's checkouts of published benchmarks are; ``WORKBENCH_SUITES`` overrides it."""
    chosen = os.environ.get("WORKBENCH_SUITES")
    return (
        Path(chosen).expanduser().absolute()
        if chosen
        else Path(platformdirs.user_data_dir("codeact-workbench", appauthor=False)) / "suites.json"
    )


def store() -> Path:
    """Return the store's path: ``WORKBENCH_STORE``, else ``workbench.duckdb`` in the project folder.

    The project folder is the nearest one upwards with a ``.git`` or a ``pyproject.toml``, else the current one.
    """
    if chosen := os.environ.get("WORKBENCH_STORE"):
        return Path(chosen).expanduser().absolute()
    here = Path.cwd()
    project = next(
        (folder for folder in (here, *here.parents) if (folder / ".git").exists() or (folder / "pyproject.toml").is_file()), here
    )
    return project / "workbench.duckdb"
