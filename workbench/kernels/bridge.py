"""The near end of the stdio bridge: sockets of this machine that speak for a kernel which only a pipe can reach.

``inside/bridge.py`` is the far end and says what the lines are. What comes from there was written by a sandbox: it is
bounded, checked and, where it is no message, dropped.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.session import Session

from workbench.errors import SandboxError
from workbench.text import shorten

MESSAGE_BYTES = 32 * 2**20
"""Largest message that is relayed, either way."""
WAITING_BYTES = 8 * 2**20
"""Bytes that wait at the far end for us before it takes no more from the kernel."""
STUCK_SECONDS = 2.0
"""Longest wait for a subscriber that does not read; then messages pass it by until somebody asks the kernel for something."""

_QUEUE = 8
_AGAIN_SECONDS = 0.002
_PAUSES = (0.0, 0.1, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before a line is sent again."""
_MOST_FRAMES = 1000
_MOST_WORDS = 16 * 1024
_MOST_LAST, _MOST_WHY = 300, 1000
_MOST_DIGITS = 20
_TALKING = ("shell", "control", "stdin")
_CHANNELS = (*_TALKING, "iopub", "hb")


class Lines:
    r"""Cuts a stream into lines; one that is longer than ``most`` bytes is dropped as it comes.

    Examples
    --------
    >>> lines = Lines(5)
    >>> [list(lines.feed(data)) for data in (b"one\ntw", b"o\nmuch too long", b"\nlast\n")]
    [[b'one'], [b'two'], [b'last']]
    >>> lines.dropped
    1
    """

    def __init__(self, most: int) -> None:
        self.dropped = 0
        self._most = most
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what came next and return the lines it ends."""
        first, *rest = data.split(b"\n")
        self._keep(first)
        for part in rest:
            if self._size > self._most:
                self.dropped += 1
            else:
                yield b"".join(self._parts)
            self._parts, self._size = [], 0
            self._keep(part)

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._most:
            self._parts.clear()
        elif part:
            self._parts.append(part)


@dataclass(frozen=True)
class Message:
    """A message of one channel, as the frames it has on the wire.

    Attributes
    ----------
    channel : str
        ``shell``, ``control``, ``stdin`` or ``iopub``.
    client : bytes
        Identity of the client's socket; empty for iopub.
    frames : sequence of bytes
        Everything but that identity.
    """

    channel: str
    client: bytes
    frames: Sequence[bytes]

    def encode(self) -> bytes:
        r"""Return it as a line.

        Examples
        --------
        >>> decode(Message("shell", b"me", [b"\x00", b""]).encode())
        Message(channel='shell', client=b'me', frames=[b'\x00', b''])
        """
        frames = [base64.b64encode(frame).decode() for frame in self.frames]
        return json.dumps({"channel": self.channel, "client": base64.b64encode(self.client).decode(), "frames": frames}).encode() + b"\n"


@dataclass(frozen=True)
class Ready:
    """The kernel listens; ``report`` is the first line its program wrote."""

    report: str


@dataclass(frozen=True)
class Dropped:
    """A message of ``size`` bytes was not let out of the sandbox."""

    channel: str
    size: int


@dataclass(frozen=True)
class Exit:
    """The kernel is dead, and what it left behind was killed.

    Attributes
    ----------
    code : int or None
        Its exit code, negative for a signal; None where nobody could tell.
    log : str
        The end of what it wrote, or why nobody could tell.
    left : int
        Processes that the far end could not kill.
    """

    code: int | None
    log: str = ""
    left: int = 0


def decode(line: bytes) -> Message | Ready | Dropped | Exit | None:
    """Return what a line of the far end says, or None where it says nothing that is known.

    Examples
    --------
    >>> decode(b'{"event": "exit", "code": -9, "log": "", "left": 0}')
    Exit(code=-9, log='', left=0)
    >>> decode(b"garbage") is None
    True
    """
    try:
        match json.loads(line):
            case {"event": "ready", "report": str(report)}:
                return Ready(report)
            case {"event": "dropped", "channel": str(channel), "bytes": int(size)}:
                return Dropped(channel[:20], size)
            case {"event": "exit", "code": int() | None as code, "log": str(log), "left": int(left)}:
                return Exit(code, log[-_MOST_WORDS:], left)
            case {"channel": "shell" | "control" | "stdin" | "iopub" as channel, "client": str(client), "frames": list(frames)}:
                if 0 < len(frames) <= _MOST_FRAMES:
                    return Message(
                        channel, base64.b64decode(client, validate=True), [base64.b64decode(each, validate=True) for each in frames]
                    )
    except (ValueError, TypeError, RecursionError, binascii.Error):
        pass
    return None


class Bridge:
    """Serves on a kernel's ipc sockets in its place and relays to the far end over a pipe.

    Guarantees: nothing that comes from the far end raises, or makes this process hold more than a few messages of
    ``message_bytes``; the sockets are there only once the kernel can hear what is sent to them; each subscription to
    iopub is welcomed; each line arrives once, either way, though a connection breaks, if :meth:`again` is called when
    there is another; once :meth:`close` has returned the sockets are gone and may be bound again.

    Parameters
    ----------
    connection : mapping
        What ``KernelManager.get_connection_info()`` says; transport ipc.
    send : callable
        Writes bytes to the far end's standard input, all of them; waits while it cannot take them.
    message_bytes : int
        Largest message that is relayed.

    Examples
    --------
    A backend starts the far end, feeds what it writes, and drives it like this::

        bridge = Bridge(manager.get_connection_info(), send)
        argv = [python, "-I", "bridge.py", bridge.config(kernel_argv, environ, "/tmp/kernel")]
        ...                       # start it; await bridge.feed(data) for all it writes, bridge.lost(why) when it ends
        ready = await bridge.start(60)
        ended = await bridge.wait()
        await bridge.close()
    """

    def __init__(
        self, connection: Mapping[str, Any], send: Callable[[bytes], Awaitable[None]], *, message_bytes: int = MESSAGE_BYTES
    ) -> None:
        self.dropped = 0
        """Messages that were too large and lines that made no sense."""
        self._connection = connection
        self._send = send
        self._message_bytes = message_bytes
        self._most_line = message_bytes * 4 // 3 + 2**16
        self._lines = Lines(self._most_line)
        self._one_at_a_time = asyncio.Lock()
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        # the clock, so that one who takes a kernel over goes on above the numbers of who had it before
        self._number = time.time_ns()
        self._context = zmq.asyncio.Context()
        self._heard: int | None = None
        """Number of the last line that came; None for one who takes a kernel over, until the first has come."""
        self._acknowledge_bytes, self._unacknowledged = WAITING_BYTES // 8, 0
        self._acknowledge = asyncio.Event()
        self._sockets: dict[str, zmq.asyncio.Socket] = {}
        self._tasks: list[asyncio.Task[None]] = [asyncio.create_task(self._say_what_was_heard())]

    @property
    def exit(self) -> Exit | None:
        """How the kernel ended; None while it lives."""
        return self._ended.result() if self._ended.done() else None

    def config(
        self,
        argv: Sequence[str],
        environ: Mapping[str, str],
        folder: str,
        *,
        uid: int | None = None,
        waiting_bytes: int = WAITING_BYTES,
    ) -> str:
        """Return the far end's one argument.

        Parameters
        ----------
        argv : sequence of str
            The kernel's command there; its connection file is ``kernel.json`` in ``folder``.
        environ : mapping
            The kernel's whole environment.
        folder : str
            Where its sockets and connection file go, as the sandbox sees it; a short path.
        uid : int, optional
            Whom to give that folder, where the kernel becomes somebody else.
        waiting_bytes : int
            How much may wait there for us.
        """
        # who starts the far end hears it from its first line on
        self._heard = 0
        self._acknowledge_bytes = waiting_bytes // 8
        key = self._connection["key"]
        connection = {
            "key": key.decode() if isinstance(key, bytes) else key,
            "signature_scheme": self._connection["signature_scheme"],
            "kernel_name": "workbench",
        }
        return json.dumps(
            {
                "argv": list(argv),
                "environ": dict(environ),
                "folder": folder,
                "connection": connection,
                "uid": uid,
                "message_bytes": self._message_bytes,
                "waiting_bytes": waiting_bytes,
            }
        )

    async def start(self, seconds: float) -> Ready:
        """Wait until the kernel listens, then serve in its place.

        Raises
        ------
        SandboxError
            If it ends before that or does not listen in time; says its last words.
        """
        events: list[asyncio.Future[Any]] = [self._ready, self._ended]
        await asyncio.wait(events, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if (ended := self.exit) is not None:
            raise SandboxError(f"the kernel did not start: {words(ended)}")
        if not self._ready.done():
            raise SandboxError(f"the kernel did not start within {seconds:g} s")
        self.serve()
        return self._ready.result()

    def serve(self) -> None:
        """Serve at once: for a kernel that is known to listen, because somebody was connected to it before."""
        for channel in _CHANNELS:
            socket = self._context.socket(zmq.XPUB if channel == "iopub" else zmq.ROUTER)
            socket.linger, socket.sndhwm, socket.rcvhwm, socket.maxmsgsize = 0, _QUEUE, _QUEUE, self._message_bytes
            if channel == "iopub":
                socket.setsockopt(zmq.XPUB_VERBOSE, 1)
            else:
                socket.router_handover = 1
            socket.bind(f"ipc://{self._address(channel)}")
            self._sockets[channel] = socket
        self._be_patient(True)
        self._tasks += [asyncio.create_task(self._relay(channel)) for channel in _TALKING]
        self._tasks += [asyncio.create_task(self._welcome()), asyncio.create_task(self._beat())]

    async def feed(self, data: bytes) -> None:
        """Take what the far end wrote; returns once it is passed on, so that a reader who waits holds it back."""
        dropped = self._lines.dropped
        for line in self._lines.feed(data):
            number, _, said = line.partition(b" ")
            # a line that was cut off has no end
            if not number.isdigit() or len(number) > _MOST_DIGITS or not said.endswith(b"}"):
                self.dropped += 1
                continue
            if self._heard is not None and int(number) != self._heard + 1:
                # it was here before, or lines before it were lost with a connection and come again
                continue
            self._heard = int(number)
            self._unacknowledged += len(line)
            match decode(said):
                case Message() as message:
                    await self._deliver(message)
                case Ready() as ready if not self._ready.done():
                    self._ready.set_result(ready)
                case Exit() as ended:
                    self._end(ended)
                case _:
                    self.dropped += 1
            if self._unacknowledged > self._acknowledge_bytes or self._ended.done():
                self._acknowledge.set()
        self.dropped += self._lines.dropped - dropped

    async def again(self) -> None:
        """Go on over a new connection: what the old one lost comes again, unless it was somebody else's."""
        self._lines = Lines(self._most_line)
        await self._write(self._what_was_heard(again=True))

    def _what_was_heard(self, *, again: bool) -> bytes:
        self._unacknowledged = 0
        return json.dumps({"heard": self._heard, "again": again}).encode() + b"\n"

    async def _say_what_was_heard(self) -> None:
        """Let the far end forget what came, now and then; its last line at once, for which it waits."""
        # to be cancelled is not enough here either, as below
        while not self._ended.done() or self._acknowledge.is_set():
            await self._acknowledge.wait()
            self._acknowledge.clear()
            await self._write(self._what_was_heard(again=False))

    def lost(self, why: str) -> None:
        """Note that the far end is gone; does nothing where it had said goodbye."""
        self._end(Exit(None, why))

    async def wait(self) -> Exit:
        """Wait for the kernel's end."""
        return await asyncio.shield(self._ended)

    async def kill(self) -> None:
        """Ask the far end to kill the kernel and everything that came of it; :meth:`wait` tells when it has."""
        if not self._ended.done():
            self._be_patient(False)
            await self._write(b'{"kill": true}\n')

    async def close(self) -> None:
        """Stop serving; safe to call twice, and at any time."""
        self._end(Exit(None, "the bridge was closed"))
        self._acknowledge.clear()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        sockets, self._sockets = self._sockets, {}
        # sockets belong to the thread that uses them; waiting for what zmq does in its own is another's work
        for socket in sockets.values():
            socket.close(0)
        await asyncio.to_thread(self._context.term)
        for channel in sockets:
            Path(self._address(channel)).unlink(missing_ok=True)

    def _address(self, channel: str) -> str:
        return f"{self._connection['ip']}-{self._connection[f'{channel}_port']}"

    def _end(self, ended: Exit) -> None:
        if not self._ended.done():
            self._ended.set_result(ended)

    async def _write(self, line: bytes) -> None:
        """Send a line so that it arrives once, though a connection may break over it and nobody can tell where."""
        async with self._one_at_a_time:
            self._number += 1
            numbered = b"%d %s" % (self._number, line)
            for pause in (*_PAUSES, None):
                try:
                    await self._send(numbered)
                    return
                except Exception as error:
                    # whatever carries the bytes has its own ways to fail; when it goes on failing nobody hears us any more
                    if self._ended.done():
                        return
                    if pause is None:
                        self.lost(f"the sandbox cannot be reached: {type(error).__name__}: {error}")
                    else:
                        await asyncio.wait({self._ended}, timeout=pause)
                # half a line may have arrived: it is ended, and the number tells whether a whole one has
                numbered = b"\n" + numbered.lstrip(b"\n")

    async def _relay(self, channel: str) -> None:
        # to be cancelled is not enough: it can be lost in a client library that turns it into an error of its own
        while not self._ended.done():
            client, *frames = await self._sockets[channel].recv_multipart()
            # who asks is about to listen
            self._be_patient(True)
            await self._write(Message(channel, client, frames).encode())

    async def _welcome(self) -> None:
        """Greet each subscriber: it may not send before it knows that it will hear the answer."""
        session = Session(key=self._key(), signature_scheme=self._connection["signature_scheme"], check_pid=False)
        while True:
            event = (await self._sockets["iopub"].recv_multipart())[0]
            if event[:1] == b"\1":
                message = session.msg("iopub_welcome", {"subscription": event[1:].decode(errors="replace")})
                frames = session.serialize(message, ident=event[1:] or None)
                await self._deliver(Message("iopub", b"", frames))

    def _key(self) -> bytes:
        key: bytes | str = self._connection["key"]
        return key.encode() if isinstance(key, str) else key

    async def _beat(self) -> None:
        while not self._ended.done():
            await self._sockets["hb"].send_multipart(await self._sockets["hb"].recv_multipart())

    async def _deliver(self, message: Message) -> None:
        socket = self._sockets.get(message.channel)
        if socket is None:
            return
        frames = list(message.frames) if message.channel == "iopub" else [message.client, *message.frames]
        deadline = time.monotonic() + STUCK_SECONDS
        with contextlib.suppress(zmq.ZMQError):
            while not socket.closed:
                try:
                    await socket.send_multipart(frames, zmq.NOBLOCK)
                    return
                except zmq.Again:
                    # zmq cannot tell when a publisher may go on
                    if time.monotonic() > deadline:
                        self._be_patient(False)
                await asyncio.sleep(_AGAIN_SECONDS)

    def _be_patient(self, patient: bool) -> None:
        """Let a subscriber that is slow hold up the far end, where the kernel drops what is too much; or pass it by."""
        if (socket := self._sockets.get("iopub")) is not None:
            socket.setsockopt(zmq.XPUB_NODROP, int(patient))


def words(ended: Exit) -> str:
    r"""Return how a kernel ended, in a few words.

    Examples
    --------
    >>> words(Exit(1, "Traceback ...\nModuleNotFoundError: No module named 'ipykernel'"))
    "exit code 1: ModuleNotFoundError: No module named 'ipykernel'"
    """
    if ended.code is None:
        return shorten(" ".join(ended.log.split()), _MOST_WHY) or "nobody could tell why"
    last = shorten((ended.log.strip().splitlines() or [""])[-1], _MOST_LAST)
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-ended.code).name}"
    return f"exit code {ended.code}" + (f": {last}" if last else "")
