"""The line to a kernel that may be hostile: Jupyter messages, of which none is trusted to be what it should be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec

from workbench.errors import SandboxError
from workbench.kernels.collect import ASKS_FOR_CHANGES, Collector
from workbench.kernels.line import Line, LineClosed
from workbench.kernels.provisioners.base import SandboxProvisioner
from workbench.text import storable

READY_SECONDS = 60.0
FLOOD_BYTES = 64 * 2**20
_QUIET_SECONDS = 3.0
_REQUEST_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 3.0
_MOST_PAYLOADS = 20


OnQuestion = Callable[[str], Awaitable[str]]
"""Answers what a cell asks with ``input``; may be asked anything at all."""


class KernelDied(Exception):
    """The kernel's process is gone."""


class Disconnected(Exception):
    """The kernel is alive and has hung up."""


class _Manager(AsyncKernelManager):  # type: ignore[misc]
    """A kernel manager whose kernelspec is made for one kernel."""

    spec: KernelSpec

    @property
    def kernel_spec(self) -> KernelSpec:
        return self.spec


class Channel:
    """Launches a kernel by a provisioner and talks to it.

    Parameters
    ----------
    provisioner : str
        The name of its entry point.
    config : dict
        The provisioner's traits.
    """

    def __init__(self, provisioner: str, config: dict[str, Any]) -> None:
        self._manager = _Manager(shutdown_wait_time=0)
        self._manager.spec = KernelSpec(
            argv=[],
            display_name="workbench",
            language="python",
            interrupt_mode="message",
            metadata={"kernel_provisioner": {"provisioner_name": provisioner, "config": config}},
        )
        self._lines: dict[str, Line] = {}
        self._on_question: OnQuestion | None = None
        self._answering: asyncio.Task[None] | None = None
        self.awaited = "its process"
        """What a kernel that is being connected to has last been waited for."""

    @property
    def provisioner(self) -> SandboxProvisioner:
        """What the kernel runs in."""
        provisioner: SandboxProvisioner = self._manager.provisioner
        return provisioner

    async def open(self) -> None:
        """Launch the kernel and connect.

        Raises
        ------
        SandboxError
            If it cannot be launched.
        KernelDied, Disconnected, TimeoutError
            If it does not answer.
        """
        await self._manager.start_kernel()
        await self.connect()

    async def connect(self) -> None:
        """Connect, anew where there was a connection.

        Raises
        ------
        KernelDied, Disconnected, TimeoutError
            If the kernel does not answer.
        """
        await self._hang_up()
        identity = self._manager.session.bsession
        for name in ("iopub", "shell", "control", *(("stdin",) if self._on_question else ())):
            path = Path(f"{self._manager.ip}-{getattr(self._manager, f'{name}_port')}")
            self._lines[name] = Line(path, "SUB" if name == "iopub" else "DEALER", identity)
        async with asyncio.timeout(READY_SECONDS):
            await self._ready()
        if self._on_question is not None:
            self._answering = asyncio.create_task(self._answer_questions(self._on_question))

    async def _ready(self) -> None:
        self.awaited = "its sockets"
        opening = asyncio.gather(*(line.open() for line in self._lines.values()))
        try:
            while not opening.done():
                await asyncio.wait({opening}, timeout=_LOOK_SECONDS)
                if not opening.done() and not await self._manager.is_alive():
                    raise KernelDied
            await opening
        except LineClosed:
            raise KernelDied if not await self._manager.is_alive() else Disconnected from None
        finally:
            opening.cancel()
            with contextlib.suppress(asyncio.CancelledError, LineClosed):
                await opening
        # output is lost until the subscription stands, and only the welcome message says that it does
        self.awaited = "its welcome"
        while not await self._in_time(self._welcome()):
            # what a kernel sends just as it is subscribed to can cost it the event (ipykernel uses the socket beside
            # its ZMQStream, which waits for an edge); it hears of the next subscription
            with contextlib.suppress(LineClosed):
                for subscription in (b"\x00", b"\x01"):
                    await self._lines["iopub"].send([subscription])
        self.awaited = "its first reply"
        # asked again until there is an answer, as jupyter_client does, and any of them will do
        requests: list[str] = []
        while not requests or not await self._in_time(self._reply(*requests)):
            requests.append(await self._send("shell", "kernel_info_request", {}))

    async def _in_time(self, coming: Awaitable[object]) -> bool:
        """Say whether something came before it is time to ask again."""
        try:
            async with asyncio.timeout(_AGAIN_SECONDS):
                await coming
        except TimeoutError:
            return False
        return True

    async def _welcome(self) -> None:
        while (await self._message("iopub"))["msg_type"] != "iopub_welcome":
            pass

    async def _send(self, name: str, kind: str, content: dict[str, Any], buffers: Sequence[Any] = ()) -> str:
        """Send a request and return its id."""
        session = self._manager.session
        message = session.msg(kind, content)
        try:
            await self._lines[name].send([*session.serialize(message), *buffers])
        except LineClosed:
            raise await self._gone() from None
        request: str = message["header"]["msg_id"]
        return request

    async def _gone(self) -> Exception:
        """Return what it means that the kernel has hung up."""
        for _ in range(40):
            # its sockets close a moment before it is seen to be dead
            if not await self._manager.is_alive():
                return KernelDied()
            await asyncio.sleep(0.05)
        return Disconnected()

    async def _message(self, name: str) -> dict[str, Any]:
        """Return the next message of a channel that has the shape of one."""
        while True:
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    frames = await self._lines[name].receive()
            except TimeoutError:
                if not await self._manager.is_alive():
                    raise KernelDied from None
                continue
            except LineClosed:
                raise await self._gone() from None
            if (message := self._parsed(frames)) is not None:
                return message

    def _parsed(self, frames: list[bytes]) -> dict[str, Any] | None:
        """Return what frames say, if it is signed, new, and has a header; what agents can send need have none of that."""
        session = self._manager.session
        try:
            _, parts = session.feed_identities(frames)
            message: dict[str, Any] = session.deserialize(parts)
            header, content, kind = message["parent_header"], message["content"], message["msg_type"]
        except Exception:
            # a forged message may fail to parse in any way, and is then no message
            return None
        return message if isinstance(header, dict) and isinstance(content, dict) and isinstance(kind, str) else None

    async def _reply(self, *requests: str) -> dict[str, Any]:
        """Return the first reply to one of several requests."""
        while (message := await self._message("shell"))["parent_header"].get("msg_id") not in requests:
            pass
        return message

    def rekey(self, key: str) -> None:
        """Sign with another key from now on, which the kernel has chosen when it was forked."""
        self._manager.session.key = key.encode()

    async def answer_with(self, on_question: OnQuestion) -> None:
        """Answer the kernel's calls of ``input`` from now on; without this they are errors in the cell.

        Raises
        ------
        KernelDied, Disconnected, TimeoutError
            If the kernel does not answer.
        """
        self._on_question = on_question
        await self.connect()

    async def _answer_questions(self, on_question: OnQuestion) -> None:
        """Answer one question after the other, even from threads whose cell is over, until the kernel disconnects."""
        with contextlib.suppress(KernelDied, Disconnected):
            while True:
                message = await self._message("stdin")
                if message["msg_type"] == "input_request":
                    answer = await on_question(str(message["content"].get("prompt", "")))
                    await self._send("stdin", "input_reply", {"value": answer})

    async def interrupt(self) -> None:
        """Ask the kernel to interrupt what it runs."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._send("control", "interrupt_request", {})
        except (TimeoutError, KernelDied, Disconnected):
            # whoever waits for the cell to stop finds out that it does not
            return

    async def run(self, code: str, collector: Collector, most: int = FLOOD_BYTES) -> Literal["done", "flooded", "cut off"]:
        """Run a cell and collect what it shows, until the kernel says that it is over; beyond ``most`` bytes it is interrupted.

        Raises
        ------
        KernelDied
            If the kernel is gone.
        """
        # the next cell must run even when this one fails, so the queue is not aborted on error
        content = {
            "code": storable(code),
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": self._on_question is not None,
            "stop_on_error": False,
            ASKS_FOR_CHANGES: True,
        }
        try:
            request = await self._send("shell", "execute_request", content)
            return await self._collect(request, collector, most)
        except Disconnected:
            return "cut off"

    async def _collect(self, request: str, collector: Collector, most: int) -> Literal["done", "flooded"]:
        outcome: Literal["done", "flooded"] = "done"
        iopub, passed_over = self._lines["iopub"], self._lines["iopub"].skipped
        replied = asyncio.ensure_future(self._reply(request))
        coming = asyncio.ensure_future(self._message("iopub"))
        try:
            while True:
                over = replied.done()
                await asyncio.wait({coming}, timeout=_QUIET_SECONDS)
                collector.pass_over(iopub.skipped - passed_over)
                passed_over = iopub.skipped
                if outcome == "done" and collector.received > most:
                    outcome = "flooded"
                    await self.interrupt()
                if not coming.done():
                    if over:
                        # a flood can cost the message that says the kernel is idle; the reply says the same
                        return outcome
                    continue
                message = coming.result()
                coming = asyncio.ensure_future(self._message("iopub"))
                if message["parent_header"].get("msg_id") != request:
                    continue
                if message["msg_type"] == "status":
                    if message["content"].get("execution_state") == "idle":
                        # a reply too large to be let in never comes
                        await asyncio.wait({replied}, timeout=_QUIET_SECONDS)
                        if replied.done():
                            self._take_reply(replied.result()["content"], collector)
                        return outcome
                elif outcome == "done":
                    collector.add(message["msg_type"], message["content"])
                else:
                    collector.dropped += len(str(message["content"].get("text", "")))
        finally:
            for task in (replied, coming):
                task.cancel()
                # both may end in the same death of the kernel, of which one is heard
                task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    @staticmethod
    def _take_reply(content: dict[str, Any], collector: Collector) -> None:
        """Collect what only the reply to a cell says."""
        payload = content.get("payload")
        for each in (payload if isinstance(payload, list) else [])[:_MOST_PAYLOADS]:
            if isinstance(each, dict):
                collector.add("payload", each)
        if not collector.failed:
            # its error too, should no message have brought that
            collector.add("error", content)

    async def warm_up(self) -> None:
        """Run nothing, without a trace: what the first cell would look up and unshare is then done.

        Raises
        ------
        SandboxError
            If the kernel does not answer.
        """
        await self.request("execute_request", {"code": "pass", "silent": True, "store_history": False, "user_expressions": {}})

    async def request(self, kind: str, content: dict[str, Any], buffers: Sequence[Any] = ()) -> tuple[dict[str, Any], list[memoryview]]:
        """Send a request of workbench's own between two cells; return content and buffers of the reply.

        Raises
        ------
        SandboxError
            If the kernel does not answer. What it answers is its own claim.
        """
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                reply = await self._answer(kind, content, buffers)
        except (TimeoutError, Disconnected):
            raise SandboxError(f"the kernel did not answer a {kind}") from None
        except KernelDied:
            raise SandboxError(f"the kernel died: {self.why_dead() or 'unknown reason'}") from None
        return reply["content"], reply.get("buffers") or []

    async def _answer(self, kind: str, content: dict[str, Any], buffers: Sequence[Any]) -> dict[str, Any]:
        return await self._reply(await self._send("shell", kind, content, buffers))

    async def ended(self) -> str:
        """Wait until the kernel that died is buried, and return why it died."""
        await self._manager.provisioner.wait()
        return self.why_dead() or "unknown reason"

    def why_dead(self) -> str:
        """Return why the kernel ended; empty while it lives."""
        provisioner = getattr(self._manager, "provisioner", None)
        return "" if provisioner is None else provisioner.ended_by or provisioner.why_dead()

    async def _hang_up(self) -> None:
        if self._answering is not None:
            self._answering.cancel()
            await asyncio.wait({self._answering})
        lines = list(self._lines.values())
        self._lines.clear()
        await asyncio.gather(*(line.close() for line in lines))

    async def close(self) -> None:
        """Hang up, kill the kernel and all it started, and remove what was made for it."""
        await self._hang_up()
        try:
            if self._manager.has_kernel:
                await self._manager.shutdown_kernel(now=True)
        finally:
            self._manager.cleanup_connection_file()
