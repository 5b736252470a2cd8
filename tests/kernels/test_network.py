"""What the gate carries for honest clients. All servers are on loopback."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import sys
import urllib.error
import urllib.request

import pytest
import trustme

from tests.kernels.gates import HELLO, echo, gate, names, status, upstream
from workbench.kernels import relay
from workbench.kernels.allowlist import Allowlist
from workbench.kernels.network import Gate, proxy_environ


def fetch(proxy: str, url: str, data: bytes | None = None, context: ssl.SSLContext | None = None) -> bytes:
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({"http": proxy, "https": proxy})]
    if context is not None:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    with urllib.request.build_opener(*handlers).open(url, data=data) as answer:
        body: bytes = answer.read()
    return body


@pytest.fixture
def certificates() -> trustme.CA:
    return trustme.CA()


async def test_http_through_a_stock_client() -> None:
    async with upstream() as server, gate([server.entry]) as opened:
        url = f"http://localhost:{server.port}/a/b?c=%20d"
        assert await asyncio.to_thread(fetch, opened.proxy, url) == b"hello"
        head = server.received[0].decode()
        assert head.startswith("GET /a/b?c=%20d HTTP/1.1\r\n")
        assert f"\r\nHost: localhost:{server.port}\r\n" in head
        assert dict(opened.gate.allowed) == {server.entry: 1}
        assert not opened.gate.refused


async def test_https_through_a_stock_client(certificates: trustme.CA) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.issue_cert("localhost").configure_cert(server_side)
    client_side = ssl.create_default_context()
    certificates.configure_trust(client_side)
    async with upstream(tls=server_side) as server, gate([server.entry]) as opened:
        assert await asyncio.to_thread(fetch, opened.proxy, f"https://localhost:{server.port}/", None, client_side) == b"hello"
        assert server.received[0].startswith(b"GET / HTTP/1.1\r\n")
        assert dict(opened.gate.allowed) == {server.entry: 1}


INSIDE = """
import os, socket, sys, urllib.request
words, port = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
listening = socket.create_server(("127.0.0.1", 0))
socket.send_fds(words, [b"here"], [listening.fileno()])
os.environ["http_proxy"] = f"http://127.0.0.1:{listening.getsockname()[1]}"
listening.close()
words.recv(1)
try:
    socket.create_connection(("127.0.0.1", port), timeout=5)
except OSError as error:
    print("alone:", error)
