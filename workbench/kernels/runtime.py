"""The folders of live runs: each process owns one, locked while it lives, so that what a dead one left is found and removed."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import threading
from pathlib import Path

from filelock import FileLock, Timeout

from workbench import paths
from workbench.kernels.cgroups import Cgroup

_LOCK = "owner"
_mine: tuple[int, Path, FileLock] | None = None
_guard = threading.Lock()


def mine() -> Path:
    """Return this process's own folder, made and locked at first use; what dead processes left is removed then."""
    global _mine
    with _guard:
        # after a fork the child must not share the parent's folder
        if _mine is None or _mine[0] != os.getpid():
            root = paths.run_root()
            with FileLock(root / "lock"):
                _sweep(root)
                folder = root / secrets.token_hex(3)
                # the folder above keeps others out; kernels' own users pass through this one to what is theirs
                folder.mkdir(mode=0o711)
                folder.chmod(0o711)
                lock = FileLock(folder / _LOCK)
                lock.acquire()
            _mine = (os.getpid(), folder, lock)
            atexit.register(leave)
        return _mine[1]


def folder(name: str) -> Path:
    """Make and return a new folder of this process; the caller removes it."""
    path = mine() / name
    path.mkdir(mode=0o700)
    return path


def sweep() -> int:
    """Remove the folders of processes that are gone and return how many there were."""
    root = paths.run_root()
    with FileLock(root / "lock"):
        return _sweep(root)


def alive(name: str) -> bool:
    """Say whether the process is alive whose folder has this name."""
    path = paths.run_root() / name
    # a lock would make the folder anew
    if Path(name).name != name or not path.is_dir():
        return False
    with contextlib.suppress(Timeout, OSError), FileLock(path / _LOCK, timeout=0):
        return False
    return True


def _sweep(root: Path) -> int:
    removed = 0
    for path in root.iterdir():
        if not path.is_dir() or (_mine is not None and path == _mine[1]):
            continue
        with contextlib.suppress(Timeout, OSError):
            with FileLock(path / _LOCK, timeout=0):
                removed += 1
            shutil.rmtree(path, ignore_errors=True)
            Cgroup.sweep(f"workbench-{path.name}-")
    return removed


def leave() -> None:
    """Remove this process's folder; called when it ends."""
    global _mine
    with _guard:
        if _mine is not None and _mine[0] == os.getpid():
            _mine[2].release()
            shutil.rmtree(_mine[1], ignore_errors=True)
        _mine = None
