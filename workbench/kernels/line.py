"""One socket of a kernel that may be hostile: the ZeroMQ wire protocol with every size bounded.

libzmq bounds a frame and counts messages, but a message of many frames is taken in whole, whatever it comes to; and one
that is refused costs the connection for good. Here a message is read frame by frame, one beyond the bound is skipped and
counted, and what nobody asks for is not read, so that the kernel is held up and not this process.

The protocol is ZMTP 3.0 (rfc.zeromq.org/spec/23) with the NULL mechanism, over a unix socket, for the two socket types
that a Jupyter client needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

MOST_BYTES = 32 * 2**20
"""Of one message, all its frames together."""
_MOST_FRAMES = 256
_MORE, _LONG, _COMMAND = 1, 2, 4
_GREETING = b"\xff" + bytes(7) + b"\x01\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_MESSAGES_WAITING = 4
_RETRY_SECONDS = 0.002
_CHUNK = 2**16


class LineClosed(ConnectionError):
    """The kernel has hung up, or sends what is no ZMTP."""


def frame(body: bytes, flags: int = 0) -> bytes:
    r"""Return one frame as it goes over the wire.

    Examples
    --------
    >>> frame(b"ab")
    b'\x00\x02ab'
    """
    if len(body) < 256:
        return struct.pack("BB", flags, len(body)) + body
    return struct.pack(">BQ", flags | _LONG, len(body)) + body


def ready(kind: str, identity: bytes) -> bytes:
    """Return the command that ends the handshake, with this end's socket type and identity."""
    body = b"\x05READY"
    for name, value in ((b"Socket-Type", kind.encode()), (b"Identity", identity)):
        body += bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
    return frame(body, _COMMAND)


class Line:
    """A connection to one socket of a kernel.

    Parameters
    ----------
    path : Path
        The unix socket.
    kind : {"DEALER", "SUB"}
        What this end is; a SUB subscribes to everything.
    identity : bytes
        Of a DEALER, by which a kernel tells its clients apart.
    """

    def __init__(self, path: Path, kind: Literal["DEALER", "SUB"], identity: bytes = b"") -> None:
        self.path, self.kind, self.identity = path, kind, identity
        self.skipped = 0
        """Bytes of messages that were too large to be taken in."""
        self._messages: asyncio.Queue[list[bytes] | None] = asyncio.Queue(_MESSAGES_WAITING)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect as soon as the socket exists; wait forever if necessary.

        Raises
        ------
        LineClosed
            If what answers there speaks no ZMTP.
        """
        while True:
            try:
                self._reader, self._writer = await asyncio.open_unix_connection(str(self.path), limit=_CHUNK)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(_RETRY_SECONDS)
        self._writer.write(_GREETING + ready(self.kind, self.identity))
        greeting = await self._exactly(64)
        if greeting[0] != 0xFF or greeting[9] & 1 == 0 or greeting[10] < 3:
            raise LineClosed("no ZMTP 3")
        flags, size = await self._header()
        if not flags & _COMMAND or not (await self._exactly(min(size, _CHUNK))).startswith(b"\x05READY"):
            raise LineClosed("the handshake was refused")
        if self.kind == "SUB":
            self._writer.write(frame(b"\x01"))
        self._reading = asyncio.create_task(self._read())

    async def _exactly(self, size: int) -> bytes:
        assert self._reader is not None
        try:
            return await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise LineClosed("the kernel hung up") from error

    async def _header(self) -> tuple[int, int]:
        flags, size = await self._exactly(2)
        if flags & _LONG:
            size = int.from_bytes(bytes([size]) + await self._exactly(7))
        return flags, size

    async def _read(self) -> None:
        try:
            while True:
                message = await self._message()
                if message is not None:
                    await self._messages.put(message)
        except LineClosed:
            await self._messages.put(None)

    async def _message(self) -> list[bytes] | None:
        """Read one message whole; return None for a command, and for one that is too large."""
        frames: list[bytes] = []
        total, too_large = 0, False
        while True:
            flags, size = await self._header()
            if flags & _COMMAND:
                await self._skip(size)
                return None
            total += size
            too_large = too_large or total > MOST_BYTES or len(frames) >= _MOST_FRAMES
            if too_large:
                frames.clear()
                await self._skip(size)
            else:
                frames.append(await self._exactly(size))
            if not flags & _MORE:
                break
        if too_large:
            self.skipped += total
            return None
        return frames

    async def _skip(self, size: int) -> None:
        while size > 0:
            size -= len(await self._exactly(min(size, _CHUNK)))

    async def receive(self) -> list[bytes]:
        """Return the frames of the next message.

        Raises
        ------
        LineClosed
            If there will be none.
        """
        message = await self._messages.get()
        if message is None:
            # whoever asks again is told again
            self._messages.put_nowait(None)
            raise LineClosed("the kernel hung up")
        return message

    async def send(self, frames: Sequence[bytes | memoryview]) -> None:
        """Send a message.

        Raises
        ------
        LineClosed
            If the kernel has hung up.
        """
        assert self._writer is not None
        *first, last = frames
        try:
            self._writer.writelines([*(frame(bytes(each), _MORE) for each in first), frame(bytes(last))])
            await self._writer.drain()
        except OSError as error:
            raise LineClosed("the kernel hung up") from error

    async def close(self) -> None:
        """Hang up."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
