"""Calling submitted functions from outside their process, so that whatever judges what they return is out of their reach."""

import contextlib
import json
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from workbench_grading import plain
from workbench_grading.confined import confined, sandbox
from workbench_grading.host import Host, host

_MOST_ANSWER = 2**18
"""Bytes; a grader's time is not to be spent on reading."""

_SERVE = """
import json, os, socket, sys, types

def serve(file, context):
    asked_on = open(os.dup(0), encoding="ascii", newline="\\n")
    channel = open(os.dup(1), "w", encoding="ascii", newline="\\n")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    things = [module]
    def keep(thing):
        things.append(thing)
        return len(things) - 1
    def do(what, thing, *rest):
        if what == "load":
            exec(compile(context, "<context>", "exec"), module.__dict__)
            with open(os.path.join(sys.path[0], file), encoding="utf-8-sig") as source:
                exec(compile(source.read(), file, "exec"), module.__dict__)
        elif what == "call":
            return thing(*rest[0], **rest[1])
        elif what == "get":
            return getattr(thing, rest[0])
        elif what == "set":
            setattr(thing, *rest)
    def told(error):
        kind = type.__dict__["__name__"].__get__(type(error))
        try:
            return f"{kind}: {error}"[:1000]
        except BaseException:
            # its __str__ fails too
            return kind
    for line in asked_on:
        try:
            asked = decode(json.loads(line), things.__getitem__)
            said = {"value": encode(do(*asked), keep)}
        except BaseException as error:
            said = {"error": told(error)}
        channel.write(json.dumps(said) + "\\n")
        channel.flush()
"""


class Failed(Exception):
    """Submitted code raised, ended, took too long or said what is no value."""


class Remote:
    """Something of the submission's that is not plain: it can be called, and its attributes read and set, but never believed.

    It equals nothing but itself, whatever its type says on the other side.
    """

    __slots__ = ("_number", "_there")

    def __init__(self, there: "Submitted", number: int) -> None:
        object.__setattr__(self, "_there", there)
        object.__setattr__(self, "_number", number)

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Call it."""
        return self._there.ask("call", self, list(args), kwargs)

    def __getattr__(self, name: str) -> object:
        return self._there.ask("get", self, name)

    def __setattr__(self, name: str, value: object) -> None:
        self._there.ask("set", self, name, value)


class Line(Protocol):
    """A connection to the process."""

    def exchange(self, line: bytes, seconds: float, most: int) -> bytes:
        """Send a line and return the one that answers it.

        Raises
        ------
        Failed
            If there is none within ``seconds``, or it has more than ``most`` bytes; then it is not taken for the next
            answer.
        """


class Submitted:
    """A module of the submission's, in a process of its own; :func:`submitted` makes it.

    Parameters
    ----------
    line : Line
        To the process.
    deadline : float
        By :func:`time.monotonic`, for all questions together.
    most_answer : int
        Maximum size of an answer in bytes.
    """

    def __init__(self, line: Line, deadline: float, most_answer: int = _MOST_ANSWER) -> None:
        self._line, self._deadline, self._most_answer = line, deadline, most_answer
        self.module = Remote(self, 0)

    def ask(self, *what: object) -> object:
        """Have something done on the other side and return what came of it, as plain values.

        Raises
        ------
        Failed
            If nothing did.
        """
        asked = plain.encode(what, lambda thing: thing._number)
        said = self._line.exchange(json.dumps(asked).encode() + b"\n", self._deadline - time.monotonic(), self._most_answer)
        try:
            answer = json.loads(said)
            if "value" in answer:
                return plain.decode(answer["value"], lambda number: Remote(self, number))
            why = str(answer["error"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Failed(f"it returned what cannot be read: {error}"[:300]) from None
        raise Failed(why[:1000])


class _OverHost:
    """A line to a sandbox made by the host."""

    def __init__(self, there: Host, name: str) -> None:
        self._there, self._name = there, name

    def exchange(self, line: bytes, seconds: float, most: int) -> bytes:
        answer = self._there.ask(tell=self._name, line=line.decode(), seconds=seconds, most=most)
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer["line"].encode()


class _OverSocket:
    """A line to a child of this process."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def exchange(self, line: bytes, seconds: float, most: int) -> bytes:
        said, size, deadline = bytearray(), 0, time.monotonic() + seconds
        try:
            self._wait(deadline)
            self._channel.sendall(line)
            while not said.endswith(b"\n"):
                self._wait(deadline)
                part = self._channel.recv(65536)
                if not part:
                    raise Failed("its process ended")
                said += part
                size += len(part)
                if size > most:
                    # the rest is read and thrown away: it is no answer to the next question
                    del said[:-1]
        except TimeoutError:
            raise Failed("it took too long") from None
        except OSError as error:
            raise Failed(f"its process ended: {error.strerror}") from None
        if size > most:
            raise Failed(f"it returned more than {most} bytes")
        return bytes(said)

    def _wait(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._channel.settimeout(left)


@contextlib.contextmanager
def submitted(
    submission: Path, file: str, *, context: str = "", timeout: float = 60, most_answer: int = _MOST_ANSWER
) -> "Iterator[Submitted]":
    """Load a submitted Python file in a process like those of :func:`run_submitted`, and call what it defines.

    Tests run on this side, in the grader; only arguments are sent, and only values of plain types (numbers, text,
    lists, tuples, sets, dictionaries, iterators) come back. The other side contains no verdict and no expected values:
    printing, exiting, a class that equals everything, or searching the process's memory gains nothing. It is still
    possible to know the answers from elsewhere. Changing an argument in place has no effect on this side.

    Parameters
    ----------
    submission : Path
        A folder.
    file : str
        The file in it; it is not ``__main__``.
    context : str
        Code that runs before it in the same namespace.
    timeout : float
        Seconds, for everything together.
    most_answer : int
        Maximum size of one answer in bytes.

    Yields
    ------
    Submitted
        Its ``module`` has what the file defines: ``there.module.name(...)``. Any failure there raises :class:`Failed`.

    Raises
    ------
    Failed
        If the file cannot be loaded.
    Unconfined
        If the process could not be run in a sandbox; that is never the submission's fault.
    """
    code = f"{Path(plain.__file__).read_text(encoding='utf-8')}\n{_SERVE}\nserve({file!r}, {context!r})"
    with _line(code, submission) as line:
        there = Submitted(line, time.monotonic() + timeout, most_answer)
        there.ask("load", there.module)
        yield there


@contextlib.contextmanager
def _line(code: str, submission: Path) -> "Iterator[Line]":
    there = host()
    if there is not None and there.sandboxes:
        with sandbox(there, code, submission) as name:
            try:
                yield _OverHost(there, name)
            finally:
                there.ask(end=name, seconds=0)
        return
    ours, theirs = socket.socketpair()
    with ours, theirs, tempfile.TemporaryFile() as err, confined(code, submission, stdin=theirs, stdout=theirs, err=err):
        # from here on only the process holds that end: when it is gone, the channel says so
        theirs.close()
        yield _OverSocket(ours)
