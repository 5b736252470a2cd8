"""Hostile programs that go for time."""
# ruff: noqa: E501  (programs as they are run)

from .attack import Attack
from .trials import held

STOPPED = "stopped after 1 s"

ATTACKS = [
    Attack("time", name, goes_for, expected, held, code, STOPPED, timeout=1)
    for name, goes_for, expected, code in (
        ("a loop", "Never ends.", "held to a limit", "while True: pass"),
        (
            "a computation in C",
            "Computes for hours within one instruction, where no interrupt is seen.",
            "killed and told",
            "(10 ** 10) ** (10 ** 8)",
        ),
        ("a regular expression", "Matches for hours within one call.", "killed and told", "import re\nre.match('(a+)+$', 'a' * 60 + 'b')"),
        (
            "a loop that catches its interrupt",
            "Goes on whenever it is interrupted.",
            "held to a limit",
            "while True:\n    try:\n        while True: x = 1\n    finally: continue",
        ),
        (
            "a handler for every signal",
            "Handles every signal there is, and goes on.",
            "killed and told",
            "import signal\nfor n in range(1, 32):\n    try: signal.signal(n, lambda *_: None)\n    except OSError: pass\nwhile True: x = 1",
        ),
        (
            "every signal blocked",
            "Blocks all signals and waits for one.",
            "killed and told",
            "import ctypes, signal, threading\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nlibc = ctypes.PyDLL(None)\nwhile True: libc.sleep(1000)",
        ),
        (
            "a child that cannot be asked to end",
            "Waits for a child that is stopped, in a session of its own, and ignores all it can.",
            "held to a limit",
            "import os, signal, time\nchild = os.fork()\nif child == 0:\n    os.setsid()\n    for n in set(range(1, 65)) - {9, 19, 32, 33}: signal.signal(n, signal.SIG_IGN)\n    os.kill(os.getpid(), signal.SIGSTOP)\n"
            "while True:\n    os.waitpid(child, 0)",
        ),
        (
            "stopping itself",
            "Stops its own kernel, so that it hears of nothing any more.",
            "killed and told",
            "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        ),
        (
            "an event loop that never comes back",
            "Awaits something that takes for ever, and catches what cancels it.",
            "killed and told",
            "import asyncio\nwhile True:\n    try: await asyncio.sleep(1000)\n    except BaseException: pass",
        ),
    )
] + [
    Attack(
        "time",
        "its own life",
        "Kills its own kernel.",
        "killed and told",
        held,
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "SIGKILL|killed",
    ),
    Attack(
        "time",
        "its parents' lives",
        "Kills its parent and its group.",
        "killed and told",
        held,
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.kill(0, signal.SIGKILL)",
        "refused|PermissionError|killed|died",
    ),
    Attack(
        "time",
        "a death without a word",
        "Ends its process past all that Python does at an end.",
        "killed and told",
        held,
        "import os\nos._exit(0)",
        "the kernel died",
    ),
]
