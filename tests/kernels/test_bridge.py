"""The stdio bridge: a real kernel that only a pipe can reach, driven by stock clients."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client import AsyncKernelClient

from workbench.errors import SandboxError
from workbench.kernels import bridge as near
from workbench.kernels import runtime
from workbench.kernels.bridge import Bridge, Exit, Lines, Message, decode, words
from workbench.kernels.environments import Environment
from workbench.kernels.view import INSIDE

from .tools import PATIENCE, eventually, memory_growth

# -- the lines ------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line)), st.lists(st.integers(1, 30)))
def test_lines_come_out_whole_however_the_stream_was_cut(lines: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cutter, found, start = Lines(40), [], 0
    for length in [*cuts, len(stream)]:
        found += cutter.feed(stream[start : start + length])
        start += length
    assert found == lines
    assert cutter.dropped == 0


@given(st.lists(st.integers(0, 30)), st.integers(1, 50))
def test_a_line_that_is_too_long_is_dropped_and_the_next_is_not(lengths: list[int], step: int) -> None:
    stream = b"".join(b"x" * length + b"\n" for length in lengths)
    cutter = Lines(10)
    found = [line for start in range(0, len(stream), step) for line in cutter.feed(stream[start : start + step])]
    assert [len(line) for line in found] == [length for length in lengths if length <= 10]
    assert cutter.dropped == sum(length > 10 for length in lengths)


def test_a_line_that_never_ends_takes_no_memory() -> None:
    cutter = Lines(1000)
    with memory_growth() as growth:
        for _ in range(200):
            assert list(cutter.feed(b"x" * 2**20)) == []
    assert growth.bytes < 20 * 2**20


messages = st.builds(
    Message,
    st.sampled_from(["shell", "control", "stdin", "iopub"]),
    st.binary(max_size=60),
    st.lists(st.binary(max_size=200), min_size=1, max_size=10),
)


@given(messages)
def test_a_message_survives_the_way_through_a_line(message: Message) -> None:
    line = message.encode()
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    assert decode(line[:-1]) == message


plain_values = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["shell", "iopub", "exit", "ready", "YQ=="])
)
hostile_lines = st.dictionaries(
    st.sampled_from(["event", "channel", "client", "frames", "report", "code", "log", "left", "bytes"]),
    plain_values | st.lists(plain_values, max_size=3),
)


@given(st.binary(max_size=200) | hostile_lines.map(lambda line: json.dumps(line).encode()))
def test_a_hostile_line_is_nothing_and_raises_nothing(line: bytes) -> None:
    found = decode(line)
    assert found is None or isinstance(found, Message | near.Ready | near.Dropped | Exit)


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"channel": "shell", "client": "", "frames": []}',
        b'{"channel": "hb", "client": "", "frames": ["YQ=="]}',
        b'{"channel": "iopub", "client": "", "frames": ["no base64!"]}',
        b'{"channel": "iopub", "client": "", "frames": [1]}',
        b'{"channel": "iopub", "client": "", "frames": ["\\ud800"]}',
        json.dumps({"channel": "iopub", "client": "", "frames": [""] * 100_000}).encode(),
        b'{"event": "exit", "code": "0", "log": "", "left": 0}',
        b"9" * 100_000,
    ],
)
def test_what_is_nearly_a_message_is_nothing(line: bytes) -> None:
    assert decode(line) is None


def test_the_last_words_of_a_kernel_are_bounded() -> None:
    ended = decode(json.dumps({"event": "exit", "code": 1, "log": "x" * 10**6, "left": 0}).encode())
    assert isinstance(ended, Exit)
    assert len(ended.log) < 20_000
    assert len(words(ended)) < 400
    assert words(Exit(-9)) == "killed by SIGKILL"


# -- a kernel behind it ---------------------------------------------------------------------------------------------


class Link:
    """A kernel in a process that is reached over pipes alone, and the near end for it."""

    def __init__(self, environment: Environment, folder: Path) -> None:
        self.environment = environment
        self.far, self.ipc = folder / "far", folder / "near"
        self.info: dict[str, Any] = {
            "transport": "ipc",
            "ip": str(self.ipc / "k"),
            **{f"{channel}_port": port for port, channel in enumerate(("shell", "iopub", "stdin", "hb", "control"), start=1)},
            "key": secrets.token_hex(16).encode(),
            "signature_scheme": "hmac-sha256",
        }
        self.bridge = Bridge(self.info, self.send, message_bytes=2**20)
        self.clients: list[AsyncKernelClient] = []
        self.heard = 0
        self.breaks: list[float] = []
        self.losing = False
        self.sent = 0

    async def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        if self.breaks:
            # what carries the bytes breaks before, within or after them, and cannot tell which
            self.process.stdin.write(data[: int(len(data) * self.breaks.pop())])
            raise ConnectionResetError
        self.process.stdin.write(data)
        await self.process.stdin.drain()
        self.sent += 1

    def argv(self, program: str = "kernel.py", *arguments: str) -> list[str]:
        config = {
            "uid": None,
            "counters": False,
            "adopts": False,
            "cwd": str(self.far),
            "limits": {"RLIMIT_CORE": 0},
            "readable": [],
            "writable": [],
            "program": str(INSIDE / program),
            "arguments": [str(self.far / "kernel.json"), *arguments],
        }
        return [str(self.environment.python), "-I", str(INSIDE / "launch.py"), json.dumps(config)]

    async def start(self, argv: list[str] | None = None) -> near.Ready:
        self.far.mkdir(exist_ok=True)
        self.ipc.mkdir(exist_ok=True)
        environ = {"HOME": str(self.far), "PATH": os.defpath, "IPYTHONDIR": str(self.far)}
        config = self.bridge.config(argv or self.argv(), environ, str(self.far), waiting_bytes=2**20)
        self.process = await asyncio.create_subprocess_exec(
            str(self.environment.python),
            "-I",
            str(INSIDE / "bridge.py"),
            config,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={},
        )
        self.pump = asyncio.create_task(self._pump())
        return await self.bridge.start(PATIENCE)

    async def _pump(self) -> None:
        assert self.process.stdout is not None
        while data := await self.process.stdout.read(2**16):
            self.heard += len(data)
            if not self.losing:
                await self.bridge.feed(data)
        self.bridge.lost("the pipe was closed")

    async def client(self) -> AsyncKernelClient:
        client = AsyncKernelClient()
        client.load_connection_info(self.info)
        client.start_channels(hb=False)
        self.clients.append(client)
        # the kernel may say something just when the subscription stands
        while (await client.get_iopub_msg(timeout=PATIENCE))["msg_type"] != "iopub_welcome":
            pass
        return client

    async def close(self) -> None:
        for client in self.clients:
            client.stop_channels()
        await self.bridge.close()
        if hasattr(self, "process"):
            if self.process.returncode is None:
                self.process.stdin.close()
            await self.process.wait()
            self.pump.cancel()


Opener = Callable[..., Awaitable[Link]]


@pytest.fixture
async def linked(minimal: Environment) -> AsyncIterator[Opener]:
    async with AsyncExitStack() as stack:

        async def start(argv: list[str] | None = None) -> Link:
            link = Link(minimal, runtime.folder(f"b-{secrets.token_hex(3)}"))
            stack.push_async_callback(link.close)
            await link.start(argv)
            return link

        yield start


async def run(client: AsyncKernelClient, code: str, **options: Any) -> tuple[dict[str, Any], str]:
    """Execute ``code``; return the reply's content and the text of all streams until the kernel is idle."""
    request = client.execute(code, stop_on_error=False, **options)
    text = ""
    while True:
        message = await client.get_iopub_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") != request:
            continue
        text += message["content"].get("text", "")
        if message["content"].get("execution_state") == "idle":
            break
    return (await reply(client, request))["content"], text


