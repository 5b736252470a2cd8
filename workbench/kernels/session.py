"""A kernel session: a sandboxed Jupyter kernel that runs code actions and shows what they did."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import Any, Literal, Self

import zmq
import zmq.asyncio
from jupyter_client import AsyncKernelClient, AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec

from workbench.errors import SandboxError
from workbench.kernels.collect import Collector
from workbench.kernels.environments import Environment
from workbench.kernels.policy import Policy
from workbench.kernels.provisioners.base import Branching, SandboxProvisioner
from workbench.observation import Observation, Output

Sandbox = Literal["local", "none"]
SANDBOXES: tuple[Sandbox, ...] = ("local", "none")
"""``local`` stands behind this machine's walls; ``none`` has no wall at all and must be asked for by that name."""
PROVISIONERS: dict[str, tuple[str, dict[str, Any]]] = {
    "local": ("workbench-local", {}),
    "none": ("workbench-local", {"walled": False}),
}
"""The provisioner of each sandbox, and its settings."""

_READY_SECONDS = 60.0
_INTERRUPT_SECONDS = 5.0
_QUIET_SECONDS = 3.0
_REQUEST_SECONDS = 60.0
_FLOOD_BYTES = 64 * 2**20
_MESSAGE_BYTES = 32 * 2**20
_MESSAGES_WAITING = 4


class _Manager(AsyncKernelManager):  # type: ignore[misc]
    """A kernel manager whose kernelspec is made for one session."""

    spec: KernelSpec

    @property
    def kernel_spec(self) -> KernelSpec:
        return self.spec


