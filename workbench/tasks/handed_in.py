"""Whether an agent that says it is done has handed in anything: looked at while its kernel still lives."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from workbench.kernels.contract import Kernel
from workbench.kernels.files import Entry
from workbench.tasks.spec import Submission
from workbench.tasks.submission import SKIPPED


async def missing(kernel: Kernel, submission: Submission, base: Path) -> str:
    """Return which of the files that ``submission`` asks for is not in the workspace, in words; nothing if they are there.

    Only whether there is something is said, nothing about what is in it.

    Parameters
    ----------
    kernel : Kernel
        The agent's.
    submission : Submission
        What the task asks for: a file, JSON or a tree.
    base : Path
        The workspace that the agent started from.

    Raises
    ------
    WorkbenchError
        If the workspace cannot be looked at.
    """
    path = PurePosixPath(submission.path or ".")
    if submission.kind != "tree":
        there = {entry.name for entry in await kernel.entries(str(path.parent))} if await _is_folder(kernel, path.parent) else set()
        return "" if path.name in there else f"the file {path} is graded, and it does not exist"
    if not await _is_folder(kernel, path):
        return f"the folder {path} is graded, and it does not exist"
    if await _is_changed(kernel, path, base):
        return ""
    return f"the files in {'the working directory' if path == PurePosixPath() else path} are graded, and none of them has changed"


async def _is_folder(kernel: Kernel, path: PurePosixPath) -> bool:
    """Return whether there is such a folder; what is behind a link is none."""
    at = PurePosixPath()
    for part in path.parts:
        if Entry(name=part, kind="folder", size=0) not in await kernel.entries(str(at)):
            return False
        at /= part
    return True


async def _is_changed(kernel: Kernel, path: PurePosixPath, base: Path) -> bool:
    """Return whether anything in a folder differs from what was there before; no more is looked at than was there."""
    now = {entry.name: entry for entry in await kernel.entries(str(path)) if entry.name not in SKIPPED}
    before = {found.name: found for found in (base / path).iterdir() if found.name not in SKIPPED} if (base / path).is_dir() else {}
    if now.keys() != before.keys():
        return True
    # a file of another size is found sooner than one with another content
    for name, found in before.items():
        kind = "link" if found.is_symlink() else "folder" if found.is_dir() else "file"
        if now[name].kind != kind or (kind == "file" and now[name].size != found.stat().st_size):
            return True
    for name, found in before.items():
        if now[name].kind == "folder" and await _is_changed(kernel, path / name, base):
            return True
        if now[name].kind == "file" and await kernel.get(str(path / name)) != found.read_bytes():
            return True
    return False
