"""A kernel session: a sandboxed Jupyter kernel that runs code actions and shows what they did."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from workbench.cancellation import finish
from workbench.errors import SandboxError
from workbench.kernels import exchange, runtime
from workbench.kernels.channel import FLOOD_BYTES, READY_SECONDS, Channel, Disconnected, KernelDied, OnQuestion
from workbench.kernels.collect import Collector
from workbench.kernels.contract import Branched, CannotFork, Kernel
from workbench.kernels.environments import Environment
from workbench.kernels.files import Entry
from workbench.kernels.policy import Policy
from workbench.kernels.provisioners.base import Branching, SandboxProvisioner
from workbench.kernels.replay import MOST_KEPT, Action, Given, Origin
from workbench.observation import Observation, Output

Sandbox = Literal["local", "none", "docker", "e2b"]
SANDBOXES: dict[Sandbox, tuple[str, dict[str, Any]]] = {
    "local": ("workbench-local", {}),
    "none": ("workbench-local", {"walled": False}),
    "docker": ("workbench-docker", {}),
    "e2b": ("workbench-e2b", {}),
}
"""Where a kernel can run: its provisioner, and the settings that make the difference. ``local`` stands behind this
machine's walls; ``none`` has no wall at all and must be asked for by that name."""

_INTERRUPT_SECONDS = 5.0


