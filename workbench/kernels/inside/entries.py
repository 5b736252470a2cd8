"""List a folder of a workspace that can only be seen from inside: ``entries.py PATH`` prints JSON, whatever the names are.

It never imports workbench. No part of the path below the workspace is followed where it is a link.
"""

import json
import os
import stat
import sys

KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}


def main() -> None:
    """Print name, kind and size of everything there."""
    workspace, *parts = sys.argv[1:]
    handle = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    for part in parts:
        handle = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
    found = []
    for name in sorted(os.listdir(handle)):
        seen = os.stat(name, dir_fd=handle, follow_symlinks=False)
        kind = KINDS.get(stat.S_IFMT(seen.st_mode), "other")
        found.append({"name": name, "kind": kind, "size": seen.st_size if kind == "file" else 0})
    json.dump(found, sys.stdout)


try:
    main()
except OSError as error:
    sys.exit(error.strerror)
