"""Refuse the system calls that no task needs and that reach parts of the kernel which namespaces and Landlock do not cover."""

import ctypes
import errno
import os
import platform
import struct

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, EQUAL, ANY_BIT, AT_LEAST, RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
CLONE_NEWUSER, CLONE_THREAD = 0x10000000, 0x10000
FAMILIES = (1, 2, 10, 16)  # unix, IPv4, IPv6, netlink; not vsock, which leads to the host of a virtual machine

ALONE = {"x86_64": (57, 58, 29, 64, 68, 240), "aarch64": (194, 190, 186, 180)}
"""System calls that start a process, other than clone and clone3 (fork, vfork), and those that create what outlives its
process: System V shared memory, semaphores and message queues, and POSIX message queues."""

# include/uapi/linux/audit.h and the tables of each architecture
TABLES = {
    # io_setup uses a resource that the whole machine shares
    "x86_64": (
        0xC000003E,
        {
            **{"socket": 41, "clone": 56, "clone3": 435, "unshare": 272, "setns": 308, "keyctl": 250, "add_key": 248, "request_key": 249},
            **{
                "bpf": 321,
                "perf_event_open": 298,
                "userfaultfd": 323,
                "io_uring_setup": 425,
                "io_uring_enter": 426,
                "io_uring_register": 427,
            },
            **{"open_by_handle_at": 304, "kexec_load": 246, "init_module": 175, "finit_module": 313, "mount": 165, "umount2": 166},
            "io_setup": 206,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            **{"socket": 198, "clone": 220, "clone3": 435, "unshare": 97, "setns": 268, "keyctl": 219, "add_key": 217, "request_key": 218},
            **{
                "bpf": 280,
                "perf_event_open": 241,
                "userfaultfd": 282,
                "io_uring_setup": 425,
                "io_uring_enter": 426,
                "io_uring_register": 427,
            },
            **{"open_by_handle_at": 265, "kexec_load": 104, "init_module": 105, "finit_module": 273, "mount": 40, "umount2": 39},
            "io_setup": 0,
        },
    ),
}


def program(*, alone: bool = False) -> bytes:
    """Return the filter for this machine, as a program in the Linux kernel's packet filter language.

    Parameters
    ----------
    alone : bool
        Also refuse new processes, but not threads, and everything that outlives the process.

    Raises
    ------
    OSError
        If this architecture has no table.
    """
    if platform.machine() not in TABLES:
        raise OSError(errno.ENOTSUP, f"no table for {platform.machine()}")
    architecture, numbers = TABLES[platform.machine()]

    def step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
        return struct.pack("HBBI", code, then, otherwise, value)

    def fail(number: int) -> bytes:
        return step(RETURN, ERRNO | number)

    steps = [step(LOAD, ARCHITECTURE), step(EQUAL, architecture, 1, 0), fail(errno.EPERM), step(LOAD, NUMBER)]
    # the 32-bit face of x86-64 has numbers of its own for everything below
    steps += [step(AT_LEAST, 0x40000000, 0, 1), fail(errno.ENOSYS)] if platform.machine() == "x86_64" else []
    special = ("socket", "clone", "clone3")
    for name, number in numbers.items():
        if name not in special:
            steps += [step(EQUAL, number, 0, 1), fail(errno.EPERM)]
    families = FAMILIES[:1] if alone else FAMILIES
    if alone:
        for number in ALONE[platform.machine()]:
            steps += [step(EQUAL, number, 0, 1), fail(errno.EPERM)]
        steps += [step(EQUAL, numbers["clone"], 0, 3), step(LOAD, FIRST_ARGUMENT), step(ANY_BIT, CLONE_THREAD, 1, 0), fail(errno.EPERM)]
        steps += [step(LOAD, NUMBER)]
    # its flags lie in memory, where a filter cannot look; without it the C library falls back to clone
    steps += [step(EQUAL, numbers["clone3"], 0, 1), fail(errno.ENOSYS)]
    steps += [step(EQUAL, numbers["clone"], 0, 4), step(LOAD, FIRST_ARGUMENT), step(ANY_BIT, CLONE_NEWUSER, 0, 1), fail(errno.EPERM)]
    steps += [step(RETURN, ALLOW)]
    steps += [step(EQUAL, numbers["socket"], 0, 2 + len(families)), step(LOAD, FIRST_ARGUMENT)]
    steps += [step(EQUAL, family, len(families) - place, 0) for place, family in enumerate(families)]
    steps += [fail(errno.EAFNOSUPPORT), step(RETURN, ALLOW)]
    return b"".join(steps)


def refuse(*, alone: bool = False) -> None:
    """Apply the filter to this process and everything it will ever start; ``alone`` as for :func:`program`.

    Raises
    ------
    OSError
        If the Linux kernel does not accept it.
    """
    code = program(alone=alone)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    given = Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(given), 0, 0)):
        if libc.prctl(*arguments):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