async def reply(client: AsyncKernelClient, request: str) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = await client.get_shell_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") == request:
            return message


async def test_a_kernel_runs_cells_and_not_one_output_is_lost(linked: Opener) -> None:
    link = await linked()
    client = await link.client()
    for number in range(50):
        content, text = await run(client, f"print({number})")
        assert (content["status"], text) == ("ok", f"{number}\n")


async def test_the_walls_that_stand_are_reported(minimal: Environment, linked: Opener) -> None:
    link = Link(minimal, runtime.folder(f"b-{secrets.token_hex(3)}"))
    try:
        ready = await link.start()
        assert "rlimits" in json.loads(ready.report)["walls"]
    finally:
        await link.close()


@pytest.mark.parametrize("breaks", [[0.0], [0.5], [1.0], [1.0, 0.3], [0.0, 1.0, 0.99]])
async def test_a_line_that_breaks_arrives_once_all_the_same(linked: Opener, breaks: list[float]) -> None:
    link = await linked()
    client = await link.client()
    await run(client, "count = 0")
    for number in range(1, 4):
        link.breaks, link.sent = list(breaks), 0
        assert (await run(client, "count += 1\nprint(count)"))[1] == f"{number}\n"
        # the answer may be here before the line has been sent for the last time
        assert await eventually(lambda: link.sent)
    assert link.bridge.exit is None


