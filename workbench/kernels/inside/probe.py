"""Try from inside what an agent must not be able to do, and say what happened; run in a kernel, with SECRET PID PORT as arguments."""

import json
import os
import socket
import sys


def attempt(function: object) -> str:
    """Return what went wrong, or ``done`` if nothing did."""
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def connect(address: tuple) -> None:
    """Open a connection to ``address``."""
    with socket.create_connection(address, timeout=1):
        pass


secret, pid, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
tries = {
    "read a file of the user's": lambda: open(secret).read(),
    "read the system's passwords": lambda: open("/etc/shadow").read(),
    "write to the system": lambda: open("/usr/workbench-probe", "w"),
    "reach the internet": lambda: connect(("1.1.1.1", 53)),
    "reach a server on this machine": lambda: connect(("127.0.0.1", port)),
    "signal the process that started it": lambda: os.kill(pid, 0),
    "read that process's memory": lambda: open(f"/proc/{pid}/mem", "rb").read(1),
}
print(json.dumps({name: attempt(function) for name, function in tries.items()}))