class KernelSession(Kernel):
    """A kernel of its own for one run, in any of the sandboxes.

    Parameters
    ----------
    environment : Environment
        A built environment; the kernel's interpreter and packages.
    workspace : Path
        The folder the agent works in; outlives the session.
    sandbox : {"local", "none", "docker", "e2b"}
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
        self.branched: Branched | None = None
        self._channel: Channel | None = None
        self._questions: tuple[OnQuestion, str] | None = None
        self._cancelled = asyncio.Event()
        self._actions: list[Action | Given] = []
        self._origin: Origin | None = None
        self._shown = 0
        """Bytes of output so far."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._ends: list[asyncio.Task[None]] = []

    @property
    def provisioner(self) -> SandboxProvisioner:
        """What the kernel runs in; there from :meth:`start` to :meth:`close`."""
        return self._open.provisioner

    @property
    def walls(self) -> list[str]:
        """What stands between the kernel and this machine."""
        return self.provisioner.walls

    @property
    def missing(self) -> list[str]:
        """What does not stand, each with the reason."""
        return self.provisioner.missing

    @property
    def inside(self) -> str:
        """The workspace's path as the kernel sees it."""
        return self.provisioner.inside

    @property
    def _open(self) -> Channel:
        assert self._channel is not None, "the session is closed"
        return self._channel

    async def start(self) -> None:
        """Start the kernel and wait until it can run code; nothing to do where it can."""
        if self._channel is None:
            await self._start()

    async def _start(self, branching: Branching | None = None) -> None:
        provisioner, settings = SANDBOXES[self.sandbox]
        config = {"environment": self.environment, "policy": self.policy, "workspace": self.workspace, **settings}
        if branching is not None:
            config["branching"] = branching
        channel = self._channel = Channel(provisioner, config)
        try:
            await channel.open()
            self._end_after("life", self.policy.limits.wall_seconds)
        except BaseException as error:
            died = channel.why_dead()
            await self.close()
            if isinstance(error, TimeoutError | KernelDied | Disconnected):
                late = f"{READY_SECONDS:.0f} s passed, the last of them waiting for {channel.awaited}"
                raise SandboxError(f"the kernel did not answer: {died or late}") from None
            raise

    def _end_after(self, what: str, seconds: float | None) -> None:
        """Let the kernel end when its time is up."""
        if (timer := self._timers.pop(what, None)) is not None:
            timer.cancel()
        if seconds is not None:
            reason, end = f"limit of {seconds:g} s of {what}", self._open.provisioner.end
            self._timers[what] = asyncio.get_running_loop().call_later(
                seconds, lambda: self._ends.append(asyncio.ensure_future(end(reason)))
            )

    async def warm_up(self) -> None:
        """Spare the first action what it takes to be the first; leaves no trace."""
        await self._open.warm_up()

    async def adopt(self) -> None:
        """Make the agent's what was put into the workspace from outside while the kernel was waiting."""
        await self.provisioner.adopt()

    async def answer_with(self, on_question: OnQuestion, setup: str) -> None:
        """Answer what actions ask with ``input`` from now on, after running ``setup``, of which nothing is recorded.

        Raises
        ------
        SandboxError
            If the kernel does not answer, or ``setup`` fails.
        """
        self._questions = (on_question, setup)
        await self._set_up()

    async def _set_up(self) -> None:
        if self._questions is None:
            return
        channel, (on_question, setup) = self._open, self._questions
        try:
            await channel.answer_with(on_question)
        except (TimeoutError, KernelDied, Disconnected):
            raise SandboxError(f"the kernel did not answer: {channel.why_dead() or 'unknown reason'}") from None
        content = {"code": setup, "silent": True, "store_history": False, "user_expressions": {}}
        reply, _ = await channel.request("execute_request", content)
        if reply.get("status") != "ok":
            raise SandboxError(f"the kernel could not be set up: {str(reply.get('ename'))[:100]}: {str(reply.get('evalue'))[:500]}")

    def cancel(self) -> None:
        """Interrupt the action that runs now; its observation says so. Does nothing between actions."""
        self._cancelled.set()

    async def _keep_origin(self) -> None:
        self._origin = await asyncio.to_thread(Origin.keep, self.workspace, f"o-{secrets.token_hex(4)}")

    async def execute(self, code: str, *, timeout: float | None = None, on_output: Callable[[Output], None] | None = None) -> Observation:
        """Run ``code`` as one cell and return everything it showed.

        If the caller is cancelled, the cell is stopped; what it had shown by then is the exception's ``observation``.
        """
        channel = self._open
        if self._origin is None:
            await finish(self._keep_origin())
        self._end_after("idle time", None)
        collector = Collector(on_output=on_output)
        started = time.monotonic()
        self._cancelled.clear()
        most = min(FLOOD_BYTES, max(0, self.policy.limits.output_bytes - self._shown))
        limit = min(timeout or self.cell_seconds, self.cell_seconds)
        status: str = "ok"
        note, lost, cut_off = "", False, False
        running = asyncio.ensure_future(channel.run(code, collector, most))
        cancelled = asyncio.ensure_future(self._cancelled.wait())
        try:
            await asyncio.wait({running, cancelled}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                status = "interrupted" if cancelled.done() else "timeout"
                note = "stopped by the user" if cancelled.done() else f"stopped after {limit:g} s"
                await self._stop(channel, running, collector)
            if running.done():
                outcome = running.result()
                cut_off = outcome == "cut off"
                if outcome == "flooded":
                    status, note = "flooded", f"stopped: more than {most} bytes of output"
                    if most < FLOOD_BYTES:
                        allowed = self.policy.limits.output_bytes
                        note = f"stopped: the kernel has shown all the output that it may in its life, {allowed} bytes"
            else:
                note += "; it did not react to the interrupt and was killed"
                lost = True
        except KernelDied:
            status, lost = "died", True
            note = f"the kernel died: {await channel.ended()}"
        except asyncio.CancelledError as cancellation:
            # the cell must not go on behind its caller's back, nor hold up the next one
            await self._stop(channel, running, collector)
            seen = collector.observation("interrupted", seconds=time.monotonic() - started, note="stopped by the user")
            cancellation.observation = seen  # type: ignore[attr-defined]
            if not running.done():
                running.cancel()
                await self.restart()
            raise
        finally:
            cancelled.cancel()
            if not running.done():
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError, KernelDied):
                    await running
        if cut_off:
            try:
                await channel.connect()
            except (TimeoutError, KernelDied, Disconnected):
                lost, note = True, note or f"the kernel did not answer any more: {channel.why_dead() or 'unknown reason'}"
                status = "died" if status == "ok" else status
        if lost:
            await self.restart()
            note += "; it was started again: variables are lost, files are kept"
        observation = collector.observation(status, seconds=time.monotonic() - started, note=note, state_lost=lost)
        if not lost:
            self._actions.append(Action.of(code, observation))
        self._shown += collector.received
        self._end_after("idle time", self.policy.limits.idle_seconds)
        return observation

    @staticmethod
    async def _stop(channel: Channel, running: asyncio.Future[Any], collector: Collector) -> None:
        """Interrupt a cell and wait until it is over, or has had its time for that."""
        begun = asyncio.ensure_future(collector.begun.wait())
        try:
            # between two cells a kernel hears no interrupt
            await asyncio.wait({running, begun}, timeout=_INTERRUPT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            begun.cancel()
        await channel.interrupt()
        await asyncio.wait({running}, timeout=_INTERRUPT_SECONDS)

    async def put(self, path: str, data: bytes) -> None:
        """Write a file of the workspace, with the folders above it."""
        await self.provisioner.put(path, data)

    async def get(self, path: str) -> bytes:
        """Return a file of the workspace."""
        return await self.provisioner.get(path)

    async def entries(self, path: str = ".") -> list[Entry]:
        """Return what is in a folder of the workspace, sorted by name."""
        return await self.provisioner.entries(path)

    async def push(self, name: str, value: Any) -> None:
        """Make ``value`` a variable of the kernel's."""
        await exchange.push(self._open.request, name, value)
        self._actions.append(await asyncio.to_thread(Given.of, name, value))

    async def pull(self, name: str, *, most: int = exchange.MOST) -> Any:
        """Return a copy of a variable of the kernel's."""
        return await exchange.pull(self._open.request, name, most=most)

    async def fork(self) -> KernelSession:
        """Return a branch: a kernel of its own that goes on with this one's memory and a copy of its files."""
        started = time.monotonic()
        channel = self._open
        workspace = runtime.folder(f"w-{secrets.token_hex(4)}")
        branch = KernelSession(self.environment, workspace, sandbox=self.sandbox, policy=self.policy, cell_seconds=self.cell_seconds)
        not_carried: list[str] = []

        async def ask(content: dict[str, Any]) -> dict[str, Any]:
            answer, _ = await channel.request("workbench_branch_request", content)
            not_carried.extend(map(str, answer.get("not_carried", [])))
            if key := answer.get("key"):
                channel.rekey(str(key))
            return answer

        try:
            try:
                if not self.provisioner.can_fork:
                    raise CannotFork(f"sandbox {self.sandbox} cannot fork a kernel with its memory")
                await branch._start(Branching(self.provisioner, ask))
            except CannotFork as refused:
                branch.branched = Branched(by="replay", reason=refused.message)
                await self._replay_into(branch)
            else:
                branch.branched = Branched(by="fork", not_carried=not_carried[:100])
                branch._origin = self._origin.share() if self._origin is not None else None
                branch._actions = list(self._actions)
        except BaseException:
            await asyncio.to_thread(runtime.remove, workspace)
            raise
        branch.branched.seconds = time.monotonic() - started
        return branch

    async def _replay_into(self, branch: KernelSession) -> None:
        """Lay out the files as they were, and run every action again."""
        assert branch.branched is not None
        if self._origin is not None:
            if self._origin.folder is None:
                raise SandboxError(
                    f"no branch can be made: {branch.branched.reason}, and what the workspace had to begin with could not be kept for a"
                    f" replay: it was more than {MOST_KEPT} bytes, or cannot be copied"
                )
            await asyncio.to_thread(self._origin.lay_out, branch.workspace)
        await branch.start()
        try:
            number = 0
            for action in list(self._actions):
                if isinstance(action, Given):
                    await branch.push(action.name, action.value)
                    continue
                number += 1
                if diverged := action.compare(number, await branch.execute(action.code)):
                    branch.branched.diverged.append(diverged)
        except BaseException:
            await branch.close()
            raise

    async def restart(self) -> None:
        """Kill the kernel and start another on the same workspace; its variables are lost."""
        await self.close()
        # from here on a replay begins with the files as they are now
        await self.start()
        await self._set_up()

    async def close(self) -> None:
        """Kill the kernel and all it started, and remove what was made for it; safe to call twice."""
        for what in list(self._timers):
            self._end_after(what, None)
        channel, origin = self._channel, self._origin
        self._channel = self._origin = None
        self._actions.clear()
        try:
            if channel is not None:
                await channel.close()
        finally:
            if origin is not None:
                await asyncio.to_thread(origin.release)
