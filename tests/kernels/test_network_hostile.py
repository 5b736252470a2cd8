"""What hostile clients do not get out of the gate."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from tests.kernels.gates import echo, gate, names, status, upstream
from tests.kernels.tools import eventually
from workbench.kernels import network


@pytest.fixture
def no_upstream(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where the gate would have connected to; it never does."""
    tried: list[str] = []

    async def connect(addresses: list[object], port: int, seconds: float) -> None:
        tried.extend(f"{address} {port}" for address in addresses)
        raise OSError("the test lets nothing out")

    monkeypatch.setattr(network, "_connect", connect)
    return tried


async def test_a_name_is_connected_by_the_address_that_was_approved(no_upstream: list[str]) -> None:
    asked: list[str] = []

    async def rebinding(host: str) -> list[str]:
        asked.append(host)
        return ["93.184.215.14"] if len(asked) == 1 else ["127.0.0.1"]

    async with gate(["rebind.example.org"], resolve=rebinding) as opened:
        assert status(await opened.connect("rebind.example.org:443")) == 502
        assert no_upstream == ["93.184.215.14 443"]
        assert asked == ["rebind.example.org"]
        assert status(await opened.connect("rebind.example.org:443")) == 403
        assert len(no_upstream) == 1


async def test_nothing_is_looked_up_that_is_not_on_the_list(no_upstream: list[str]) -> None:
    asked: list[str] = []

    async def resolve(host: str) -> list[str]:
        asked.append(host)
        return ["93.184.215.14"]

    async with gate(["*.example.org"], resolve=resolve) as opened:
        for where in ("secret.attacker.com:443", "example.org:443", "a.example.org:22", "a.example.org.attacker.com:443"):
            assert status(await opened.connect(where)) == 403
        assert asked == no_upstream == []
        await opened.connect("A.Example.ORG.:443")
        assert asked == ["a.example.org"]
        assert no_upstream == ["93.184.215.14 443"]


@pytest.mark.parametrize(
    "found",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "fe80::1%lo",
        "fd00::1",
        "224.0.0.1",
        ["93.184.215.14", "10.0.0.1"],
    ],
)
async def test_a_name_on_the_list_that_leads_to_a_private_address(found: str | list[str], no_upstream: list[str]) -> None:
    async with gate(["*.example.org"], resolve=names(inside_example_org=found)) as opened:
        for answer in (await opened.connect("inside.example.org:443"), await opened.get("http://inside.example.org/")):
            assert status(answer) == 403
            assert b"inside.example.org leads to " in answer
        assert no_upstream == []
        assert opened.gate.refused.total() == 2


async def test_a_refusal_says_how_to_allow_what_can_be_allowed() -> None:
    async with gate(["*.example.org"], resolve=names(a_example_org="10.0.0.1", b_example_org="169.254.169.254")) as opened:
        assert b"can add '10.0.0.1:443' to its network" in await opened.connect("a.example.org:443")
        assert b"it can never be allowed" in await opened.connect("b.example.org:443")
        assert b"can add '[::1]:443' to its network" in await opened.connect("[::1]:443")
        assert b"can add 'localhost:80' to its network" in await opened.connect("localhost:80")
        assert b"can add '8.8.8.8' to its network" in await opened.connect("8.8.8.8:443")
        assert b"it can never be allowed" in await opened.connect("169.254.169.254:80")


async def test_a_name_may_lead_to_a_private_address_that_is_on_the_list_too() -> None:
    async with upstream() as server:
        entries = [f"*.example.org:{server.port}", f"127.0.0.1:{server.port}"]
        resolve = names(mirror_example_org="127.0.0.1", other_example_org=["127.0.0.1", "127.0.0.2"])
        async with gate(entries, resolve=resolve) as opened:
            assert (await opened.get(f"http://mirror.example.org:{server.port}/")).endswith(b"hello")
            assert f"\r\nHost: mirror.example.org:{server.port}\r\n".encode() in server.received[0]
            assert b"other.example.org leads to 127.0.0.2," in await opened.get(f"http://other.example.org:{server.port}/")


