"""The one way out of a sandbox that may reach some hosts: a proxy on this side of its walls.

The sandbox has a network of its own that leads nowhere. Trusted start-up code opens a listening socket in there and
hands it over, so that connections made inside are accepted here. A :class:`Gate` answers them: it looks every host up
itself, and connects to nothing but an address it has approved.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import h11
import psutil

from workbench.kernels.allowlist import USUAL_PORTS, Address, Allowlist, authority, is_public, leads_astray, literal, never, parse_authority

Resolve = Callable[[str], Awaitable[list[str]]]
"""Looks up the addresses of a name; raises OSError where it has none."""

_CHUNK = 16 * 1024
_REMEMBERED = 256
_FAREWELL_SECONDS = 1.0
_TRIED = 4
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


class Gate:
    """Carries HTTP and HTTPS from one sandbox to the hosts of an allowlist, and refuses the rest with a reason.

    Parameters
    ----------
    allowlist : Allowlist
        What may be reached.
    resolve : callable, optional
        How names are looked up; the system's way by default.
    connections : int
        Connections open at once.
    head_bytes : int
        About the longest head of a request or an answer.
    head_seconds, connect_seconds, idle_seconds : float
        How long a request's head may take, how long finding and reaching a host may take, and how long a connection
        may stay open on which nothing moves.
    """

    def __init__(
        self,
        allowlist: Allowlist,
        *,
        resolve: Resolve | None = None,
        connections: int = 64,
        head_bytes: int = 64 * 1024,
        head_seconds: float = 20.0,
        connect_seconds: float = 20.0,
        idle_seconds: float = 300.0,
    ) -> None:
        self.allowed: Counter[str] = Counter()
        """How often each host and port was reached."""
        self.refused: Counter[str] = Counter()
        """How often each host and port was refused. Beyond 256 of them, the rest are counted as ``others``."""
        self._allowlist = allowlist
        # lookups that hang must not use up the threads that everything else here shares
        self._lookups = ThreadPoolExecutor(4, thread_name_prefix="gate-lookup")
        self._resolve = resolve or self._look_up
        self._connections = connections
        self._head_bytes = head_bytes
        self._head_seconds, self._connect_seconds, self._idle_seconds = head_seconds, connect_seconds, idle_seconds
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, listening: socket.socket) -> None:
        """Answer what connects to ``listening``, from now until :meth:`close`; the socket is the gate's from here on."""
        self._server = await asyncio.start_server(self._meet, sock=listening, limit=_CHUNK, backlog=16)

    async def close(self) -> None:
        """Hang up every connection and stop listening."""
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None or not self._server.is_serving():
            writer.transport.abort()
            return
        if len(self._open) >= self._connections:
            # without waiting for it to be read, since each one that waits holds a descriptor of this process
            writer.write(f"HTTP/1.1 503 more than {self._connections} connections at once\r\nConnection: close\r\n\r\n".encode())
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        client = _Peer(h11.SERVER, reader, writer, self._head_bytes)
        try:
            with contextlib.suppress(OSError, h11.LocalProtocolError):
                try:
                    await self._answer(client)
                except Refusal as refusal:
                    await client.refuse(refusal)
                except h11.RemoteProtocolError as error:
                    await client.refuse(Refusal(error.error_status_hint, f"this is no request in HTTP/1.1: {error}"))
                except TimeoutError:
                    await client.refuse(Refusal(408, "nothing moved for too long"))
                await client.part(self._idle_seconds)
        finally:
            writer.transport.abort()
            self._open.discard(task)

    async def _answer(self, client: _Peer) -> None:
        async with asyncio.timeout(self._head_seconds):
            request = await client.receive()
        if not isinstance(request, h11.Request):
            return
        host, port, path = _target(request)
        async with self._reach(host, port) as (reader, writer):
            if request.method == b"CONNECT":
                await self._tunnel(client, reader, writer)
            else:
                await self._forward(client, _Peer(h11.CLIENT, reader, writer, self._head_bytes), request, authority(host, port), path)

    @contextlib.asynccontextmanager
    async def _reach(self, host: str, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Connect to a host where the list and its addresses allow it."""
        where = authority(host, port)
        try:
            async with asyncio.timeout(self._connect_seconds):
                addresses = await self._vetted(host, port)
                reader, writer = await _connect(addresses, port, self._connect_seconds / min(len(addresses), _TRIED))
        except Refusal:
            _count(self.refused, where)
            raise
        except OSError as error:
            reason = "it took too long" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise Refusal(502, f"{where} is allowed but cannot be reached: {reason}") from None
        _count(self.allowed, where)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def _vetted(self, host: str, port: int) -> list[Address]:
        """Return the addresses of ``host``; nothing is looked up that is not on the list."""
        if not self._allowlist.covers(host, port):
            raise Refusal(403, f"{authority(host, port)} is not on this sandbox's list of hosts; {_remedy(host, port)}")
        if (address := literal(host)) is not None:
            return [address]
        addresses: list[Address] = [ipaddress.ip_address(text) for text in dict.fromkeys(await self._resolve(host))]
        # this machine may have an address of the internet, where servers listen that are meant for it alone
        own = _own_addresses() if host != "localhost" else set()
        for address in addresses:
            if leads_astray(host, address) or str(address) in own:
                remedy = _remedy(str(address), port)
                raise Refusal(403, f"{host} leads to {address}, which is no host of the internet; {remedy}")
        if not addresses:
            raise OSError("it has no address")
        return addresses

    async def _look_up(self, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._lookups, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        return [str(address[0]) for *_, address in found]

    async def _tunnel(self, client: _Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await client.receive()  # the request's end, which is all there is to it
        await client.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
        early, _ = client.state.trailing_data
        writer.write(early)
        async with self._while_moving() as moved, asyncio.TaskGroup() as group:
            group.create_task(_pump(client.reader, writer, moved))
            group.create_task(_pump(reader, client.writer, moved))

    async def _forward(self, client: _Peer, server: _Peer, request: h11.Request, where: str, path: str) -> None:
        # the host is the one that was approved, whatever the request's own header says
        headers = [(b"Host", where.removesuffix(":80").encode()), *_end_to_end(request.headers), (b"Connection", b"close")]
        async with self._while_moving() as moved, asyncio.TaskGroup() as group:
            await server.send(h11.Request(method=request.method, target=path, headers=headers))
            upload = group.create_task(_upload(client, server, moved))
            try:
                await _copy(server, client, moved)
            except (h11.RemoteProtocolError, ConnectionError) as error:
                raise Refusal(502, f"{where} did not answer in HTTP/1.1: {error}") from None
            upload.cancel()

    @contextlib.asynccontextmanager
    async def _while_moving(self) -> AsyncIterator[Callable[[], None]]:
        """End what takes place within when nothing moved for too long; of several failures, the first is the cause."""
        loop = asyncio.get_running_loop()

        def moved() -> None:
            if not patience.expired():
                patience.reschedule(loop.time() + self._idle_seconds)

        try:
            async with asyncio.timeout(self._idle_seconds) as patience:
                yield moved
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None


class _Peer:
    """One end of a connection: the stream, and what h11 knows of the messages on it."""

    def __init__(
        self, role: type[h11.CLIENT | h11.SERVER], reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head_bytes: int
    ) -> None:
        self.state = h11.Connection(role, max_incomplete_event_size=head_bytes)
        self.reader, self.writer = reader, writer
        self._bodiless = False

    async def receive(self) -> h11.Event:
        while (event := self.state.next_event()) is h11.NEED_DATA:
            if self.state.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            self.state.receive_data(await self.reader.read(_CHUNK))
        assert not isinstance(event, type)  # nobody asks for a second message
        if isinstance(event, h11.Request):
            self._bodiless = event.method == b"HEAD"
        return event

    async def send(self, event: h11.Event) -> None:
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
            while await self.reader.read(_CHUNK):
                pass


def _target(request: h11.Request) -> tuple[str, int, str]:
    """Return the host and port that a request is for, and the path to ask there."""
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


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers that are meant for more than the next one on the way."""
    headers = list(headers)
    named = {each.strip().lower() for name, value in headers if name == b"connection" for each in value.split(b",")}
    dropped = _HOP_BY_HOP | (named - {b"content-length", b"transfer-encoding"})
    return [(name, value) for name, value in headers if name not in dropped]


async def _copy(source: _Peer, sink: _Peer, moved: Callable[[], None]) -> None:
    """Pass one message on, part by part."""
    while True:
        event = await source.receive()
        moved()
        if isinstance(event, h11.Response):
            headers = [*_end_to_end(event.headers), (b"connection", b"close")]
            event = h11.Response(status_code=event.status_code, headers=headers, reason=event.reason)
        if isinstance(event, h11.EndOfMessage):
            return await sink.send(h11.EndOfMessage())
        if isinstance(event, h11.Response | h11.Data):
            await sink.send(event)


async def _upload(client: _Peer, server: _Peer, moved: Callable[[], None]) -> None:
    # a server that answers before it has read everything may hang up on the rest
    with contextlib.suppress(ConnectionError):
        await _copy(client, server, moved)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, moved: Callable[[], None]) -> None:
    """Pass bytes on as fast as they are taken, and then their end."""
    while data := await reader.read(_CHUNK):
        moved()
        writer.write(data)
        await writer.drain()
    await _flush(writer)


