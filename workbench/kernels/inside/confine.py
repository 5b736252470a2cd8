"""Give rights up for good: limits, capabilities, Landlock and the system call filter. Each step says whether it was taken."""

import ctypes
import os
import resource
import struct

import system_calls

PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
CAP_SYS_CHROOT = 18
CAPABILITY_VERSION_3 = 0x20080522

COUNTERS = {
    "max_inotify_instances": 8,
    "max_inotify_watches": 1024,
    "max_fanotify_groups": 4,
    "max_fanotify_marks": 1024,
    **{f"max_{kind}_namespaces": 0 for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")},
}
"""The maximum of each resource that Linux counts for a user namespace and also for the user who created it."""

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raise where a C function failed."""
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def hold_to(limits: dict) -> str:
    """Set ``limits`` for setrlimit, or what is stricter already; return the wall's name."""
    for name, value in limits.items():
        which = getattr(resource, name)
        hard = resource.getrlimit(which)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (bound, bound))
    return "rlimits"


def hold_counters() -> None:
    """Limit this user namespace to :data:`COUNTERS`, so that it cannot use up its creator's; needs rights in it."""
    for name, most in COUNTERS.items():
        try:
            with open(f"/proc/sys/user/{name}", "w") as file:
                file.write(str(most))
        except FileNotFoundError:
            # this Linux kernel does not have this counter, so there is nothing to limit
            continue


def keep_capabilities(*kept: int, effective: bool = False) -> None:
    """Drop every capability except ``kept``, for this process and for all programs that it will ever start."""
    for number in range(64):
        if libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0):
            break
    bits = sum(1 << number for number in kept)
    header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
    check(libc.capset(header, struct.pack("6I", bits if effective else 0, bits, 0, 0, 0, 0)), "capset")
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


def confine_to(readable: list, writable: list) -> tuple:
    """Confine this process to paths; return the walls that stand and those that are missing."""
    try:
        import sandlock

        sandlock.confine(sandlock.Sandbox(fs_readable=readable, fs_writable=writable))
        return [f"landlock (ABI {sandlock.landlock_abi_version()})"], []
    except Exception as error:
        # whatever is wrong, the record must say that this wall is missing
        return [], [f"landlock: {type(error).__name__}: {error}"[:300]]


def raise_walls(readable: list, writable: list) -> tuple:
    """Confine this process to paths and refuse system calls; return the walls that stand and those that are missing."""
    walls, missing = confine_to(readable, writable)
    try:
        system_calls.refuse()
        walls.append("system call filter")
    except OSError as error:
        missing.append(f"system call filter: {error}")
    return walls, missing