async def test_an_own_address_of_the_internet_is_still_this_machine(no_upstream: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_own_addresses", lambda: {"93.184.215.14"})
    async with gate(["www.example.org"], resolve=names(www_example_org="93.184.215.14")) as opened:
        answer = await opened.connect("www.example.org:443")
        assert status(answer) == 403 and b"can add '93.184.215.14:443'" in answer
        assert no_upstream == []


async def test_localhost_is_not_what_a_resolver_says_it_is(no_upstream: list[str]) -> None:
    async with gate(["localhost:80"], resolve=names(localhost="10.0.0.1")) as opened:
        assert status(await opened.connect("localhost:80")) == 403
        assert no_upstream == []


@pytest.mark.parametrize(
    "where",
    [
        "127.0.0.1:{port}",
        "[::1]:{port}",
        "[::ffff:127.0.0.1]:{port}",
        "localhost:22",
        "2130706433:{port}",
        "0x7f000001:{port}",
        "0x7f.1:{port}",
        "0177.0.0.1:{port}",
        "127.1:{port}",
        "127.0.0.1.:{port}",
        "0:{port}",
        "0.0.0.0:{port}",
        "[::]:{port}",
        "[::1%lo]:{port}",
        "[fe80::1%25lo]:{port}",
        "localhost:{port}@example.com:443",
        "user@localhost:{port}",
        "user:word@localhost:{port}",
        "example.com#@localhost:{port}",
        "localhost:{port}#",
        "localhost:{port}/",
        "http://localhost:{port}/",
        "//localhost:{port}",
        "localhost",
        "localhost:",
        "localhost:{port}:443",
        "localhost:+{port}",
        "localhost:0{port}0",
        "localhost:999999",
        "localhost:0",
        "localhost%00.example.com:{port}",
        "local%68ost:{port}",
        "localhost\\.example.com:{port}",
        "localhost,example.com:{port}",
        "xn--localhost-:{port}",
        "*:{port}",
        ":{port}",
        "*",
        "/",
    ],
)
async def test_other_words_for_localhost(where: str) -> None:
    async with upstream(echo) as server, gate([server.entry, "example.com"], resolve=names(localhost="127.0.0.1")) as opened:
        target = where.format(port=server.port)
        assert status(await opened.connect(target)) in (400, 403)
        if not target.endswith("/"):
            assert status(await opened.get(f"http://{target}/")) in (400, 403)
        assert not opened.gate.allowed


@pytest.mark.parametrize("where", ["LOCALHOST:{port}", "LocalHost.:{port}"])
async def test_the_same_host_in_other_letters(where: str) -> None:
    async with upstream(echo) as server, gate([server.entry]) as opened:
        answer = await opened.say(f"CONNECT {where.format(port=server.port)} HTTP/1.1\r\nHost: x\r\n\r\nhi", ending=True)
        assert status(answer) == 200 and answer.endswith(b"hi")
        assert dict(opened.gate.allowed) == {server.entry: 1}


async def test_a_name_of_other_alphabets_is_compared_as_it_is_looked_up(no_upstream: list[str]) -> None:
    async with gate(["bücher.example"], resolve=names(**{"xn--bcher-kva_example": "93.184.215.14"})) as opened:
        assert status(await opened.connect("XN--BCHER-KVA.example:443")) == 502
        assert no_upstream == ["93.184.215.14 443"]
        assert status(await opened.say("CONNECT bücher.example:443 HTTP/1.1\r\nHost: x\r\n\r\n".encode())) == 400
        assert len(no_upstream) == 1


@pytest.mark.parametrize(
    "request_",
    [
        "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET https://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET ftp://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET file:///etc/passwd HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET http://{host}/#x HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET http://{host}/\r\n\r\n",
        "GET http://{host}/ HTTP/2.0\r\nHost: {host}\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET  http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET http://{host}/ x HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nHost: other\r\n\r\n",
        "GET http://{host}/ HTTP/1.1\r\n\r\n",
        "GET http://{host}/ HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
        "GET http://{host}/ HTTP/1.1\r\nHost: x\r\nNul: a\x00b\r\n\r\n",
        "GET http://{host}/ HTTP/1.1\r\nHost: x\r\nCr: a\rb\r\n\r\n",
        "POST http://{host}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "POST http://{host}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "POST http://{host}/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST http://{host}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0x4\r\n\r\nabcd",
        "POST http://{host}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nabcd",
        "POST http://{host}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "POST http://{host}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "CONNECT {host} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd",
        "CONNECT {host} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "\x00" * 100,
        "GET",
    ],
)
async def test_what_is_no_plain_request_reaches_nobody(request_: str) -> None:
    async with upstream() as server, gate([server.entry]) as opened:
        answer = await opened.say(request_.format(host=f"localhost:{server.port}"), ending=True)
        assert status(answer) in (400, 501, 505)
        assert server.received == []


async def test_a_bad_chunk_reaches_nobody() -> None:
    bodies: list[bytes] = []

    async def read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        bodies.append(await reader.read())

    async with upstream(read_all) as server, gate([server.entry]) as opened:
        head = f"POST http://localhost:{server.port}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert status(await opened.say(f"{head}5 \r\nhello\r\nxyz\r\nGET /hidden HTTP/1.1\r\n\r\n")) == 400
        assert await eventually(lambda: bodies)
        assert b"hidden" not in bodies[0]


async def test_a_second_request_on_a_connection_goes_nowhere() -> None:
    async with upstream() as server, gate([server.entry]) as opened:
        one = f"GET http://localhost:{server.port}/one HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = await opened.say(one + one.replace("/one", "/two"))
        assert answer.count(b"HTTP/1.1 200") == 1 and b"connection: close" in answer
        assert len(server.received) == 1 and b"/one" in server.received[0]


async def test_the_host_header_of_a_request_does_not_choose_another_site() -> None:
    async with upstream() as server, gate([server.entry]) as opened:
        await opened.get(f"http://localhost:{server.port}/")
        assert b"whatever" not in server.received[0]


async def test_a_head_without_end_is_refused() -> None:
    async with upstream() as server, gate([server.entry], head_bytes=4096) as opened:
        answer = await opened.say(f"GET http://localhost:{server.port}/ HTTP/1.1\r\nHost: x\r\n" + "X: y\r\n" * 100_000)
        assert status(answer) == 431
        assert server.received == []
        answer = await opened.say("GET http://localhost/" + "a" * 100_000)
        assert status(answer) == 431


async def test_a_head_that_drips_is_cut_off() -> None:
    async with gate(["pypi.org"], head_seconds=0.05) as opened:
        reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
        answer = asyncio.create_task(reader.read())
        while not answer.done():
            writer.write(b"X")
            await asyncio.sleep(0)
        assert status(await answer) == 408
        writer.close()


async def test_a_lookup_that_hangs_is_given_up() -> None:
    async def hang(host: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with gate(["pypi.org"], resolve=hang, connect_seconds=0.05) as opened:
        answer = await opened.connect("pypi.org:443")
        assert status(answer) == 502 and b"pypi.org:443 is allowed but cannot be reached: it took too long" in answer


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_a_connection_on_which_nothing_moves_is_cut_off() -> None:
    async with upstream(silence) as server, gate([server.entry], idle_seconds=0.05) as opened:
        assert status(await opened.connect(f"localhost:{server.port}")) == 200
        assert status(await opened.get(f"http://localhost:{server.port}/")) == 408
        assert await eventually(lambda: not opened.gate._open)


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(bytes(65536))
        await writer.drain()


async def test_a_client_that_never_reads_is_cut_off() -> None:
    async with upstream(flood) as server, gate([server.entry], idle_seconds=0.05) as opened:
        _, writer = await asyncio.open_connection("127.0.0.1", opened.port, limit=2**10)
        writer.write(f"CONNECT localhost:{server.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert await eventually(lambda: opened.gate.allowed)
        assert await eventually(lambda: not opened.gate._open)
        writer.close()


async def test_connections_are_counted() -> None:
    async with upstream(silence) as server, gate([server.entry], connections=3) as opened:
        held = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
            writer.write(f"CONNECT localhost:{server.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert status(await reader.readuntil(b"\r\n\r\n")) == 200
            held.append(writer)
        assert status(await opened.say("")) == 503
        held[0].close()
        assert await eventually(lambda: len(opened.gate._open) < 3)
        assert status(await opened.connect("example.com:443")) == 403
        for writer in held:
            writer.close()


async def test_no_connection_leaves_a_descriptor_behind() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async with upstream() as server, gate([server.entry]) as opened:
        url = f"http://localhost:{server.port}/"
        assert status(await opened.get(url)) == 200
        before = descriptors()
        for _ in range(4):
            answers = await asyncio.gather(*(opened.get(url if number % 2 else "http://example.com/") for number in range(50)))
            assert [status(answer) for answer in answers] == [403, 200] * 25
        assert await eventually(lambda: descriptors() <= before)


async def test_closing_hangs_up_everything() -> None:
    async with upstream(silence) as server:
        async with gate([server.entry]) as opened:
            reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
            writer.write(f"CONNECT localhost:{server.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert status(await reader.readuntil(b"\r\n\r\n")) == 200
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", opened.port)
        assert not opened.gate._open
        writer.close()


async def test_what_was_refused_is_remembered_up_to_a_bound() -> None:
    async with gate(["pypi.org"]) as opened:
        for number in range(300):
            await opened.connect(f"host-{number}.example.com:443")
        await opened.connect("host-0.example.com:443")
        assert len(opened.gate.refused) == 257
        assert opened.gate.refused["others"] == 44
        assert opened.gate.refused["host-0.example.com:443"] == 2
