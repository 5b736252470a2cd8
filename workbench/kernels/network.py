"""The one way out of a sandbox that may reach some hosts: a proxy on this side of its walls.

The sandbox has a network of its own that leads nowhere. Trusted start-up code opens a listening socket in there and
hands it over, so that connections made inside are accepted here. A :class:`Gate` answers them: it looks every host up
itself, and connects to nothing but an address it has approved.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import h11
import psutil

from workbench.kernels.allowlist import USUAL_PORTS, Address, Allowlist, authority, is_public, leads_astray, literal, never
from workbench.kernels.relay import CHUNK, Peer, Refusal, copy, end_to_end, pump, target_of, upload

Resolve = Callable[[str], Awaitable[list[str]]]
"""Looks up the addresses of a name; raises OSError where it has none."""

_REMEMBERED = 256
_TRIED = 4


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
        self._closed = False
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, listening: socket.socket) -> None:
        """Answer what connects to ``listening``, from now until :meth:`close`; the socket is the gate's from here on."""
        self._server = await asyncio.start_server(self._meet, sock=listening, limit=CHUNK, backlog=self._connections)

    async def close(self) -> None:
        """Hang up every connection and stop listening."""
        self._closed = True
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:
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
        client = Peer(h11.SERVER, reader, writer, self._head_bytes)
        try:
            # cancelled is what close() does; to asyncio's own streams that would be an error worth a traceback
            with contextlib.suppress(OSError, h11.LocalProtocolError, asyncio.CancelledError):
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

    async def _answer(self, client: Peer) -> None:
        async with asyncio.timeout(self._head_seconds):
            request = await client.receive()
        if not isinstance(request, h11.Request):
            return
        host, port, path = target_of(request)
        async with self._reach(host, port) as (reader, writer):
            if request.method == b"CONNECT":
                await self._tunnel(client, reader, writer)
            else:
                await self._forward(client, Peer(h11.CLIENT, reader, writer, self._head_bytes), request, authority(host, port), path)

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
            astray = leads_astray(host, address) or str(address) in own
            if astray and not self._allowlist.covers(str(address), port):
                remedy = _remedy(str(address), port)
                raise Refusal(403, f"{host} leads to {address}, which is no host of the internet; {remedy}")
        if not addresses:
            raise OSError("it has no address")
        return addresses

    async def _look_up(self, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._lookups, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        return [str(address[0]) for *_, address in found]

    async def _tunnel(self, client: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await client.receive()  # the request's end, which is all there is to it
        await client.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
        early, _ = client.state.trailing_data
        writer.write(early)
        async with self._while_moving() as moved, asyncio.TaskGroup() as group:
            group.create_task(pump(client.reader, writer, moved))
            group.create_task(pump(reader, client.writer, moved))

    async def _forward(self, client: Peer, server: Peer, request: h11.Request, where: str, path: str) -> None:
        # the host is the one that was approved, whatever the request's own header says
        headers = [(b"Host", where.removesuffix(":80").encode()), *end_to_end(request.headers), (b"Connection", b"close")]
        async with self._while_moving() as moved, asyncio.TaskGroup() as group:
            await server.send(h11.Request(method=request.method, target=path, headers=headers))
            uploading = group.create_task(upload(client, server, moved))
            try:
                await copy(server, client, moved)
            except (h11.RemoteProtocolError, ConnectionError) as error:
                raise Refusal(502, f"{where} did not answer in HTTP/1.1: {error}") from None
            uploading.cancel()

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


async def _connect(addresses: list[Address], port: int, seconds: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the first of some addresses that answers within ``seconds``."""
    failure = OSError("it has no address")
    for address in addresses[:_TRIED]:
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.open_connection(str(address), port, limit=CHUNK)
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
