"""Files of a workspace, handled from outside: whatever an agent has put there, no path leads out of it."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel

from workbench.errors import UsageError

MOST = 64 * 2**20
"""Bytes of a file that are read where nothing else is said."""

# opening a pipe without a writer would block forever without O_NONBLOCK
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Kind = Literal["file", "folder", "link", "other"]


class Entry(BaseModel):
    """What is at one name of a folder.

    Attributes
    ----------
    name : str
        As the agent wrote it, half a surrogate pair for each byte that is no UTF-8.
    kind : {"file", "folder", "link", "other"}
        A link is never followed.
    size : int
        Bytes; 0 for what is no file.
    """

    name: str
    kind: Kind
    size: int


def parts(path: str) -> tuple[str, ...]:
    """Return the parts of a path within a workspace.

    Raises
    ------
    UsageError
        If it is absolute, or climbs.

    Examples
    --------
    >>> parts("data/./train.csv")
    ('data', 'train.csv')
    >>> parts(".")
    ()
    """
    found = PurePosixPath(path).parts
    if not path or path.startswith("/") or ".." in found or "\0" in path:
        raise UsageError(f"{path!r} is no path within a workspace", hint="write it relative to the workspace, for example data/train.csv")
    return found


@contextlib.contextmanager
def _folder(workspace: Path, above: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
    """Open a folder one part at a time, so that no part of its path can be a link to elsewhere."""
    handle = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        owner = os.fstat(handle)
        for part in above:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=handle)
                    os.chown(part, owner.st_uid, owner.st_gid, dir_fd=handle, follow_symlinks=False)
            inner = os.open(part, _LOOK | os.O_DIRECTORY, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def put(workspace: Path, path: str, data: bytes) -> None:
    """Write a file, which then belongs to whom the workspace belongs; folders above it are made.

    Raises
    ------
    UsageError
        If ``path`` leads out of the workspace, or through something that is no folder, or is one itself.
    """
    *above, name = parts(path) or (".",)
    # written beside it and renamed: a reader never sees half of it, and a link in its place is replaced, not followed
    beside = f".{secrets.token_hex(8)}.part"
    try:
        with _folder(workspace, tuple(above), make=True) as folder:
            try:
                handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    owner = workspace.stat()
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(beside, dir_fd=folder)
                raise
    except OSError as error:
        raise UsageError(f"{path!r} cannot be written in the workspace: {error.strerror}") from None


def get(workspace: Path, path: str, *, most: int = MOST) -> bytes:
    """Return a file's bytes; links are not followed.

    Raises
    ------
    UsageError
        If it does not exist, is not a regular file, or has more than ``most`` bytes.
    """
    *above, name = parts(path) or (".",)
    try:
        with _folder(workspace, tuple(above)) as folder, os.fdopen(os.open(name, _LOOK, dir_fd=folder), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"{path!r} in the workspace is not a regular file")
            data = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"{path!r} in the workspace cannot be read: {error.strerror}") from None
    if len(data) > most:
        raise UsageError(f"{path!r} in the workspace has more than {most} bytes", hint="ask for more with most=")
    return data


def entries(workspace: Path, path: str = ".") -> list[Entry]:
    """Return what is in a folder, sorted by name.

    Raises
    ------
    UsageError
        If there is no such folder.
    """
    try:
        with _folder(workspace, parts(path)) as folder, os.scandir(folder) as found:
            return [_entry(name, folder) for name in sorted(entry.name for entry in found)]
    except OSError as error:
        raise UsageError(f"{path!r} in the workspace cannot be listed: {error.strerror}") from None


def _entry(name: str, folder: int) -> Entry:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    kinds: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    kind = kinds.get(stat.S_IFMT(found.st_mode), "other")
    return Entry(name=name, kind=kind, size=found.st_size if kind == "file" else 0)
