"""Freezing a submission: copying what is graded out of a dead kernel's workspace, trusting nothing in it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from workbench.errors import shortage
from workbench.events import FrozenFile
from workbench.tasks.spec import Submission
from workbench.text import storable

SKIPPED = ("__pycache__", ".git", ".ipynb_checkpoints")
"""Never part of a tree: compiled code could differ from its source, and the others are not the agent's work."""


@dataclass
class Frozen:
    """A submission as it was when the kernel died.

    Attributes
    ----------
    root : Path
        A folder that holds the files at their workspace-relative paths; an answer is ``answer.txt``.
    base : Path or None
        The workspace that the agent started from.
    files : list of FrozenFile
        What differs from it.
    unchanged : int
        How many files do not.
    deleted : list of str
        What was there and is gone.
    invalid : str or None
        Why there is nothing to grade.
    """

    root: Path
    base: Path | None = None
    files: list[FrozenFile] = field(default_factory=list)
    unchanged: int = 0
    deleted: list[str] = field(default_factory=list)
    answer: str | None = None
    invalid: str | None = None

    def archive(self) -> bytes:
        """Return the files that differ as a tar archive that depends on nothing but their paths and contents."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for file in self.files:
                info = tarfile.TarInfo(file.path)
                info.size = file.size
                archive.addfile(info, io.BytesIO((self.root / file.path).read_bytes()))
        return buffer.getvalue()


def thaw(archive: bytes | None, base: Path, submission: Submission, deleted: Sequence[str], root: Path) -> Frozen:
    """Return a submission as it was frozen, from its record and the untouched workspace.

    Parameters
    ----------
    archive : bytes or None
        What :meth:`Frozen.archive` made; None where nothing differed.
    base : Path
        The workspace that the agent started from.
    submission : Submission
        What the task declares.
    deleted : sequence of str
        What the agent had deleted.
    root : Path
        An empty folder.
    """
    frozen = Frozen(root, base, deleted=list(deleted))
    if archive is not None:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            for member in files:
                content = files.extractfile(member)
                assert content is not None, "an archive of ours holds files only"
                _keep(frozen, member.name, content.read())
    if submission.kind == "tree":
        for name in _names(base, submission.path or ".").difference(deleted, (file.path for file in frozen.files)):
            _keep_unchanged(frozen, name, (base / name).read_bytes())
    return frozen


def control(submission: Submission, workspace: Path, root: Path) -> Frozen:
    """Return a submission without any work in it: from the untouched workspace, or an empty one if that has none.

    Parameters
    ----------
    submission : Submission
        What the task declares.
    workspace : Path
        The untouched workspace.
    root : Path
        An empty folder.
    """
    if submission.kind in ("tree", "file", "json"):
        frozen = freeze(submission, workspace, None, root, workspace)
        if not frozen.invalid:
            return frozen
    frozen = Frozen(root, workspace)
    if submission.kind == "episode":
        _keep(frozen, "episode.json", json.dumps({"calls": [], "queries": 0, "answer": ""}).encode())
    elif submission.kind != "tree":
        _keep(frozen, submission.path or "answer.txt", b"{}" if submission.kind == "json" else b"")
    return frozen


class _Invalid(Exception):
    pass


def freeze(
    submission: Submission,
    workspace: Path,
    answer: str | None,
    root: Path,
    base: Path | None = None,
    episode: Mapping[str, Any] | None = None,
) -> Frozen:
    """Copy what ``submission`` declares from ``workspace`` into the empty folder ``root``.

    Of a tree, what is the same as in ``base``, which nobody writes to, is not kept in the record; where the file system
    can, ``root`` has it as a hard link. An ``episode``, with the answer, becomes ``episode.json``.

    Symbolic links are never followed, at no place of a path; in a tree they are left out. What is neither file nor
    folder, or larger than the task allows, makes the submission invalid, with the reason.
    """
    frozen = Frozen(root, base, answer=answer)
    try:
        if submission.kind in ("answer", "episode") and (answer is None or not answer.strip()):
            raise _Invalid("no answer was given")
        if submission.kind == "answer":
            assert answer is not None
            # a model may answer with half a surrogate pair
            data = answer.encode(errors="replace")
            if len(data) > submission.max_bytes:
                raise _Invalid(f"the answer goes beyond the {submission.max_bytes} bytes a submission may have")
            _keep(frozen, "answer.txt", data)
        elif submission.kind == "episode":
            record = json.dumps({**(episode or {}), "answer": answer}, indent=1).encode()
            if len(record) > submission.max_bytes:
                raise _Invalid(f"the episode goes beyond the {submission.max_bytes} bytes a submission may have")
            _keep(frozen, "episode.json", record)
        elif submission.kind == "tree":
            _freeze_tree(submission, workspace, frozen)
        else:
            assert submission.path is not None
            with _opened(workspace, submission.path) as descriptor:
                data = _read(descriptor, submission.path, submission.max_bytes)
            _keep(frozen, submission.path, data)
    except _Invalid as reason:
        # file names may contain half a surrogate pair
        frozen.invalid = storable(str(reason))
    except OSError as error:
        if shortage(error):
            raise
        # rights that were taken away, a path longer than any may be
        frozen.invalid = storable(f"{str(error.filename)[:200]} cannot be copied: {error.strerror}")
    return frozen


def _freeze_tree(submission: Submission, workspace: Path, frozen: Frozen) -> None:
    top = submission.path or "."
    left = submission.max_bytes
    seen: set[str] = set()
    with _opened(workspace, top, folder=True) as descriptor:
        for name, file in _walk(descriptor, PurePosixPath(top)):
            if len(seen) >= submission.max_files:
                raise _Invalid(f"{top} has more than {submission.max_files} files")
            data = _read(file, name, left)
            left -= len(data)
            seen.add(name)
            if not _keep_unchanged(frozen, name, data):
                _keep(frozen, name, data)
    if not seen:
        raise _Invalid(f"{top} has no files")
    if frozen.base is not None:
        frozen.deleted = sorted(_names(frozen.base, top) - seen)


def _names(base: Path, top: str) -> set[str]:
    """Return the files of the untouched workspace that would be part of a tree."""
    found: set[str] = set()
    for folder, folders, files in os.walk(base / top):
        folders[:] = [name for name in folders if name not in SKIPPED]
        found.update(os.path.relpath(path, base) for name in files if not os.path.islink(path := os.path.join(folder, name)))  # noqa: PTH118, PTH114
    return found


def _keep_unchanged(frozen: Frozen, name: str, data: bytes) -> bool:
    """Keep a file that is the same as in the untouched workspace; return whether it is."""
    if frozen.base is None:
        return False
    same = frozen.base / name
    try:
        if same.is_symlink() or same.stat().st_size != len(data) or same.read_bytes() != data:
            return False
    except OSError:
        return False
    target = frozen.root / name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(same)
    except OSError:
        # another file system, or one without links
        target.write_bytes(data)
    frozen.unchanged += 1
    return True


def _walk(folder: int, at: PurePosixPath, depth: int = 0) -> Iterator[tuple[str, int]]:
    if depth > 64:
        raise _Invalid(f"{at} is nested deeper than 64 folders")
    for name in sorted(os.listdir(folder)):
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) and name not in SKIPPED:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            try:
                yield from _walk(inner, at / name, depth + 1)
            finally:
                os.close(inner)
        elif stat.S_ISREG(mode):
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
            try:
                yield str(at / name), file
            finally:
                os.close(file)
        elif not stat.S_ISLNK(mode) and not stat.S_ISDIR(mode):
            raise _Invalid(f"{at / name} is neither a file nor a folder")


@contextlib.contextmanager
def _opened(workspace: Path, path: str, *, folder: bool = False) -> Iterator[int]:
    """Open ``path`` one part at a time, so that no part of it can be a link to elsewhere."""
    # a pipe that nobody writes would block for ever if opened without O_NONBLOCK
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    handle = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    try:
        parts = PurePosixPath(path).parts
        for position, part in enumerate(parts):
            last = position == len(parts) - 1
            try:
                inner = os.open(part, flags | (os.O_DIRECTORY if folder or not last else 0), dir_fd=handle)
            except FileNotFoundError:
                raise _Invalid(f"{path} does not exist") from None
            except OSError as error:
                if shortage(error):
                    raise
                named = PurePosixPath(*parts[: position + 1])
                if error.errno in (errno.EACCES, errno.EPERM):
                    raise _Invalid(f"{named} cannot be read: {error.strerror}") from None
                wanted = "folder" if folder or not last else "file"
                raise _Invalid(f"{named} is a symbolic link or not a {wanted} ({error.strerror})") from None
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def _read(descriptor: int, name: str, most: int) -> bytes:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise _Invalid(f"{name} is not a regular file")
    with open(descriptor, "rb", closefd=False) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise _Invalid(f"{name} goes beyond the {most} bytes a submission may have")
    return data


def _keep(frozen: Frozen, name: str, data: bytes) -> None:
    target = frozen.root / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    frozen.files.append(FrozenFile(path=name, size=len(data), sha256=hashlib.sha256(data).hexdigest()))
