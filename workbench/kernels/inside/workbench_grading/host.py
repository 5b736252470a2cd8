"""The grader's connection to the host, to request what only the host can do, as one line of JSON at a time."""

import json
import os
import threading
from typing import IO


class Host:
    """The host at the other end of the connection.

    Parameters
    ----------
    asks, answers : binary file
        The streams for sending questions and receiving answers.
    judges : bool
        Whether it has a judge to ask.
    sandboxes : str
        The folder through which submissions are passed to their sandboxes; empty if there are no sandboxes.
    counts : bool
        Whether it measures the processor time of everything that runs in such a sandbox.
    """

    def __init__(self, asks: "IO[bytes]", answers: "IO[bytes]", *, judges: bool = False, sandboxes: str = "", counts: bool = False) -> None:
        self.judges, self.sandboxes, self.counts = judges, sandboxes, counts
        self._asks, self._answers = asks, answers
        self._one_at_a_time = threading.Lock()

    def ask(self, **what: object) -> dict:
        """Send one request, and wait for the answer."""
        with self._one_at_a_time:
            left = memoryview(json.dumps(what).encode() + b"\n")
            while left:
                left = left[self._asks.write(left) or 0 :]
            return json.loads(self._answers.readline())


_connected: "list[Host]" = []


def connect(channel: int, **has: object) -> None:
    """Use standard input for the host's answers, and send requests on ``channel``; child processes inherit neither."""
    answers = os.dup(0)
    os.set_inheritable(answers, False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    _connected.append(Host(os.fdopen(os.dup(channel), "wb", buffering=0), os.fdopen(answers, "rb"), **has))


def host() -> "Host | None":
    """Return the host, if there is one: a process that the grader has started has none."""
    return _connected[-1] if _connected else None
