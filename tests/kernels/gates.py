"""A gate, servers behind it and words to it, for the tests; all of it on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from workbench.kernels.allowlist import Allowlist
from workbench.kernels.network import Gate, Resolve

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@dataclass
class Upstream:
    """A server whose every connection is handled by one function."""

    port: int
    received: list[bytes] = field(default_factory=list)
    """The head of each request, as it came over the wire."""

    @property
    def entry(self) -> str:
        return f"localhost:{self.port}"


@contextlib.asynccontextmanager
async def upstream(handle: Handler | bytes = HELLO, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """Serve ``handle``, or read a head and answer with these bytes and the end."""

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if isinstance(handle, bytes):
                made.received.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(handle)
                await writer.drain()
            else:
                await handle(reader, writer)
        writer.close()

    server = await asyncio.start_server(met, "127.0.0.1", 0, ssl=tls)
    made = Upstream(server.sockets[0].getsockname()[1])
    async with server:
        yield made


def names(**addresses: str | list[str]) -> Resolve:
    """A resolver that knows these names, with _ for a dot, and none else."""
    known = {name.replace("_", "."): [found] if isinstance(found, str) else found for name, found in addresses.items()}

    async def resolve(host: str) -> list[str]:
        if host not in known:
            raise OSError("Name or service not known")
        return known[host]

    return resolve


@dataclass
class Opened:
    gate: Gate
    port: int

    @property
    def proxy(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def say(self, request: bytes | str, *, ending: bool = False) -> bytes:
        """Send some bytes and return everything that comes back until the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.suppress(ConnectionError):
            writer.write(request if isinstance(request, bytes) else request.encode("latin-1"))
            await writer.drain()
            if ending:
                writer.write_eof()
        answer = bytearray()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                answer += data
        writer.close()
        return bytes(answer)

    async def connect(self, where: str) -> bytes:
        return await self.say(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n")

    async def get(self, url: str, *headers: str) -> bytes:
        return await self.say("\r\n".join([f"GET {url} HTTP/1.1", "Host: whatever", *headers, "", ""]))


@contextlib.asynccontextmanager
async def gate(entries: Iterable[str], *, send_buffer: int | None = None, **options: object) -> AsyncIterator[Opened]:
    listening = socket.create_server(("127.0.0.1", 0))
    if send_buffer is not None:
        # accepted sockets inherit it
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    port = listening.getsockname()[1]
    made = Gate(Allowlist(entries), **options)  # type: ignore[arg-type]
    await made.serve(listening)
    try:
        yield Opened(made, port)
    finally:
        await made.close()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