class KernelSession:
    """A kernel of its own for one run.

    Guarantees: one action at a time; what :meth:`execute` returns is bounded; when the kernel dies the session starts
    another on the same files and says that the memory was lost; when :meth:`close` has returned, nothing the kernel
    started is alive and its files outside the workspace are gone.

    Parameters
    ----------
    environment : Environment
        A built environment; the kernel's interpreter and packages.
    workspace : Path
        The folder the agent works in; outlives the session.
    sandbox : {"local", "none"}
        Where it runs.
    policy : Policy
        What it may use, reach and see.
    cell_seconds : float
        Longest time of one action; then it is interrupted.
    """

    def __init__(
        self,
        environment: Environment,
        workspace: Path,
        *,
        sandbox: Sandbox = "local",
        policy: Policy | None = None,
        cell_seconds: float = 600,
    ) -> None:
        self.environment = environment
        self.workspace = workspace
        self.sandbox = sandbox
        self.policy = policy or Policy()
        self.cell_seconds = cell_seconds
        self._manager: _Manager | None = None
        self._client: AsyncKernelClient | None = None
        self._cancelled = asyncio.Event()
        self._cut_off = False
        """A message too large to be let in has cost a connection, which never comes back by itself."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def _provisioner(self) -> SandboxProvisioner:
        assert self._manager is not None
        provisioner: SandboxProvisioner = self._manager.provisioner
        return provisioner

    @property
    def walls(self) -> list[str]:
        """What stands between the kernel and this machine."""
        return self._provisioner.walls

    @property
    def missing(self) -> list[str]:
        """What does not stand, each with the reason."""
        return self._provisioner.missing

    @property
    def inside(self) -> str:
        """The workspace's path as the kernel sees it."""
        return self._provisioner.inside

    async def start(self) -> None:
        """Start the kernel and wait until it can run code.

        Raises
        ------
        SandboxError
            If it cannot be walled, does not start, or does not answer.
        """
        await self._start()

    async def _start(self, branching: Branching | None = None) -> None:
        # what a hostile kernel sends in one piece must not fill this process's memory
        context = zmq.asyncio.Context()
        context.setsockopt(zmq.MAXMSGSIZE, _MESSAGE_BYTES)
        context.setsockopt(zmq.RCVHWM, _MESSAGES_WAITING)
        name, settings = PROVISIONERS[self.sandbox]
        config = {"environment": self.environment, "policy": self.policy, "workspace": self.workspace, **settings}
        if branching is not None:
            config["branching"] = branching
        self._manager = _Manager(context=context, shutdown_wait_time=0)
        self._manager.spec = KernelSpec(
            argv=[],
            display_name="workbench",
            language="python",
            interrupt_mode="message",
            metadata={"kernel_provisioner": {"provisioner_name": name, "config": config}},
        )
        try:
            await self._manager.start_kernel()
            await self._connect()
        except BaseException as error:
            died = self._why_dead()
            await self.close()
            if isinstance(error, TimeoutError | _KernelDied):
                raise SandboxError(f"the kernel did not answer: {died or f'{_READY_SECONDS:.0f} s passed'}") from None
            raise

    async def _connect(self) -> None:
        assert self._manager is not None
        self._cut_off = False
        if self._client is not None:
            self._client.stop_channels()
        self._client = self._manager.client(context=self._manager.context)
        self._client.start_channels(hb=False, stdin=False)
        await asyncio.wait_for(self._ready(), _READY_SECONDS)

    async def _ready(self) -> None:
        assert self._client is not None
        # output is lost until the subscription stands, and only the welcome message says that it does
        while (await self._message(self._client.get_iopub_msg))["msg_type"] != "iopub_welcome":
            pass
        request = self._client.kernel_info()
        while (await self._message(self._client.get_shell_msg))["parent_header"].get("msg_id") != request:
            pass

    async def _message(self, get: Callable[..., Any]) -> dict[str, Any]:
        """Return the next message of a channel, or raise when the kernel is dead."""
        assert self._manager is not None
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
                raise _KernelDied

    def _why_dead(self) -> str:
        provisioner = getattr(self._manager, "provisioner", None)
        return provisioner.why_dead() if provisioner is not None else ""

    def cancel(self) -> None:
        """Interrupt the action that runs now; its observation says so. Does nothing between actions."""
        self._cancelled.set()

    async def execute(self, code: str, *, timeout: float | None = None, on_output: Callable[[Output], None] | None = None) -> Observation:
        """Run ``code`` as one cell and return everything it showed.

        Parameters
        ----------
        code : str
            A notebook cell: Python, with magics and top-level await.
        timeout : float, optional
            Seconds; by default the session's ``cell_seconds``.
        on_output : callable, optional
            Called with each output as it arrives.

        Returns
        -------
        Observation
            With status ``ok`` or ``error``; ``timeout``, ``interrupted`` or ``flooded`` where the cell was stopped;
            ``died`` where the kernel is gone.

        Raises
        ------
        SandboxError
            If a kernel that died cannot be started again.
        """
        assert self._client is not None and self._manager is not None
        collector = Collector(on_output=on_output)
        started = time.monotonic()
        self._cancelled.clear()
        limit = min(timeout or self.cell_seconds, self.cell_seconds)
        status: str = "ok"
        note, lost = "", False
        listening = asyncio.ensure_future(self._listen(code, collector))
        cancelled = asyncio.ensure_future(self._cancelled.wait())
        try:
            await asyncio.wait({listening, cancelled}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                status = "interrupted" if cancelled.done() else "timeout"
                note = "stopped by the user" if cancelled.done() else f"stopped after {limit:g} s"
                await self._manager.interrupt_kernel()
                await asyncio.wait({listening}, timeout=_INTERRUPT_SECONDS)
            if listening.done():
                if listening.result() == "flooded":
                    status, note = "flooded", f"stopped: more than {_FLOOD_BYTES // 2**20} MiB of output"
            else:
                note += "; it did not react to the interrupt and was killed"
                lost = True
        except _KernelDied:
            status, lost = "died", True
            await self._manager.provisioner.wait()
            note = f"the kernel died: {self._why_dead() or 'unknown reason'}"
        except asyncio.CancelledError:
            # the cell must not go on behind its caller's back, nor hold up the next one
            await self._manager.interrupt_kernel()
            await asyncio.wait({listening}, timeout=_INTERRUPT_SECONDS)
            if not listening.done():
                listening.cancel()
                await self.restart()
            raise
        finally:
            cancelled.cancel()
            if not listening.done():
                listening.cancel()
                with contextlib.suppress(asyncio.CancelledError, _KernelDied):
                    await listening
        if self._cut_off and not lost:
            try:
                await self._connect()
            except (TimeoutError, _KernelDied):
                lost, note = True, note or f"the kernel did not answer any more: {self._why_dead() or 'unknown reason'}"
        if lost:
            await self.restart()
            note += "; it was started again: variables are lost, files are kept"
        return collector.observation(status, seconds=time.monotonic() - started, note=note, state_lost=lost)

    async def _listen(self, code: str, collector: Collector) -> Literal["done", "flooded"]:
        assert self._client is not None and self._manager is not None
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
                        self._cut_off = True
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
                            self._cut_off = True
                        elif not collector.failed:
                            collector.add("error", replied.result())
                        return outcome
                elif collector.received <= _FLOOD_BYTES:
                    collector.add(message["msg_type"], message["content"])
                    if collector.received > _FLOOD_BYTES:
                        outcome = "flooded"
                        await self._manager.interrupt_kernel()
                else:
                    collector.dropped += len(str(message["content"].get("text", "")))
        finally:
            for task in (replied, coming):
                task.cancel()
                # both may end in the same death of the kernel, of which one is heard
                task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    async def _reply(self, request: str) -> dict[str, Any]:
        """Return what the kernel says of the cell: its error too, should no message have brought that."""
        assert self._client is not None
        while (message := await self._message(self._client.get_shell_msg))["parent_header"].get("msg_id") != request:
            pass
        content: dict[str, Any] = message["content"]
        return content

    async def request(
        self, kind: str, content: dict[str, Any], buffers: list[bytes] | None = None
    ) -> tuple[dict[str, Any], list[memoryview]]:
        """Send a request of the kernel's own, between cells, and return the content and the buffers of the reply.

        Raises
        ------
        SandboxError
            If the kernel does not answer; what it says is its own claim in any case.
        """
        assert self._client is not None
        message = self._client.session.msg(f"workbench_{kind}_request", content)
        self._client.session.send(self._client.shell_channel.socket, message, buffers=buffers or [])
        request = message["header"]["msg_id"]
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                while (reply := await self._message(self._client.get_shell_msg))["parent_header"].get("msg_id") != request:
                    pass
        except TimeoutError:
            raise SandboxError(f"the kernel did not answer a request to {kind}") from None
        except _KernelDied:
            raise SandboxError(f"the kernel died: {self._why_dead() or 'unknown reason'}") from None
        return reply["content"], reply.get("buffers") or []

    async def fork(self, workspace: Path) -> KernelSession:
        """Return a branch: a session of its own that goes on with this kernel's memory and a copy of its files.

        Parameters
        ----------
        workspace : Path
            An empty folder for the branch's files.

        Raises
        ------
        CannotFork
            If the kernel cannot be forked as it is now; this session is untouched.
        SandboxError
            If the branch does not come up.
        """
        branch = KernelSession(self.environment, workspace, sandbox=self.sandbox, policy=self.policy, cell_seconds=self.cell_seconds)

        async def ask(content: dict[str, Any]) -> dict[str, Any]:
            return (await self.request("branch", content))[0]

        await branch._start(Branching(self._provisioner, ask))
        return branch

    async def restart(self) -> None:
        """Kill the kernel and start another on the same workspace; its variables are lost."""
        await self.close()
        await self.start()

    async def close(self) -> None:
        """Kill the kernel and all it started, and remove what the session made; safe to call twice."""
        client, manager = self._client, self._manager
        self._client = self._manager = None
        if client is not None:
            client.stop_channels()
        if manager is not None:
            if manager.has_kernel:
                await manager.shutdown_kernel(now=True)
            manager.cleanup_connection_file()


class _KernelDied(Exception):
    """The kernel's process is gone."""
