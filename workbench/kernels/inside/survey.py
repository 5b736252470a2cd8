"""What would become of a process if it were forked now: what a branch goes without, and whether it could hang.

Threads do not survive a fork. Most libraries start theirs anew; some wait for them for ever, as GNU OpenMP does, or break
when they find them gone. Which library a thread belongs to is read off its stack.
"""

import contextlib
import ctypes
import gc
import os
import re
import socket
import struct
import sys
import threading
import time
from bisect import bisect_right

STARTS_ANEW = re.compile(r"libzmq|openblas|libarrow|jemalloc|libparquet")
"""Libraries that prepare for a fork: tried, each with work in several threads before and after."""
RUNTIME = re.compile(r"lib(c|m|pthread|stdc\+\+|gcc_s)[.-]|ld-linux|(lib)?python3|\[|$")
NAMES = {"libgomp": "GNU OpenMP", "libomp": "LLVM OpenMP", "libiomp": "Intel OpenMP", "duckdb": "DuckDB", "libtorch": "PyTorch"}
MOST_STACK = 64 * 1024
PATIENCE = 200


class Survey:
    """The result."""

    def __init__(self, refused: str = "") -> None:
        self.refused = refused
        """Why this process cannot be forked; empty if it can."""
        self.not_carried: list = []
        """What a branch goes without, for people."""
        self.sockets: list = []
        """The sockets among that."""
        self.calmed: list = []

    def resume(self) -> None:
        """Undo what was done for the fork's sake."""
        for connection, threads in self.calmed:
            with contextlib.suppress(Exception):
                connection.execute(f"SET threads TO {threads}")


def survey(kernel: object) -> Survey:
    """Look at this process, between two cells."""
    found = Survey()
    own = {id(thread) for thread in own_threads(kernel)}
    found.not_carried += [f"thread {thread.name!r}" for thread in threading.enumerate() if id(thread) not in own]
    waiting = waiting_libraries()
    if any("duckdb" in each for each in waiting):
        calm_duckdb(kernel.shell.user_ns, found)
        waiting = waiting_libraries()
    if waiting:
        names = ", ".join(next((name for key, name in NAMES.items() if key in each), each) for each in waiting)
        found.refused = f"threads of {names} are alive, and would be waited for after a fork for ever"
        found.resume()
    if any(re.match(r"/dev/(nvidia|kfd|dri)", target) for target in descriptors().values()):
        found.refused = "it holds a GPU, whose state does not cross a fork"
    found.sockets = user_sockets()
    found.not_carried += [f"socket {describe(each)}" for each in found.sockets]
    found.not_carried += [f"child process {child}" for child in children()]
    return found


def own_threads(kernel: object) -> list:
    """Return the threads that every kernel has, and that a branch starts again."""
    app = kernel.parent
    threads = [threading.main_thread(), kernel.control_thread, kernel.shell_channel_thread, app.heartbeat]
    watches = [getattr(stream, "watch_fd_thread", None) for stream in (sys.stdout, sys.stderr)]
    return [*threads, *watches, kernel.iopub_thread.thread]


def waiting_libraries() -> list:
    """Return the libraries with threads that would be missed after a fork."""
    # the number that Python knows the main thread by may be that of a parent
    known = {os.getpid(), *(thread.native_id for thread in threading.enumerate())}
    regions = executable_regions()
    owners = {owner_of(int(task), regions) for task in os.listdir("/proc/self/task") if int(task) not in known}
    return sorted(owner for owner in owners if owner and not STARTS_ANEW.search(owner))


def calm_duckdb(variables: dict, found: Survey) -> None:
    """Let DuckDB's databases do without threads for a moment: it does not live through a fork with them, but well without."""
    duckdb = sys.modules["duckdb"]
    with contextlib.suppress(Exception):
        connections = [value for value in list(variables.values()) if type(value) is duckdb.DuckDBPyConnection]
        for connection in [*connections, duckdb.default_connection()]:
            # a connection of its own to the same database, so that a result half read by the user's stays
            aside = connection.cursor()
            threads = aside.execute("SELECT current_setting('threads')").fetchone()[0]
            aside.execute("SET threads TO 1")
            found.calmed.append((aside, threads))


def executable_regions() -> list:
    """Return where code lies in memory, as sorted (start, end, file)."""
    regions = []
    for line in open("/proc/self/maps"):
        bounds, access, _, _, _, *path = line.rstrip("\n").split(None, 5)
        if "x" in access:
            start, end = (int(each, 16) for each in bounds.split("-"))
            regions.append((start, end, path[0] if path else ""))
    return sorted(regions)


def owner_of(task: int, regions: list) -> str:
    """Return the library that a thread runs the code of, the outermost on its stack; empty for one that has ended."""
    try:
        name = open(f"/proc/self/task/{task}/comm").read().strip()
        if STARTS_ANEW.search(name) or name.startswith("ZMQbg"):
            return "libzmq" if name.startswith("ZMQbg") else name
        fields = open(f"/proc/self/task/{task}/syscall").read().split()
        for _ in range(PATIENCE):
            if fields != ["running"]:
                break
            # those of OpenBLAS and OpenMP run on for a moment in the hope of more work
            time.sleep(0.001)
            fields = open(f"/proc/self/task/{task}/syscall").read().split()
        pointer = int(fields[-2], 16)
    except OSError:
        return ""
    except (ValueError, IndexError):
        return "a library at work"
    starts = [start for start, _, _ in regions]
    outermost = ""
    for (word,) in struct.iter_unpack("Q", ctypes.string_at(pointer, stack_left(pointer))):
        place = bisect_right(starts, word) - 1
        if place >= 0 and word < regions[place][1]:
            file = os.path.basename(regions[place][2])
            outermost = outermost if RUNTIME.match(file) else file
    return outermost or "an unknown library"


def stack_left(pointer: int) -> int:
    """Return how many bytes of the stack that ``pointer`` is in lie above it, up to a bound."""
    for line in open("/proc/self/maps"):
        start, end = (int(each, 16) for each in line.split(None, 1)[0].split("-"))
        if start <= pointer < end:
            return min(end - pointer, MOST_STACK) & ~7
    return 0


def user_sockets() -> list:
    """Return the sockets of Python's that are open, but for those of event loops."""
    # what an object says of its class is its own claim
    found = [each for each in gc.get_objects() if issubclass(type(each), socket.socket)]
    return [each for each in found if each.fileno() >= 0 and each.family != socket.AF_UNIX]


def describe(each: socket.socket) -> str:
    """Return where a socket leads."""
    for ask, word in ((each.getpeername, "to"), (each.getsockname, "at")):
        with contextlib.suppress(OSError):
            return f"{word} {ask()}"
    return "that is not connected"


def descriptors() -> dict:
    """Return what each open descriptor leads to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def children() -> list:
    """Return the processes that this one has started."""
    found = []
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):
            found += open(f"/proc/self/task/{task}/children").read().split()
    return found
