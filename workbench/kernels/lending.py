"""Folders of the user's that are handed to a sandbox's own user while a kernel works in them, and given back.

Where workbench runs as root a sandbox has a user of its own, who must own the files to work with them. Whose they were
is noted on disk first, so that they are given back even after this process was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

from workbench.errors import SandboxError, UsageError
from workbench.kernels import trees

NOTE = "lent.json"
"""Name of the note in the kernel's folder."""

FIRST_USER = 0x40000000
"""Users from here on belong to sandboxes; no account has such a number."""


def lend(folder: Path, uid: int, note: Path) -> None:
    """Make everything in ``folder`` belong to ``uid``, until :func:`give_back`.

    Parameters
    ----------
    note : Path
        The file in which the previous owner is recorded; an existing one is kept.

    Raises
    ------
    UsageError
        If another sandbox has it.
    SandboxError
        If this file system does not let owners change.
    """
    found = folder.stat()
    if not note.exists():
        if found.st_uid >= FIRST_USER:
            raise UsageError(
                f"{folder} is the workspace of another kernel, and one kernel at a time can have it where workbench runs as root",
                hint="shut that kernel down, or run workbench kernels gc if it is dead",
            )
        unfinished = note.with_suffix(".new")
        unfinished.write_text(json.dumps({"folder": os.fspath(folder.resolve()), "uid": found.st_uid, "gid": found.st_gid}))
        unfinished.replace(note)
    try:
        give([folder], uid)
    except OSError as error:
        raise SandboxError(
            f"{folder} cannot be handed to the sandbox's user: {error.strerror}: {error.filename}", hint="use another folder"
        ) from None


def give_back(note: Path) -> None:
    """Restore the recorded owner of a folder and its content, as far as it exists; no kernel may be working in it."""
    with contextlib.suppress(OSError):
        lent = json.loads(note.read_text())
        give([Path(lent["folder"])], lent["uid"], lent["gid"])
    note.unlink(missing_ok=True)


def give(folders: list[Path], uid: int, gid: int | None = None) -> None:
    """Make everything below ``folders`` belong to ``uid``, and to the group of that number; follows no links."""
    if sys.platform == "win32":
        raise SandboxError("files cannot be given to another user on Windows")
    group = uid if gid is None else gid
    for folder in folders:
        os.chown(folder, uid, group)
        for inner in trees.walk(folder):
            for entry in inner.entries:
                # one that has vanished meanwhile needs no owner
                with contextlib.suppress(FileNotFoundError):
                    os.chown(entry.name, uid, group, dir_fd=inner.handle, follow_symlinks=False)