print(urllib.request.urlopen(f"http://localhost:{port}/").read())
"""


@pytest.mark.walls
async def test_from_a_network_that_leads_nowhere() -> None:
    if (bubblewrap := shutil.which("bwrap")) is None:
        pytest.skip("NO BUBBLEWRAP: the gate is not tried from a network of its own here")
    ours, theirs = socket.socketpair()
    async with upstream() as server:
        walled = [bubblewrap, "--unshare-net", "--dev-bind", "/", "/", sys.executable, "-c", INSIDE, str(theirs.fileno()), str(server.port)]
        process = await asyncio.create_subprocess_exec(*walled, pass_fds=[theirs.fileno()], stdout=asyncio.subprocess.PIPE)
        theirs.close()
        _, descriptors, *_ = await asyncio.to_thread(socket.recv_fds, ours, 4, 1)
        made = Gate(Allowlist([server.entry]))
        await made.serve(socket.socket(fileno=descriptors[0]))
        ours.send(b".")
        told, _ = await process.communicate()
        assert b"alone: [Errno 111] Connection refused" in told
        assert b"hello" in told
        await made.close()
    ours.close()


async def test_a_stock_client_shows_why_it_was_refused() -> None:
    async with gate(["pypi.org"]) as opened:
        with pytest.raises(urllib.error.URLError, match=r"example\.com:443 is not on this sandbox's list of hosts.*can add 'example\.com'"):
            await asyncio.to_thread(fetch, opened.proxy, "https://example.com/")
        with pytest.raises(urllib.error.HTTPError, match=r"example\.com:8080 is not on .*can add 'example\.com:8080'") as raised:
            await asyncio.to_thread(fetch, opened.proxy, "http://example.com:8080/", b"a body nobody reads" * 100_000)
        assert b"example.com:8080 is not on this sandbox's list" in raised.value.read()
        assert dict(opened.gate.refused) == {"example.com:443": 1, "example.com:8080": 1}
        assert not opened.gate.allowed


async def test_a_tunnel_carries_both_ways_and_ends_as_it_was_ended() -> None:
    async with upstream(echo) as server, gate([server.entry]) as opened:
        sent = bytes(range(256)) * 4096
        head = f"CONNECT localhost:{server.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        answer = await opened.say(head + sent, ending=True)
        first, _, rest = answer.partition(b"\r\n\r\n")
        assert status(first) == 200
        assert rest == sent


async def test_a_tunnel_asked_for_in_http_1_0_without_a_host_header() -> None:
    async with upstream(echo) as server, gate([server.entry]) as opened:
        answer = await opened.say(f"CONNECT localhost:{server.port} HTTP/1.0\r\n\r\nhello", ending=True)
        assert status(answer) == 200
        assert answer.endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize("head", ["PUT http://{host}/ HTTP/1.1\r\nContent-Length: {size}", "CONNECT {host} HTTP/1.1"])
async def test_a_body_is_carried_whole_and_read_only_as_fast_as_it_is_taken(head: str) -> None:
    taken = 0
    size = 64 * 2**20
    begin = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        if head.startswith("PUT"):
            await reader.readuntil(b"\r\n\r\n")
        await begin.wait()
        while taken < size:
            taken += len(await reader.read(2**20))
        writer.write(HELLO)

    async with upstream(slow) as server, gate([server.entry]) as opened:
        reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
        writer.transport.set_write_buffer_limits(0)
        writer.write((head.format(host=f"localhost:{server.port}", size=size) + "\r\nHost: x\r\n\r\n").encode())
        if head.startswith("CONNECT"):
            assert status(await reader.readuntil(b"\r\n\r\n")) == 200
        sent = 0

        async def send() -> None:
            nonlocal sent
            while sent < size:
                writer.write(bytes(2**18))
                await writer.drain()
                sent += 2**18

        sending = asyncio.create_task(send())
        before = -1
        # until nothing moves any more; what is under way then is in the buffers of sockets
        while sent != before:
            before = sent
            for _ in range(1000):
                await asyncio.sleep(0)
        assert sent < size
        begin.set()
        await sending
        assert b"hello" in await reader.read(65536)
        assert taken == size
        writer.close()


@pytest.mark.parametrize("head", ["GET http://{host}/ HTTP/1.0", "CONNECT {host} HTTP/1.0"])
async def test_a_client_that_reads_slowly_gets_the_end_too(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_FAREWELL_SECONDS", 0.0)
    body = bytes(range(256)) * 2**12

    async def generous(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if head.startswith("GET"):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        writer.write(body)
        await writer.drain()

    async with upstream(generous) as server, gate([server.entry], send_buffer=4096) as opened:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, ("127.0.0.1", opened.port))
        await loop.sock_sendall(slow, (head.format(host=f"localhost:{server.port}") + "\r\n\r\n").encode())
        if head.startswith("CONNECT"):
            slow.shutdown(socket.SHUT_WR)
        got = bytearray()
        while data := await loop.sock_recv(slow, 1024):
            got += data
            await asyncio.sleep(0)
        slow.close()
        assert got.endswith(body)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" + HELLO, b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (HELLO + b"HTTP/1.1 200 OK\r\n\r\nanother", b"hello"),
    ],
)
async def test_answers_of_all_shapes(answer: bytes, body: bytes) -> None:
    async with upstream(answer) as server, gate([server.entry]) as opened:
        assert await asyncio.to_thread(fetch, opened.proxy, f"http://localhost:{server.port}/") == body


async def test_a_head_is_answered_without_a_body() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    async with upstream(answer) as server, gate([server.entry]) as opened:
        got = await opened.say(f"HEAD http://localhost:{server.port}/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status(got) == 200 and b"content-length: 5" in got and got.endswith(b"\r\n\r\n")
        got = await opened.say("HEAD http://example.com/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status(got) == 403 and got.endswith(b"\r\n\r\n")


async def test_a_client_that_waits_to_be_told_to_continue_is_told() -> None:
    async def read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"expect" not in head.lower()
        assert await reader.readexactly(4) == b"body"
        writer.write(HELLO)

    async with upstream(read_all) as server, gate([server.entry]) as opened:
        reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
        head = f"POST http://localhost:{server.port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        writer.write(head.encode())
        assert status(await reader.readuntil(b"\r\n\r\n")) == 100
        writer.write(b"body")
        assert (await reader.read()).endswith(b"hello")
        writer.close()


async def test_an_early_answer_ends_an_upload() -> None:
    async with upstream(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n") as server, gate([server.entry]) as opened:
        head = f"PUT http://localhost:{server.port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
        assert status(await opened.say(head + "x" * 10)) == 413


async def test_what_is_meant_for_the_proxy_goes_no_further() -> None:
    async with upstream() as server, gate([server.entry]) as opened:
        await opened.get(
            f"http://localhost:{server.port}/",
            "Proxy-Authorization: Basic c2VjcmV0",
            "Proxy-Connection: keep-alive",
            "Connection: keep-alive, X-Private",
            "X-Private: 1",
            "Upgrade: h2c",
            "TE: trailers",
            "X-Public: 2",
        )
        head = server.received[0].lower()
        for name in (b"proxy-", b"x-private", b"upgrade", b"\r\nte:", b"keep-alive"):
            assert name not in head
        assert b"x-public: 2\r\n" in head and b"connection: close\r\n" in head


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, b"HTTP/1.1 101 Switching\r\n\r\n"]
)
async def test_a_server_that_speaks_no_http_is_named(answer: bytes) -> None:
    async with upstream(answer) as server, gate([server.entry]) as opened:
        got = await opened.get(f"http://localhost:{server.port}/")
        assert status(got) == 502
        assert f"localhost:{server.port} did not answer in HTTP/1.1".encode() in got


async def test_an_answer_that_is_cut_off_does_not_look_whole() -> None:
    async with upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello") as server, gate([server.entry]) as opened:
        got = await opened.get(f"http://localhost:{server.port}/")
        assert status(got) == 200 and b"content-length: 50" in got and got.endswith(b"\r\n\r\nhello")


async def test_a_server_that_is_down_and_a_name_that_is_unknown_are_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with gate([f"localhost:{port}", "gone.example.org"], resolve=names(localhost="127.0.0.1")) as opened:
        answer = await opened.connect(f"localhost:{port}")
        assert status(answer) == 502 and f"localhost:{port} is allowed but cannot be reached".encode() in answer
        answer = await opened.connect("gone.example.org:443")
        assert status(answer) == 502 and b"gone.example.org:443 is allowed but cannot be reached: Name or service not known" in answer


async def test_the_next_address_is_tried_when_the_first_does_not_answer() -> None:
    async with upstream() as server, gate([server.entry], resolve=names(localhost=["127.0.0.9", "127.0.0.1"])) as opened:
        assert (await opened.get(f"http://localhost:{server.port}/")).endswith(b"hello")


def test_programs_inside_find_the_proxy() -> None:
    environ = proxy_environ(3128)
    assert environ["http_proxy"] == environ["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    assert environ["no_proxy"] == environ["NO_PROXY"] == "localhost,127.0.0.1,::1"


def test_a_server_of_the_user_is_asked_through_the_proxy() -> None:
    assert proxy_environ(3128, Allowlist(["localhost:8080"]))["no_proxy"] == "127.0.0.1,::1"
    assert proxy_environ(3128, Allowlist(["pypi.org"]))["no_proxy"] == "localhost,127.0.0.1,::1"
