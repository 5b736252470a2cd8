"""Reach into a workspace that only its sandbox sees: list a folder, read a file, write one; links lead nowhere.

Started as ``python -I reach.py REQUEST``; it never imports workbench. REQUEST is JSON: ``do`` (``list``, ``get`` or
``put``), ``workspace``, ``parts`` of a path in it, ``uid`` to act as or null, ``most`` bytes to read, ``source`` to move
into place, or null for standard input. The answer is one line of JSON, bytes in base64, whatever the names are; or an ``error``.
"""

import base64
import contextlib
import json
import os
import secrets
import stat
import sys

KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
# opening a pipe without a writer would block forever without O_NONBLOCK
LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


def folder(workspace: str, parts: list, make: bool = False) -> int:
    """Open a folder one part at a time, so that no part of its path can be a link to elsewhere."""
    handle = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    for part in parts:
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=handle)
        handle = os.open(part, LOOK | os.O_DIRECTORY, dir_fd=handle)
    return handle


def entries(handle: int) -> list:
    """Return name, kind and size of everything in a folder."""
    found = []
    for name in sorted(os.listdir(handle)):
        seen = os.stat(name, dir_fd=handle, follow_symlinks=False)
        kind = KINDS.get(stat.S_IFMT(seen.st_mode), "other")
        found.append({"name": name, "kind": kind, "size": seen.st_size if kind == "file" else 0})
    return found


def get(handle: int, name: str, most: int) -> str:
    """Return a regular file, and one byte more than ``most`` where it has more."""
    with os.fdopen(os.open(name, LOOK, dir_fd=handle), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is not a regular file")
        return base64.b64encode(file.read(most + 1)).decode()


def put(handle: int, name: str, source: int) -> None:
    """Write a file under another name and rename it: a link is replaced, not followed."""
    beside = f".{secrets.token_hex(8)}.part"
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=handle), "wb") as file:
            while piece := os.read(source, 1 << 20):
                file.write(piece)
        os.rename(beside, name, src_dir_fd=handle, dst_dir_fd=handle)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(beside, dir_fd=handle)
        raise


def main() -> object:
    """Do what is asked with no more rights than the kernel has."""
    request = json.loads(sys.argv[1])
    source = None
    if request["do"] == "put":
        source = 0
        if request["source"] is not None:
            source = os.open(request["source"], os.O_RDONLY)
            os.unlink(request["source"])
    if (uid := request["uid"]) is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    workspace, parts = request["workspace"], request["parts"]
    if request["do"] == "list":
        return entries(folder(workspace, parts))
    *above, name = parts or ["."]
    handle = folder(workspace, above, make=source is not None)
    return get(handle, name, request["most"]) if source is None else put(handle, name, source)


if __name__ == "__main__":
    try:
        print(json.dumps({"answer": main()}))
    except OSError as error:
        print(json.dumps({"error": error.strerror}))
