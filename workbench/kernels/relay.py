"""HTTP/1.1 and bytes between two connections: what the gate reads, passes on and answers."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable

import h11

from workbench.kernels.allowlist import parse_authority

CHUNK = 16 * 1024
_FAREWELL_SECONDS = 1.0
_TARGET = re.compile(r"http://([^/?#\\]*)([/?][^#]*)?", re.IGNORECASE)
_HOP_BY_HOP = {
    b"connection",
    b"expect",
    b"host",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"upgrade",
}


class Refusal(Exception):
    """A request is not carried out; the sentence goes to who asked."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Peer:
    """One end of a connection: the stream, and what h11 knows of the messages on it."""

    def __init__(
        self, role: type[h11.CLIENT | h11.SERVER], reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head_bytes: int
    ) -> None:
        self.state = h11.Connection(role, max_incomplete_event_size=head_bytes)
        self.reader, self.writer = reader, writer
        self._bodiless = False

    async def receive(self) -> h11.Event:
        """Return the next part of the message."""
        while (event := self.state.next_event()) is h11.NEED_DATA:
            if self.state.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            self.state.receive_data(await self.reader.read(CHUNK))
        assert not isinstance(event, type)  # nobody asks for a second message
        if isinstance(event, h11.Request):
            self._bodiless = event.method == b"HEAD"
        return event

    async def send(self, event: h11.Event) -> None:
        """Send a part of a message, as soon as the other side takes it."""
        self.writer.write(self.state.send(event) or b"")
        await self.writer.drain()

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with the reason, unless an answer has begun."""
        if self.state.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        sentence = refusal.sentence.encode("ascii", "replace")
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(sentence) + 1)), ("Connection", "close")]
        # most tools show the first line of an answer to CONNECT and nothing of its body
        await self.send(h11.Response(status_code=refusal.status, headers=headers, reason=sentence))
        if not self._bodiless:
            await self.send(h11.Data(data=sentence + b"\n"))
        await self.send(h11.EndOfMessage())

    async def part(self, seconds: float) -> None:
        """Let the other side read all that was sent: closing on what it sent and nobody read would take that away."""
        async with asyncio.timeout(seconds):
            await _flush(self.writer)
        async with asyncio.timeout(_FAREWELL_SECONDS):
            while await self.reader.read(CHUNK):
                pass


def target_of(request: h11.Request) -> tuple[str, int, str]:
    """Return the host and port that a request is for, and the path to ask there."""
    if request.http_version not in (b"1.0", b"1.1"):
        raise Refusal(505, "this proxy speaks HTTP/1.1")
    framing = {name: value for name, value in request.headers if name in (b"content-length", b"transfer-encoding")}
    connect = request.method == b"CONNECT"
    # servers disagree on where such a request ends, which lets a second one hide in its body
    if len(framing) > 1 or (connect and framing not in ({}, {b"content-length": b"0"})):
        raise Refusal(400, "a request says its length once, and CONNECT has no body")
    text, path = request.target.decode("ascii"), ""
    if not connect:
        match = _TARGET.fullmatch(text)
        if match is None:
            raise Refusal(400, "this is a proxy: ask for http://host/path, and use CONNECT for https")
        text, path = match[1], match[2] or "/"
        path = path if path.startswith("/") else f"/{path}"
    try:
        host, port = parse_authority(text)
    except ValueError as error:
        raise Refusal(400, f"this names no host: {error}") from None
    if connect and port is None:
        raise Refusal(400, "CONNECT names a host and a port")
    return host, port or 80, path


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers that are meant for more than the next one on the way."""
    headers = list(headers)
    named = {each.strip().lower() for name, value in headers if name == b"connection" for each in value.split(b",")}
    dropped = _HOP_BY_HOP | (named - {b"content-length", b"transfer-encoding"})
    return [(name, value) for name, value in headers if name not in dropped]


async def copy(source: Peer, sink: Peer, moved: Callable[[], None]) -> None:
    """Pass one message on, part by part."""
    while True:
        event = await source.receive()
        moved()
        if isinstance(event, h11.Response):
            headers = [*end_to_end(event.headers), (b"connection", b"close")]
            event = h11.Response(status_code=event.status_code, headers=headers, reason=event.reason)
        if isinstance(event, h11.EndOfMessage):
            return await sink.send(h11.EndOfMessage())
        if isinstance(event, h11.Response | h11.Data):
            await sink.send(event)


async def upload(client: Peer, server: Peer, moved: Callable[[], None]) -> None:
    """Pass a request on, or as much of it as the server wants."""
    # one that answers before it has read everything may hang up on the rest
    with contextlib.suppress(ConnectionError):
        await copy(client, server, moved)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, moved: Callable[[], None]) -> None:
    """Pass bytes on as fast as they are taken, and then their end."""
    while data := await reader.read(CHUNK):
        moved()
        writer.write(data)
        await writer.drain()
    await _flush(writer)


async def _flush(writer: asyncio.StreamWriter) -> None:
    """Send what is still waiting to be sent, and the end."""
    writer.transport.set_write_buffer_limits(0)
    writer.write_eof()
    await writer.drain()
