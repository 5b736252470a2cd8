"""Trees of folders made by an agent, a task or a tool: walked at any depth, without following links."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_SMALLEST = 4096
"""Bytes that even an empty file takes on disk."""


@dataclass(frozen=True)
class Folder:
    """A folder that is visited while a tree is walked; only valid until the next one is requested.

    Attributes
    ----------
    handle : int
        An open descriptor of it, for calls with ``dir_fd``: its path may be longer than the system accepts.
    parts : list of str
        Its path below the root; empty for the root itself.
    entries : list of os.DirEntry
        What is in it.
    """

    handle: int
    parts: list[str]
    entries: list[os.DirEntry[str]]


def walk(root: Path) -> Iterator[Folder]:
    """Yield every folder of a tree, each before its subfolders.

    At most three descriptors are open at a time, and there is no recursion, so any depth is possible. Folders that
    vanish, are moved or become inaccessible meanwhile are skipped.

    Raises
    ------
    OSError
        If ``root`` itself is not a folder, or cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     os.makedirs(f"{root}/a/b")
    ...     ["/".join(folder.parts) for folder in walk(Path(root))]
    ['', 'a', 'a/b']
    """
    top = os.open(root, _FOLDER)
    handle, parts = os.dup(top), list[str]()
    # every folder from the root to the current one: its identity, and its subfolders that are still to be visited
    way: list[tuple[_Identity, list[str]]] = []
    try:
        while True:
            with os.scandir(handle) as found:
                entries = list(found)
            yield Folder(handle, parts, entries)
            way.append((_identity(handle), [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]))
            while (inner := _enter(handle, way[-1][1], parts)) is None:
                way.pop()
                if not way:
                    return
                parts.pop()
                outer = _back(handle, top, parts, way)
                os.close(handle)
                handle = outer
            os.close(handle)
            handle = inner
    finally:
        os.close(handle)
        os.close(top)


_Identity: TypeAlias = tuple[int, int]


def _identity(handle: int) -> _Identity:
    found = os.fstat(handle)
    return found.st_dev, found.st_ino


def _enter(handle: int, waiting: list[str], parts: list[str]) -> int | None:
    """Open the next waiting folder, if there is one."""
    while waiting:
        name = waiting.pop()
        # it may be gone, inaccessible, or a link by now
        with contextlib.suppress(OSError):
            inner = os.open(name, _FOLDER, dir_fd=handle)
            parts.append(name)
            return inner
    return None


def _back(handle: int, top: int, parts: list[str], way: list[tuple[_Identity, list[str]]]) -> int:
    """Open the last folder of the path; if it was moved, the last one before it that is still in place."""
    with contextlib.suppress(OSError):
        outer = os.open("..", _FOLDER, dir_fd=handle)
        if _identity(outer) == way[-1][0]:
            return outer
        os.close(outer)
    found = os.dup(top)
    for depth, part in enumerate(list(parts), 1):
        inner = None
        with contextlib.suppress(OSError):
            inner = os.open(part, _FOLDER, dir_fd=found)
        if inner is None or _identity(inner) != way[depth][0]:
            if inner is not None:
                os.close(inner)
            del parts[depth - 1 :], way[depth:]
            break
        os.close(found)
        found = inner
    return found


def size(root: Path, enough: int) -> int:
    """Return the bytes of all files below ``root``; stops counting once beyond ``enough``. Follows no links."""
    total = 0
    with contextlib.suppress(OSError):
        for folder in walk(root):
            for entry in folder.entries:
                with contextlib.suppress(OSError):
                    # empty files take up space too, and so do folders
                    total += max(entry.stat(follow_symlinks=False).st_blocks * 512, _SMALLEST)
            if total > enough:
                break
    return total
