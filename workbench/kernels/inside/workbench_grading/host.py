"""The grader's line to the host: what only the host can do while a submission is graded, asked for one line of JSON at a time."""

import json
import os
import threading
from typing import IO


class Host:
    """The host at the other end of the line.

    Parameters
    ----------
    asks, answers : binary file
        Where questions go out and answers come in.
    judges : bool
        Whether it has a judge to ask.
    sandboxes : str
        The folder through which submissions are given to sandboxes of their own; empty where there are none.
    counts : bool
        Whether it counts the processor time of everything that runs in such a sandbox.
    """

    def __init__(self, asks: "IO[bytes]", answers: "IO[bytes]", *, judges: bool = False, sandboxes: str = "", counts: bool = False) -> None:
        self.judges, self.sandboxes, self.counts = judges, sandboxes, counts
        self._asks, self._answers = asks, answers
        self._one_at_a_time = threading.Lock()

    def ask(self, **what: object) -> dict:
        """Ask for one thing, and wait for the answer."""
        with self._one_at_a_time:
            left = memoryview(json.dumps(what).encode() + b"\n")
            while left:
                left = left[self._asks.write(left) or 0 :]
            return json.loads(self._answers.readline())


_connected: "list[Host]" = []


def connect(channel: int, **has: object) -> None:
    """Take standard input for the host's answers, and ask on ``channel``; nothing that is started later has either."""
    answers = os.dup(0)
    os.set_inheritable(answers, False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    _connected.append(Host(os.fdopen(os.dup(channel), "wb", buffering=0), os.fdopen(answers, "rb"), **has))


def host() -> "Host | None":
    """Return the host, where there is one: not in a process that the grader has started."""
    return _connected[-1] if _connected else None
