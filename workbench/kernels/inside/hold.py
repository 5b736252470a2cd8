"""The first process of a container: it ends, and the container with it, when nobody holds its standard input any more.

Started as ``python -I hold.py [PORT PATH]``; the kernel runs beside it. Where there is a way out of the container, a socket
that listens at ``PORT`` is given to who listens at ``PATH``, so that what connects to it is accepted outside.

What it says are lines of JSON, ``{"namespace": NAME}`` at first: that of its processes. A line on standard input,
``quiet``, kills every other process, and is answered when none is left: ``{"out_of_memory": N}``, how often the machine
killed one here for want of memory. It never imports workbench.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import time

PR_SET_DUMPABLE = 4
EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


def reap(*_: object) -> None:
    """Bury what others left behind: orphans come to the first process."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def quiet() -> None:
    """Kill everything but this process, until nothing is left."""
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(-1, signal.SIGKILL)
            reap()
            time.sleep(0.001)


def out_of_memory() -> int:
    """Return how many processes were killed for want of memory."""
    for events in EVENTS:
        with contextlib.suppress(OSError), open(events) as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
    return 0


def give_away(port: int, path: str) -> None:
    """Open a port and send its listening socket outside, where connections are accepted."""
    with socket.socket(socket.AF_UNIX) as taker, socket.create_server(("127.0.0.1", port)) as listening:
        taker.connect(path)
        socket.send_fds(taker, [b"."], [listening.fileno()])


def say(answer: dict) -> None:
    """Write one line."""
    os.write(1, json.dumps(answer).encode() + b"\n")


def main() -> None:
    """Obey until the end of standard input."""
    namespace = os.readlink("/proc/self/ns/pid")
    # the kernel has the same user; without this it could take hold of this process and outlive its owner
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGCHLD, reap)
    if sys.argv[1:]:
        give_away(int(sys.argv[1]), sys.argv[2])
    say({"namespace": namespace})
    while sys.stdin.readline():
        quiet()
        say({"out_of_memory": out_of_memory()})


main()
