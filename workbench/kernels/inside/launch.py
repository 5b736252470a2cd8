"""Inside the outer wall, before anything an agent wrote: give up rights, raise the inner wall, then become the program.

Started as ``python -I launch.py CONFIG`` by the environment's own interpreter; it never imports workbench. CONFIG is
JSON: ``uid`` to become or null, ``cwd``, ``limits`` for setrlimit, ``readable`` and ``writable`` paths for Landlock
(none: another wall takes its place), ``counters`` (set the maxima of the user namespace that was made for it),
``adopts`` (become the parent of orphans, if no process namespace does that), ``program`` (a Python file) and its
``arguments``. One line of JSON on standard output says which walls are in place.
"""

import ctypes
import json
import os
import runpy
import sys

sys.path.insert(0, os.path.dirname(__file__))

import confine

sys.path.pop(0)

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36


def main() -> None:
    """Raise the walls, report them, run the program."""
    config = json.loads(sys.argv[1])
    walls, missing = [], []
    walls.append(confine.hold_to(config["limits"]))
    if config["counters"]:
        confine.hold_counters()
        # the capability is no longer needed
        confine.keep_capabilities()
    if config["adopts"]:
        # what its children leave behind becomes its own, and is found when it is killed
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if (uid := config["uid"]) is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        walls.append("unprivileged user")
    os.chdir(config["cwd"])
    os.makedirs(os.environ["HOME"], exist_ok=True)
    if config["readable"]:
        raised, missing = confine.raise_walls(config["readable"], config["writable"])
        walls += raised
    # changing the user made this process undumpable, and with it its own /proc entries unreadable to it
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    os.write(1, (json.dumps({"walls": walls, "missing": missing}) + "\n").encode())
    sys.argv = [config["program"], *config["arguments"]]
    runpy.run_path(config["program"], run_name="__main__")


main()