async def _flush(writer: asyncio.StreamWriter) -> None:
    """Send what is still waiting to be sent, and the end."""
    writer.transport.set_write_buffer_limits(0)
    writer.write_eof()
    await writer.drain()


async def _connect(addresses: list[Address], port: int, seconds: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the first of some addresses that answers within ``seconds``."""
    failure = OSError("it has no address")
    for address in addresses[:_TRIED]:
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.open_connection(str(address), port, limit=_CHUNK)
        except OSError as error:
            failure = error
    raise failure


def _remedy(host: str, port: int) -> str:
    """Say how a host can be allowed."""
    address = literal(host)
    if address is not None and never(address):
        return "it can never be allowed"
    private = host == "localhost" or (address is not None and (not is_public(address) or host in _own_addresses()))
    entry = host if port in USUAL_PORTS and not private else authority(host, port)
    return f"whoever runs it can add '{entry}' to its network"


def _own_addresses() -> set[str]:
    return {address.address for addresses in psutil.net_if_addrs().values() for address in addresses}


def _count(tally: Counter[str], where: str) -> None:
    tally[where if where in tally or len(tally) < _REMEMBERED else "others"] += 1


def proxy_environ(port: int, allowlist: Allowlist | None = None) -> dict[str, str]:
    """Return the variables by which programs in a sandbox find the proxy on its own ``port``.

    What they call localhost is the sandbox itself, and is asked without the proxy unless ``allowlist`` opens yours.

    Examples
    --------
    >>> proxy_environ(3128)["https_proxy"]
    'http://127.0.0.1:3128'
    """
    opened = {rule.host for rule in allowlist.rules} if allowlist is not None else set()
    own = ",".join(host for host in ("localhost", "127.0.0.1", "::1") if host not in opened)
    proxy = f"http://127.0.0.1:{port}"
    values = {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": own}
    return values | {name.upper(): value for name, value in values.items()}
