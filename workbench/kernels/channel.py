"""The line to a kernel that may be hostile: Jupyter messages, of which none is trusted to be what it should be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from queue import Empty
from typing import Any, Literal

import zmq
import zmq.asyncio
from jupyter_client import AsyncKernelClient, AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec

from workbench.errors import SandboxError
from workbench.kernels.collect import Collector
from workbench.kernels.provisioners.base import SandboxProvisioner

READY_SECONDS = 60.0
FLOOD_BYTES = 64 * 2**20
_QUIET_SECONDS = 3.0
_REQUEST_SECONDS = 60.0
_MESSAGE_BYTES = 32 * 2**20
_MESSAGES_WAITING = 4


class KernelDied(Exception):
    """The kernel's process is gone."""


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
        # what a hostile kernel sends in one piece must not fill this process's memory
        context = zmq.asyncio.Context()
        context.setsockopt(zmq.MAXMSGSIZE, _MESSAGE_BYTES)
        context.setsockopt(zmq.RCVHWM, _MESSAGES_WAITING)
        # the sockets of a kernel that is starting are not there yet; each try is one system call
        context.setsockopt(zmq.RECONNECT_IVL, 1)
        self.cut_off = False
        """A message too large to be let in has cost a connection, which never comes back by itself."""
        self._manager = _Manager(context=context, shutdown_wait_time=0)
        self._manager.spec = KernelSpec(
            argv=[],
            display_name="workbench",
            language="python",
            interrupt_mode="message",
            metadata={"kernel_provisioner": {"provisioner_name": provisioner, "config": config}},
        )
        self._client: AsyncKernelClient | None = None

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
        KernelDied, TimeoutError
            If it does not answer.
        """
        await self._manager.start_kernel()
        await self.connect()

    async def connect(self) -> None:
        """Connect, anew where there was a connection.

        Raises
        ------
        KernelDied, TimeoutError
            If the kernel does not answer.
        """
        self.cut_off = False
        if self._client is not None:
            self._client.stop_channels()
        self._client = self._manager.client(context=self._manager.context)
        self._client.start_channels(hb=False, stdin=False)
        await asyncio.wait_for(self._ready(self._client), READY_SECONDS)

    async def _ready(self, client: AsyncKernelClient) -> None:
        # output is lost until the subscription stands, and only the welcome message says that it does
        while (await self._message(client.get_iopub_msg))["msg_type"] != "iopub_welcome":
            pass
        await self._reply(client.kernel_info())

    async def _message(self, get: Callable[..., Any]) -> dict[str, Any]:
        """Return the next message of a channel, or raise when the kernel is dead."""
        while True:
            try:
                message: dict[str, Any] = await get(timeout=1)
                # what agents can send is not to be trusted to have even a header
                if (
                    isinstance(message["parent_header"], dict)
                    and isinstance(message["content"], dict)
                    and isinstance(message["msg_type"], str)
                ):
                    return message
                continue
            except Empty:
                pass
            except Exception:
                # a forged message may fail to parse in any way, and is then no message
                await asyncio.sleep(0)
                continue
            if not await self._manager.is_alive():
                raise KernelDied

    async def _reply(self, request: str) -> dict[str, Any]:
        assert self._client is not None
        while (message := await self._message(self._client.get_shell_msg))["parent_header"].get("msg_id") != request:
            pass
        return message

    async def interrupt(self) -> None:
        """Ask the kernel to interrupt what it runs."""
        await self._manager.interrupt_kernel()

    async def run(self, code: str, collector: Collector) -> Literal["done", "flooded"]:
        """Run a cell and collect what it shows, until the kernel says that it is over.

        Raises
        ------
        KernelDied
            If the kernel is gone.
        """
        assert self._client is not None
        # the next cell must run even when this one fails, so the queue is not aborted on error
        request = self._client.execute(code, allow_stdin=False, stop_on_error=False)
        replied = asyncio.ensure_future(self._reply(request))
        coming = asyncio.ensure_future(self._message(self._client.get_iopub_msg))
        outcome: Literal["done", "flooded"] = "done"
        try:
            while True:
                over = replied.done()
                await asyncio.wait({coming}, timeout=_QUIET_SECONDS)
                if not coming.done():
                    if over:
                        # a flood can cost the message that says the kernel is idle; the reply says the same
                        self.cut_off = True
                        return outcome
                    continue
                message = coming.result()
                coming = asyncio.ensure_future(self._message(self._client.get_iopub_msg))
                if message["parent_header"].get("msg_id") != request:
                    continue
                if message["msg_type"] == "status":
                    if message["content"].get("execution_state") == "idle":
                        # a reply too large to be let in never comes
                        await asyncio.wait({replied}, timeout=_QUIET_SECONDS)
                        if not replied.done():
                            self.cut_off = True
                        elif not collector.failed:
                            # its error too, should no message have brought that
                            collector.add("error", replied.result()["content"])
                        return outcome
                elif collector.received <= FLOOD_BYTES:
                    collector.add(message["msg_type"], message["content"])
                    if collector.received > FLOOD_BYTES:
                        outcome = "flooded"
                        await self.interrupt()
                else:
                    collector.dropped += len(str(message["content"].get("text", "")))
        finally:
            for task in (replied, coming):
                task.cancel()
                # both may end in the same death of the kernel, of which one is heard
                task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    async def request(self, kind: str, content: dict[str, Any], buffers: Sequence[Any] = ()) -> tuple[dict[str, Any], list[memoryview]]:
        """Send a request of workbench's own between two cells; return content and buffers of the reply.

        Raises
        ------
        SandboxError
            If the kernel does not answer. What it answers is its own claim.
        """
        assert self._client is not None
        message = self._client.session.msg(kind, content)
        self._client.session.send(self._client.shell_channel.socket, message, buffers=list(buffers))
        try:
            reply = await asyncio.wait_for(self._reply(message["header"]["msg_id"]), _REQUEST_SECONDS)
        except TimeoutError:
            raise SandboxError(f"the kernel did not answer a {kind}") from None
        except KernelDied:
            raise SandboxError(f"the kernel died: {self.why_dead() or 'unknown reason'}") from None
        return reply["content"], reply.get("buffers") or []

    async def ended(self) -> str:
        """Wait until the kernel that died is buried, and return why it died."""
        await self._manager.provisioner.wait()
        return self.why_dead() or "unknown reason"

    def why_dead(self) -> str:
        """Return why the kernel ended; empty while it lives."""
        provisioner = getattr(self._manager, "provisioner", None)
        return provisioner.why_dead() if provisioner is not None else ""

    async def close(self) -> None:
        """Hang up, kill the kernel and all it started, and remove what was made for it."""
        if self._client is not None:
            self._client.stop_channels()
            self._client = None
        if self._manager.has_kernel:
            await self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_connection_file()
