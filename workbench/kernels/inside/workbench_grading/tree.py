"""Reading a submitted folder: a bounded number of plain files, or a reason why not."""

import os
from pathlib import Path

from workbench_grading.reading import Invalid, read_bytes

MOST_ENTRIES = 1000
MOST_BYTES = 8 * 2**20
MOST_OF_FILE = 2**20


def printable(text: str) -> str:
    """Return ``text`` in ASCII: a file's name may hold anything, also what no JSON reader takes."""
    return ascii(text)[1:-1]


def read_tree(root: Path) -> "dict[str, bytes]":
    """Return the files of a submitted folder by path, which begins with the folder's name; ``__pycache__`` is passed over.

    Raises
    ------
    Invalid
        If it is not there, holds anything but files and folders, or is too large.
    """
    if not root.is_dir() or root.is_symlink():
        raise Invalid(f"the folder {root.name} is missing")
    found: dict[str, bytes] = {}
    folders, entries, total = [root], 0, 0
    while folders:
        try:
            with os.scandir(folders.pop()) as listing:
                for entry in listing:
                    entries += 1
                    if entries > MOST_ENTRIES:
                        raise Invalid(f"{root.name} holds more than {MOST_ENTRIES} files and folders")
                    path = Path(entry.path)
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name != "__pycache__":
                            folders.append(path)
                        continue
                    data = _read(path)
                    total += len(data)
                    if total > MOST_BYTES:
                        raise Invalid(f"{root.name} is larger than {MOST_BYTES} bytes")
                    found[printable(path.relative_to(root.parent).as_posix())] = data
        except OSError as error:
            raise Invalid(f"a folder in {root.name} can't be read: {error.strerror}") from None
    return found


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, MOST_OF_FILE)
    except Invalid as reason:
        raise Invalid(printable(str(reason))) from None
