"""A workspace as a tar file: to a sandbox that no folder of this machine can be mounted in, and back."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import IO

from workbench.errors import SandboxError, UsageError
from workbench.kernels import files, runtime, trees

_SMALLEST = 4096
"""What even an empty file takes on disk."""
_CHUNK = 2**20
_LONGEST = 4096
"""Bytes of a path including the terminating null byte, as Linux counts them."""


def pack(folder: Path, into: IO[bytes]) -> None:
    """Write everything in ``folder`` to ``into``; links are kept as links, pipes and devices are left out.

    Entries that vanish meanwhile, or whose path is longer than the system accepts, are left out too.
    """

    def member(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        return info if info.isfile() or info.isdir() or info.issym() or info.islnk() else None

    with tarfile.open(fileobj=into, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        tar.add(folder, ".", recursive=False, filter=member)
        for inner in trees.walk(folder):
            for name in sorted(entry.name for entry in inner.entries):
                path = folder.joinpath(*inner.parts, name)
                if _fits(path):
                    with contextlib.suppress(FileNotFoundError):
                        tar.add(path, "/".join([".", *inner.parts, name]), recursive=False, filter=member)


def _fits(path: Path) -> bool:
    """Say whether the system accepts a path of this length."""
    return len(os.fsencode(path)) < _LONGEST


def unpack(archive: IO[bytes], folder: Path, *, most: int) -> None:
    """Replace what is in ``folder`` by what is in ``archive``, which a sandbox wrote and may be hostile.

    Only files, folders and links that stay below ``folder`` are extracted, with plain modes. Entries whose path is
    longer than the system accepts are left out. Nothing is written outside ``folder``, and nothing in it changes unless
    everything else could be extracted.

    Parameters
    ----------
    most : int
        Maximum total size in bytes; a small file counts as a whole disk block.

    Raises
    ------
    SandboxError
        If it is larger, is not a tar file, or has a name that leads outside.
    """
    fresh = Path(tempfile.mkdtemp(prefix=".collected-", dir=folder.parent))
    try:
        links: list[tuple[Path, str]] = []
        room = most
        # one name after the other, so that an archive with very many of them takes no memory
        with tarfile.open(fileobj=archive, mode="r|") as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined] # what was read is kept otherwise
                room -= max(member.size, _SMALLEST)
                if room < 0:
                    raise SandboxError(f"the sandbox's workspace holds more than {most} bytes", hint="raise the limit of the workspace")
                path = fresh.joinpath(*_parts(member.name))
                if not _fits(path):
                    continue
                if member.isdir():
                    _make(path)
                elif member.isfile():
                    _write(tar, member, path)
                elif member.islnk():
                    if _fits(first := fresh.joinpath(*_parts(member.linkname))):
                        _copy(first, path)
                elif member.issym():
                    links.append((path, member.linkname))
        # last, so that nothing above was written through one
        for path, target in links:
            if _stays(path.relative_to(fresh), target):
                _make(path.parent)
                path.symlink_to(target)
        _replace(folder, fresh)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise SandboxError(f"the sandbox's workspace cannot be taken over: {type(error).__name__}: {error}"[:400]) from None
    finally:
        runtime.remove(fresh)


def _parts(name: str) -> tuple[str, ...]:
    try:
        return files.parts(name or ".")
    except UsageError:
        raise SandboxError(f"the sandbox's workspace has a file that leads elsewhere: {name[:200]!r}") from None


def _make(folder: Path) -> None:
    """Make a folder and all its parents, however many they are."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir()


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    _make(path.parent)
    source = tar.extractfile(member)
    assert source is not None
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        shutil.copyfileobj(source, file, _CHUNK)
    path.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)


def _copy(source: Path, path: Path) -> None:
    _make(path.parent)
    os.link(source, path, follow_symlinks=False)


def _stays(path: Path, target: str) -> bool:
    """Say whether a link at ``path`` leads to something below the same folder.

    Examples
    --------
    >>> _stays(Path("data/latest"), "../run/1"), _stays(Path("data/latest"), "../../etc"), _stays(Path("data/latest"), "/etc")
    (True, False, False)
    """
    if target.startswith("/") or "\0" in target:
        return False
    depth = len(path.parts) - 1
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return False
    return True


def _replace(folder: Path, fresh: Path) -> None:
    for old in list(folder.iterdir()):
        if old.is_dir() and not old.is_symlink():
            runtime.remove(old)
        else:
            old.unlink()
    for new in list(fresh.iterdir()):
        with contextlib.suppress(FileNotFoundError):
            new.rename(folder / new.name)
