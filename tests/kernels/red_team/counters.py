"""Hostile programs that use up what the operating system counts for a user, or for the whole machine."""
# ruff: noqa: E501  (programs as they are run)

from .attack import Attack
from .trials import drained

ONE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *arguments):
    if (answer := function(*arguments)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer
def one():
"""
"""Each program defines a function that takes one of what is counted, and keeps it."""

FAMILY = {
    "branch": "a family has one user and one set of namespaces, for which this is counted: one member can take what the others would need"
}
NO_MOST = "bubblewrap and Docker mount a kernel's terminals without a maximum: one can take those that the system leaves to all namespaces; the host keeps a quarter"

ATTACKS = [
    Attack("resources", name, goes_for, "held to a limit", drained, f"{ONE}    {code}\n", r"took \d+", weak=weak)
    for name, goes_for, code, weak in (
        (
            "the user's inotify instances",
            "Opens inotify instances in many processes until there are no more.",
            "call(libc.inotify_init1, 0)",
            FAMILY,
        ),
        (
            "the user's fanotify groups",
            "Opens fanotify groups in many processes until there are no more.",
            "call(libc.fanotify_init, 0x200, 0)",
            FAMILY,
        ),
        (
            "the user's pending signals",
            "Makes POSIX timers, for each of which a signal is set aside, until there are no more.",
            "call(libc.timer_create, 1, None, ctypes.byref(ctypes.c_void_p()))",
            {
                **FAMILY,
                "sandlock": "all kernels are your user's there, and are counted together: one can take what the others may have. Yours stay yours",
            },
        ),
        (
            "the machine's asynchronous I/O",
            "Sets up contexts for asynchronous I/O until the machine has no more.",
            "call(lambda context: libc.syscall(206, 1000, context), ctypes.byref(ctypes.c_ulong(0)))",
            {},
        ),
        (
            "the machine's terminals",
            "Opens terminals in many processes until there are no more.",
            "os.openpty()",
            {
                **FAMILY,
                **dict.fromkeys(("local alone", "docker"), NO_MOST),
                "sandlock": "a kernel has the machine's own terminals there, and can take all that your user may have",
            },
        ),
    )
]
