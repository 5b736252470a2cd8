"""The folders of live runs: each process owns one, locked while it lives, so that what a dead one left is found and removed."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import secrets
import shutil
import subprocess
import threading
from pathlib import Path

from filelock import FileLock, Timeout

from workbench import paths
from workbench.kernels import lending
from workbench.kernels.cgroups import Cgroup

_LOCK = "owner"
_mine: tuple[Path, int] | None = None
"""The folder, and the descriptor of its lock: a number, since a lock object dropped by a fork would unlock it."""
_guard = threading.Lock()


def _forked() -> None:
    """Reset the state in a fork of this process; the folder is its parent's, and so is the lock on it."""
    global _mine, _guard
    if _mine is not None:
        os.close(_mine[1])
    _mine, _guard = None, threading.Lock()


os.register_at_fork(after_in_child=_forked)


def mine() -> Path:
    """Return this process's own folder, made and locked at first use; what dead processes left is removed then.

    Where somebody has removed it, as programs do that tidy up ``/tmp``, it is made anew.
    """
    global _mine
    with _guard:
        if _mine is not None and not (_mine[0] / _LOCK).exists():
            os.close(_mine[1])
            _mine = None
        if _mine is None:
            root = paths.run_root()
            with FileLock(root / "lock"):
                _sweep(root)
                folder = root / secrets.token_hex(3)
                # the folder above keeps others out; kernels' own users pass through this one to what is theirs
                folder.mkdir(mode=0o711)
                folder.chmod(0o711)
                lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(lock, fcntl.LOCK_EX)
            _mine = (folder, lock)
            atexit.unregister(leave)
            atexit.register(leave)
        return _mine[0]


def folder(name: str) -> Path:
    """Make and return a new folder of this process; the caller removes it."""
    path = mine() / name
    path.mkdir(mode=0o700)
    return path


def remove(path: Path) -> None:
    """Remove a folder with everything in it; any depth, any modes and files that vanish meanwhile are no problem.

    To be used for every folder that an agent, a task or a tool has written to. What cannot be removed now is left to
    :func:`sweep`.
    """
    with contextlib.suppress(OSError, RecursionError):
        shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        # deeper than Python can go, or closed to its own owner
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            with contextlib.suppress(OSError):
                subprocess.run([*command, "--", path], stdin=subprocess.DEVNULL, capture_output=True, check=False)


def sweep() -> list[str]:
    """Remove the folders of processes that are gone, and what belongs to them; return the folders' names."""
    root = paths.run_root()
    with FileLock(root / "lock"):
        return _sweep(root)


def alive(name: str) -> bool:
    """Say whether the process is alive whose folder has this name."""
    root = paths.run_root()
    with FileLock(root / "lock"):
        return any(path.name == name and not _abandoned(path) for path in _folders(root))


def _sweep(root: Path) -> list[str]:
    removed = []
    for path in _folders(root):
        if _abandoned(path):
            for note in path.glob(f"*/{lending.NOTE}"):
                lending.give_back(note)
            remove(path)
            removed.append(path.name)
    # including those whose owner's folder is gone or elsewhere
    Cgroup.sweep("workbench-")
    return removed


def owned() -> list[Path]:
    """Return the folders of all live processes of this user, this one's among them."""
    root = paths.run_root()
    with FileLock(root / "lock"):
        return [path for path in _folders(root) if not _abandoned(path)]


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir())


def _abandoned(path: Path) -> bool:
    """Say whether the process that owned a folder is gone; to be asked only while no process can make one."""
    if _mine is not None and path == _mine[0]:
        return False
    try:
        with FileLock(path / _LOCK, timeout=0):
            return True
    except (Timeout, OSError):
        return False


def leave() -> None:
    """Remove this process's folder; called when it ends."""
    global _mine
    with _guard:
        if _mine is not None:
            folder, lock = _mine
            # the groups of kernels that were not closed
            Cgroup.end_own(f"workbench-{folder.name}-")
            os.close(lock)
            remove(folder)
        _mine = None