@pytest.mark.parametrize("piece", [b"", b'9 {"channel": "iopub", "client": "", "fra', b'oken line"]}\n'])
async def test_what_was_lost_on_the_way_out_comes_again_once(linked: Opener, piece: bytes) -> None:
    link = await linked()
    client = await link.client()
    await run(client, "x = 41")
    before = link.heard
    link.losing = True
    request = client.execute("for number in range(5): print(number, flush=True)", stop_on_error=False)
    assert await eventually(lambda: link.heard > before + 2000)
    link.losing = False
    # what the new connection begins with may be the middle of a line
    await link.bridge.again()
    await link.bridge.feed(piece)
    text = ""
    while (message := await client.get_iopub_msg(timeout=PATIENCE))["content"].get("execution_state") != "idle":
        if message["parent_header"].get("msg_id") == request:
            text += message["content"].get("text", "")
    assert text == "0\n1\n2\n3\n4\n"
    assert (await reply(client, request))["content"]["status"] == "ok"
    assert (await run(client, "print(x + 1)"))[1] == "42\n"


async def test_when_nothing_can_be_sent_the_kernel_counts_as_dead(linked: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    link = await linked()
    client = await link.client()
    monkeypatch.setattr(near, "_PAUSES", (0.0, 0.01))
    link.breaks = [0.0] * 100
    client.execute("1")
    assert "cannot be reached" in (await asyncio.wait_for(link.bridge.wait(), PATIENCE)).log


async def test_each_client_hears_its_own_replies_and_answers_its_own_questions(linked: Opener) -> None:
    link = await linked()
    one, two = await link.client(), await link.client()
    for client, name in ((one, "one"), (two, "two"), (one, "three")):
        request = client.execute("answer = input('name? ')\nprint(answer)", allow_stdin=True)
        question = await client.get_stdin_msg(timeout=PATIENCE)
        assert question["content"]["prompt"] == "name? "
        client.input(name)
        assert (await reply(client, request))["content"]["status"] == "ok"
        assert (await run(client, "print(answer)"))[1] == f"{name}\n"
    assert not await one.stdin_channel.msg_ready()
    assert not await two.shell_channel.msg_ready()


async def test_clients_run_side_by_side_and_each_welcome_is_new(linked: Opener) -> None:
    link = await linked()
    clients = [await link.client() for _ in range(4)]
    # replies find their way though every client asks at once
    requests = [client.execute(f"mine = {number}", user_expressions={"mine": "mine"}) for number, client in enumerate(clients)]
    for number, (client, request) in enumerate(zip(clients, requests, strict=True)):
        content = (await reply(client, request))["content"]
        assert content["user_expressions"]["mine"]["data"]["text/plain"] == str(number)


async def test_a_cell_is_interrupted_by_message(linked: Opener) -> None:
    client = await (await linked()).client()
    request = client.execute("print('started', flush=True)\nimport time\nwhile True: time.sleep(0.01)", stop_on_error=False)
    while (message := await client.get_iopub_msg(timeout=PATIENCE))["content"].get("text") != "started\n":
        assert message["msg_type"] != "error"
    client.control_channel.send(client.session.msg("interrupt_request", {}))
    assert (await reply(client, request))["content"]["ename"] == "KeyboardInterrupt"
    assert (await run(client, "print('next')"))[1] == "next\n"


async def test_a_flood_does_not_fill_memory_at_either_end_and_can_be_stopped(linked: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    # on a busy machine this reader would be taken for one that never reads
    monkeypatch.setattr(near, "STUCK_SECONDS", PATIENCE)
    link = await linked()
    client = await link.client()
    with memory_growth() as growth:
        request = client.execute("print('started', flush=True)\nwhile True: print('x' * 100_000, flush=True)", stop_on_error=False)
        # nobody reads what comes: the far end stops taking it from the kernel
        while (message := await client.get_iopub_msg(timeout=PATIENCE))["content"].get("text") != "started\n":
            assert message["msg_type"] != "error"
        await eventually(lambda: link.heard > 8 * 2**20)
        far = psutil.Process(link.process.pid).memory_info().rss
        client.control_channel.send(client.session.msg("interrupt_request", {}))
        while True:
            message = await client.get_iopub_msg(timeout=PATIENCE)
            if message["content"].get("execution_state") == "idle" and message["parent_header"].get("msg_id") == request:
                break
    assert growth.bytes < 150 * 2**20
    assert far < 200 * 2**20
    assert (await reply(client, request))["content"]["status"] == "error"
    assert (await run(client, "print('next')"))[1] == "next\n"


async def test_a_subscriber_that_never_reads_does_not_hold_up_the_others_for_ever(linked: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "STUCK_SECONDS", 0.2)
    link = await linked()
    await link.client()
    client = await link.client()
    heard: set[str] = set()

    async def listen() -> None:
        while True:
            message = await client.get_iopub_msg(timeout=PATIENCE)
            heard.add(message["content"].get("text", ""))

    listening = asyncio.create_task(listen())
    await reply(client, client.execute("for _ in range(3000): print('x' * 10_000, flush=True)"))
    # a reader who is behind may have missed what came while it was
    while "next\n" not in heard:
        await reply(client, client.execute("print('next')"))
    listening.cancel()


async def test_a_message_that_is_too_large_is_dropped_and_counted(linked: Opener) -> None:
    link = await linked()
    client = await link.client()
    _, text = await run(client, "print('x' * 2**21)")
    assert text == ""
    assert link.bridge.dropped == 1
    assert (await run(client, "print('next')"))[1] == "next\n"


async def test_a_large_message_that_is_allowed_comes_whole_both_ways(linked: Opener) -> None:
    client = await (await linked()).client()
    content, text = await run(client, f"print(len({'y' * 500_000!r}))\nprint('x' * 500_000)")
    assert content["status"] == "ok"
    assert text == "500000\n" + "x" * 500_000 + "\n"


async def test_the_heartbeat_beats_until_the_kernel_dies(linked: Opener) -> None:
    link = await linked()
    client = await link.client()
    client.hb_channel.time_to_dead = 0.2
    client.hb_channel.start()
    client.hb_channel.unpause()
    assert await eventually(client.hb_channel.is_beating)
    await link.bridge.kill()
    await link.bridge.wait()
    assert await eventually(lambda: not client.hb_channel.is_beating())
    client.hb_channel.stop()


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(10_000)
    os._exit(0)
os.wait()
"""


def below(link: Link) -> list[psutil.Process]:
    return psutil.Process(link.process.pid).children(recursive=True)


async def test_kill_leaves_nothing_not_even_what_moved_to_a_session_of_its_own(linked: Opener) -> None:
    link = await linked()
    await run(await link.client(), DAEMON + "import subprocess; subprocess.Popen(['sleep', '10000'])")
    started = below(link)
    assert len(started) == 3
    await link.bridge.kill()
    ended = await link.bridge.wait()
    assert (ended.code, ended.left) == (-9, 0)
    assert not any(process.is_running() for process in started)
    assert await asyncio.wait_for(link.process.wait(), PATIENCE) == 0


async def test_the_end_of_its_input_is_the_end_of_everything(linked: Opener) -> None:
    link = await linked()
    await run(await link.client(), DAEMON)
    started = below(link)
    assert link.process.stdin is not None
    link.process.stdin.close()
    await asyncio.wait_for(link.process.wait(), PATIENCE)
    assert not any(process.is_running() for process in started)
    assert (await link.bridge.wait()).log == "the pipe was closed"


async def test_the_end_of_its_reader_is_the_end_of_everything(linked: Opener) -> None:
    link = await linked()
    client = await link.client()
    await run(client, DAEMON)
    started = below(link)
    link.pump.cancel()
    link.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    client.execute("print('to nobody')")
    await asyncio.wait_for(link.process.wait(), PATIENCE)
    assert not any(process.is_running() for process in started)


async def test_a_kernel_that_dies_says_how_and_nothing_of_it_stays(linked: Opener) -> None:
    link = await linked()
    client = await link.client()
    await run(client, DAEMON)
    started = below(link)
    client.execute("import os; os._exit(7)")
    ended = await asyncio.wait_for(link.bridge.wait(), PATIENCE)
    assert (ended.code, words(ended)) == (7, "exit code 7")
    assert not any(process.is_running() for process in started)
    assert await asyncio.wait_for(link.process.wait(), PATIENCE) == 0


async def test_a_kernel_that_cannot_start_is_an_error_with_its_last_words(linked: Opener, minimal: Environment) -> None:
    with pytest.raises(SandboxError, match="exit code 1: ModuleNotFoundError"):
        await linked([str(minimal.python), "-c", "import no_such_module"])


async def test_a_kernel_that_never_listens_is_an_error(minimal: Environment) -> None:
    bridge = Bridge({"key": b"", "signature_scheme": "hmac-sha256"}, lambda _: asyncio.sleep(0))
    try:
        with pytest.raises(SandboxError, match="did not start within"):
            await bridge.start(0.01)
    finally:
        await bridge.close()


async def test_what_a_hostile_far_end_writes_does_no_harm(linked: Opener) -> None:
    link = await linked()
    client = await link.client()
    forged = base64.b64encode(b"forged").decode()
    heard = link.bridge._heard
    assert heard is not None
    for line in (
        b"\xff\xfe garbage",
        b"[" * 50_000,
        json.dumps({"channel": "iopub", "client": "", "frames": [forged] * 3}).encode(),
        json.dumps({"channel": "shell", "client": base64.b64encode(b"nobody").decode(), "frames": [forged]}).encode(),
        json.dumps({"channel": "shell", "client": base64.b64encode(b"n" * 4000).decode(), "frames": [forged]}).encode(),
        json.dumps({"channel": "shell", "client": "", "frames": [forged]}).encode(),
        json.dumps({"event": "ready", "report": "again"}).encode(),
        b"x" * 4 * 2**20,
    ):
        await link.bridge.feed(b"%d %s\n" % (link.bridge._heard + 1, line))
    link.bridge._heard = heard
    while True:
        try:
            content, text = await run(client, "print('still here')")
            break
        except ValueError:
            # the client's own word for a message that is not signed
            continue
    assert (content["status"], text) == ("ok", "still here\n")
    assert link.bridge.dropped == 4


async def test_its_sockets_are_gone_once_it_is_closed_and_can_be_bound_again(linked: Opener) -> None:
    link = await linked()
    assert len(list(link.ipc.iterdir())) == 5
    await link.close()
    await link.bridge.close()
    assert list(link.ipc.iterdir()) == []
    link.bridge = Bridge(link.info, link.send)
    await link.start()
    assert (await run(await link.client(), "print('again')"))[1] == "again\n"


async def test_it_closes_though_what_sends_makes_an_error_of_being_cancelled(linked: Opener) -> None:
    link = await linked()
    client = await link.client()
    sending = asyncio.Event()

    async def send(data: bytes) -> None:
        sending.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionResetError from None

    link.bridge._send = send
    client.execute("1")
    await asyncio.wait_for(sending.wait(), PATIENCE)
    await asyncio.wait_for(link.bridge.close(), PATIENCE)
    assert list(link.ipc.iterdir()) == []


def test_the_far_end_needs_nothing_but_zmq() -> None:
    source = (INSIDE / "bridge.py").read_text()
    imported = {line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imported - set(sys.stdlib_module_names) == {"zmq"}
