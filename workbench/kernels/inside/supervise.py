"""Where there is no bubblewrap: run a command under a sandlock supervisor that belongs to this one run.

Started by the environment's interpreter as ``supervise.py CONFIG``. CONFIG is JSON: ``policy`` for sandlock's Sandbox
and ``argv``. Two sandboxes under one supervisor could read each other's memory, so each has its own.
"""

import ctypes
import json
import signal
import sys

import sandlock

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

config = json.loads(sys.argv[1])
libc = ctypes.CDLL(None)
# dies with workbench, and inherits whatever tries to outlive its own parent, so that it can be found and killed
libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
code = sandlock.Sandbox(**config["policy"]).run_interactive(config["argv"])
if code < 0:
    print("killed, by a limit of the sandlock supervisor or by itself", file=sys.stderr)
sys.exit(code & 255)
