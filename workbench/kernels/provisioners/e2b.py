"""E2B as a kernel provisioner: a microVM of the kernel's own at the E2B service, reached through the stdio bridge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitlets import Instance, Int, Unicode

from workbench.errors import SandboxError, UsageError
from workbench.kernels import e2b_service, files, templates, walls
from workbench.kernels.bridge import Bridge, Exit, words
from workbench.kernels.contract import CannotFork
from workbench.kernels.e2b_workspace import SOCKETS, UID, USER, RemoteWorkspace
from workbench.kernels.files import Entry
from workbench.kernels.provisioners.base import Branching, SandboxProvisioner
from workbench.kernels.view import PROGRAMS, WORKSPACE, inside_environ

if TYPE_CHECKING:
    from e2b import AsyncCommandHandle, AsyncSandbox

_READY_SECONDS, _KILL_SECONDS, _TIMEOUT = 60.0, 20.0, 300
_SWEEP_SECONDS, _CONNECT_SECONDS = 10.0, 10.0
_PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
"""Seconds before a broken connection is made again; the sandbox outlives them all."""
_PIECE = 2**20
_MOST_COMPLAINT = 4000


@dataclass(frozen=True)
class Running:
    """A kernel that runs in a sandbox of the service, whoever is connected to it.

    Attributes
    ----------
    sandbox_id : str
        The service's name of the sandbox.
    pid : int
        The far end of the bridge in it.
    key : bytes
        What the kernel's messages are signed with.
    walls, missing : tuple of str
        What stands around it and what does not.
    """

    sandbox_id: str
    pid: int
    key: bytes
    walls: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class E2BProvisioner(SandboxProvisioner):
    """A kernel in a sandbox of the E2B service.

    The key is read from ``E2B_API_KEY``. The workspace is uploaded at the launch and comes back with :meth:`collect`.
    The service ends the sandbox by itself ``timeout`` seconds after this process has stopped asking it not to.
    """

    template = Unicode("")
    """Name of the template; by default the one that is built from :attr:`environment`."""
    timeout = Int(_TIMEOUT)
    """Seconds the sandbox outlives this process; put off while it lives."""
    running = Instance(Running, allow_none=True)
    """A kernel to take over instead of starting one."""
    branching = Instance(Branching, allow_none=True)
    """Which kernel to branch from, in place of starting one."""

    _sandbox: AsyncSandbox | None = None
    _handle: AsyncCommandHandle[None] | None = None
    _watching: asyncio.Task[None] | None = None
    _alive: asyncio.Task[None] | None = None
    _bridge: Bridge | None = None
    _complaint = ""
    """The end of what the far end of the bridge itself had to say."""
    _furnished = False
    """Whether the agent's files are in the sandbox."""
    _paused = False
    _swept = False

    @property
    def sandbox(self) -> str:
        """The name of the sandbox, as ``--sandbox`` takes it."""
        return "e2b"

    @classmethod
    async def sweep(cls) -> list[str]:
        """Kill the sandboxes whose owner died on this machine."""
        return await e2b_service.sweep()

    @property
    def can_fork(self) -> bool:
        """Whether a live kernel can be forked with its memory: the service copies whole sandboxes, if it does."""
        return True

    @property
    def has_process(self) -> bool:
        """Whether a kernel was launched and not cleaned up."""
        return self._bridge is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Prepare the connection; a kernel that is taken over, and a copy of one, keeps its key."""
        if self.running is not None:
            self.parent.session.key = self.running.key
        elif self.branching is not None:
            self.parent.session.key = self.branching.origin.parent.session.key
        return await super().pre_launch(**kwargs)

    async def launch(self) -> None:
        """Make the sandbox with the workspace in it, or take over a running one, and start the kernel."""
        self._refuse_what_cannot_be()
        if self._sandbox is None and self.branching is not None:
            self.running = await self.branching.origin.fork()
        if self._sandbox is None and self.running is not None:
            await self._take_over(self.running)
            return
        if self._sandbox is None:
            self._sandbox = await self._create()
            self._alive = asyncio.create_task(self._stay_alive())
            await RemoteWorkspace(self._sandbox).furnish(self.workspace, self.policy.hide)
            self._furnished = True
        await self._start_kernel()

    def _refuse_what_cannot_be(self) -> None:
        if self.policy.gpu:
            raise UsageError("an E2B sandbox has no GPU", hint="use sandbox local, or a policy without gpu")
        if self.policy.grants:
            named = ", ".join(str(grant.host) for grant in self.policy.grants)
            raise UsageError(f"{named}: an E2B sandbox cannot see folders of this machine", hint="put the files into the workspace")

    async def _create(self) -> AsyncSandbox:
        template = self.template or templates.name(self.environment)
        async with e2b_service.asked(f"start a sandbox from the template {template}"):
            from e2b import ALL_TRAFFIC, AsyncSandbox

            if not E2BProvisioner._swept:
                E2BProvisioner._swept = True
                await self._sweep()
            allowed: dict[str, Any] = {"allow_internet_access": False}
            if self.policy.network:
                allowed = {"network": {"allow_out": list(self.policy.network), "deny_out": [ALL_TRAFFIC]}}
            labels = e2b_service.labels(self.environment.name)
            try:
                return await AsyncSandbox.create(template, timeout=self.timeout, metadata=labels, **allowed)
            except Exception as error:
                if getattr(error, "status_code", None) == 404:
                    hint = f"workbench environments build {self.environment.name} --backend e2b"
                    raise SandboxError(f"E2B has no template {template}", hint=hint) from None
                raise

    async def _sweep(self) -> None:
        """Kill what dead processes of this machine left; where that cannot be done, it ends by itself soon."""
        try:
            async with asyncio.timeout(_SWEEP_SECONDS):
                await e2b_service.sweep()
        except (SandboxError, TimeoutError) as error:
            self.log.warning("sandboxes that nobody owns were not looked for: %s", str(error) or f"no answer within {_SWEEP_SECONDS:g} s")

    async def _start_kernel(self) -> None:
        there = replace(self.environment, prefix=Path(templates.PREFIX))
        # a new one each time: the last kernel may have left anything in its own
        sockets = f"{SOCKETS}/{secrets.token_hex(4)}"
        config = {
            "uid": UID,
            "counters": False,
            "adopts": False,
            "cwd": WORKSPACE,
            "limits": walls.rlimits(self.policy.limits),
            # all of it is the kernel's own; what it may not read belongs to root
            "readable": ["/"],
            "writable": [WORKSPACE, sockets, *walls.WRITABLE],
            "program": f"{PROGRAMS}/kernel.py",
            "arguments": [f"{sockets}/kernel.json"],
        }
        python = str(there.python)
        bridge = self._bridge = Bridge(self.parent.get_connection_info(), self._send)
        argv = [python, "-I", f"{PROGRAMS}/launch.py", json.dumps(config)]
        environ = inside_environ(there, WORKSPACE)
        far = [python, "-I", f"{PROGRAMS}/bridge.py", bridge.config(argv, environ, sockets, uid=UID)]
        async with e2b_service.asked("start the kernel in an E2B sandbox"):
            self._handle = await self._there().commands.run(
                f"exec {shlex.join(far)}",
                background=True,
                stdin=True,
                user="root",
                cwd="/",
                timeout=0,
                on_stdout=self._hear,
                on_stderr=self._overhear,
                retain_output=False,
            )
        self._watching = asyncio.create_task(self._watch(bridge))
        ready = await bridge.start(_READY_SECONDS)
        self._say_what_stands(ready.report)

    def _say_what_stands(self, report: str) -> None:
        inner: dict[str, list[str]] = {}
        with contextlib.suppress(ValueError):
            inner = json.loads(report)
        network = f"network: {', '.join(self.policy.network)}" if self.policy.network else "network: none"
        self.walls = ["E2B sandbox: a machine of its own", network, *inner.get("walls", [])]
        self.missing = ["quotas: memory, processors and disk are what the template has", *inner.get("missing", [])]

    async def _take_over(self, running: Running) -> None:
        async with e2b_service.asked(f"connect to the E2B sandbox {running.sandbox_id}"):
            from e2b import AsyncSandbox

            self._sandbox = await AsyncSandbox.connect(running.sandbox_id, timeout=self.timeout)
            self._furnished = True
            self._alive = asyncio.create_task(self._stay_alive())
            self._bridge = Bridge(self.parent.get_connection_info(), self._send)
            await self._listen_again(running.pid)
        self._bridge.serve()
        self.walls, self.missing = list(running.walls), list(running.missing)

    async def _listen_again(self, pid: int) -> None:
        assert self._bridge is not None
        if self._watching is not None:
            # there must be one who connects again
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        self._handle = await self._connect(pid)
        await self._bridge.again()
        self._watching = asyncio.create_task(self._watch(self._bridge))

    async def _connect(self, pid: int) -> AsyncCommandHandle[None]:
        return await self._there().commands.connect(
            pid,
            timeout=0,
            request_timeout=_CONNECT_SECONDS,
            on_stdout=self._hear,
            on_stderr=self._overhear,
            retain_output=False,
        )

    def _there(self) -> AsyncSandbox:
        if self._sandbox is None:
            why = self.why_dead() or "it was closed"
            gone = "the E2B sandbox is gone"
            raise SandboxError(why if why.startswith(gone) else f"{gone}: {why}", hint=e2b_service.GONE_HINT)
        return self._sandbox

    async def _send(self, data: bytes) -> None:
        assert self._handle is not None and self._bridge is not None
        bridge = self._bridge
        try:
            for start in range(0, len(data), _PIECE):
                await self._handle.send_stdin(data[start : start + _PIECE])
        except Exception:
            # the bridge tries again, which is of no use where the sandbox has ended
            if self._sandbox is not None and not self._paused and (ended := await e2b_service.gone(self._sandbox)):
                bridge.lost(ended)
            raise

    async def _hear(self, text: str) -> None:
        if self._bridge is not None:
            await self._bridge.feed(text.encode())

    def _overhear(self, text: str) -> None:
        self._complaint = (self._complaint + text)[-_MOST_COMPLAINT:]

    async def _watch(self, bridge: Bridge) -> None:
        """Keep up the connection to the far end, and tell the bridge when that is gone, however it shows."""
        from e2b import CommandExitException

        why = ""
        while not why and bridge.exit is None and not self._paused:
            assert self._handle is not None
            try:
                await self._handle.wait()
                why = "the bridge in the sandbox ended"
            except CommandExitException as error:
                how = error.error or f"exit code {error.exit_code}"
                why = self._complaint.strip() or f"the bridge in the sandbox ended: {how}"
            except Exception as error:
                # a connection can break in as many ways as the SDK and its libraries have errors
                why = await self._connect_again(bridge, error)
        if bridge.exit is None and not self._paused:
            # where the whole sandbox ends, the command in it may seem to end by itself
            bridge.lost((self._sandbox is not None and await e2b_service.gone(self._sandbox)) or why)

    async def _connect_again(self, bridge: Bridge, broken: Exception) -> str:
        """Connect again to the far end, which runs on; return why that cannot be, or nothing."""
        from e2b import NotFoundException

        assert self._handle is not None
        error = broken
        for pause in _PAUSES:
            await asyncio.sleep(pause)
            if self._paused or bridge.exit is not None or self._sandbox is None:
                return ""
            if ended := await e2b_service.gone(self._sandbox):
                return ended
            try:
                self._handle = await self._connect(self._handle.pid)
            except NotFoundException:
                # it has ended meanwhile, and nobody heard how
                return self._complaint.strip() or "the bridge in the sandbox ended while it could not be heard"
            except Exception as again:
                error = again
            else:
                self.log.info("connected again to the kernel in the E2B sandbox %s", self._sandbox.sandbox_id)
                await bridge.again()
                return ""
        said = e2b_service.clean(str(error)) or type(error).__name__
        return f"the connection to the E2B sandbox broke and could not be made again: {said}"

    async def _stay_alive(self) -> None:
        """Put off the end of the sandbox for as long as this process lives."""
        # to be cancelled is not enough: the suppression below takes whatever the SDK makes of it
        while self._alive is not None:
            await asyncio.sleep(self.timeout / 3)
            # should it be gone, the watch hears of it; should the service be busy, there are two more tries
            with contextlib.suppress(Exception):
                if not self._paused:
                    await self._there().set_timeout(self.timeout)

    async def pause(self) -> None:
        """Stop the sandbox and keep it, with the kernel's memory, until :meth:`resume`; it costs no time meanwhile.

        Raises
        ------
        SandboxError
            If the service does not.
        """
        self._paused = True
        try:
            async with e2b_service.asked("pause the E2B sandbox"):
                await self._there().pause()
        except BaseException:
            self._paused = False
            raise

    async def resume(self) -> None:
        """Go on where :meth:`pause` stopped.

        Raises
        ------
        SandboxError
            If the service does not, or the sandbox is gone.
        """
        assert self._handle is not None
        async with e2b_service.asked("resume the E2B sandbox"):
            self._sandbox = await self._there().connect(timeout=self.timeout)
            await self._listen_again(self._handle.pid)
        self._paused = False

    def now_running(self) -> Running:
        """Return what another provisioner needs to take this kernel over."""
        assert self._handle is not None
        key: bytes = self.parent.session.key
        return Running(self._there().sandbox_id, self._handle.pid, key, tuple(self.walls), tuple(self.missing))

    async def fork(self) -> Running:
        """Copy the sandbox with the kernel's memory, and return the copy for another provisioner to take over.

        Raises
        ------
        CannotFork
            If the service does not; this kernel is untouched.
        """
        try:
            async with e2b_service.asked("fork the E2B sandbox"):
                (copy,) = await self._there().fork(timeout=self.timeout, count=1)
        except SandboxError as error:
            raise CannotFork(error.message, hint=error.hint) from None
        if isinstance(copy, Exception):
            raise CannotFork(f"E2B did not fork the sandbox: {copy}", hint="make the branch by replay")
        return replace(self.now_running(), sandbox_id=copy.sandbox_id)

    async def disconnect(self) -> Running:
        """Leave the kernel running and stop listening to it; the sandbox ends by itself after ``timeout`` seconds."""
        running, handle, bridge = self.now_running(), self._handle, self._bridge
        assert handle is not None and bridge is not None
        self._paused = True
        await self._stop_tasks()
        await handle.disconnect()
        await bridge.close()
        self._sandbox = self._bridge = None
        self._furnished = False
        return running

    @property
    def _ended(self) -> Exit | None:
        return None if self._bridge is None else self._bridge.exit

    async def poll(self) -> int | None:
        """Return None while the kernel runs."""
        return 0 if self._bridge is None else _code(self._ended)

    async def wait(self) -> int | None:
        """Wait for the kernel to end."""
        return 0 if self._bridge is None else _code(await self._bridge.wait())

    def why_dead(self) -> str:
        """Return why the kernel ended; empty while it lives."""
        return "" if self._ended is None else words(self._ended)

    async def kill(self, restart: bool = False) -> None:  # noqa: ARG002 - the contract of jupyter_client
        """Kill the kernel and all it started; where the sandbox does not answer, kill that."""
        bridge = self._bridge
        if bridge is None:
            return
        if self._paused and bridge.exit is None:
            # a sandbox that is stopped gives no files back either
            with contextlib.suppress(SandboxError):
                await self.resume()
        if bridge.exit is None and not self._paused:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_KILL_SECONDS):
                    await bridge.kill()
                    await bridge.wait()
        ended = bridge.exit
        if ended is None or ended.code is None or ended.left:
            await self._kill_everything()
        elif self._watching is not None:
            # once it has said how the kernel ended, the far end ends too
            await asyncio.wait({self._watching}, timeout=_KILL_SECONDS)
        await bridge.close()

    async def _kill_everything(self) -> None:
        """Kill what the far end could not, without its help; where that is not sure to work, kill the sandbox, files and all."""
        from e2b import CommandExitException

        if self._sandbox is None or self._handle is None:
            return
        try:
            await self._handle.kill()
            # whatever the kernel started belongs to its user; the command itself does too, and dies with the rest
            with contextlib.suppress(CommandExitException):
                await self._sandbox.commands.run("kill -KILL -1", user=USER, cwd="/")
        except Exception:
            await self._kill_sandbox()

    async def _kill_sandbox(self) -> None:
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            # whether it was there to be killed or had ended by itself; what cannot be reached now ends at its timeout
            with contextlib.suppress(Exception):
                await sandbox.kill()

    async def _stop_tasks(self) -> None:
        tasks = [task for task in (self._watching, self._alive) if task is not None]
        self._watching = self._alive = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def cleanup(self, restart: bool = False) -> None:
        """Kill the kernel and, unless another is to be started in it, the sandbox."""
        try:
            await super().cleanup(restart)
        finally:
            if not restart:
                await self._stop_tasks()
                await self._kill_sandbox()
                self._bridge, self._furnished, self._paused = None, False, False

    async def adopt(self) -> None:
        """Upload what was put into :attr:`workspace` since the launch."""
        await RemoteWorkspace(self._there()).upload(self.workspace)

    async def put(self, path: str, data: bytes) -> None:
        """Write a file of the workspace; where a link of the agent's leads, only the agent's rights count."""
        await RemoteWorkspace(self._there()).put(path, data)

    async def get(self, path: str, *, most: int = files.MOST) -> bytes:
        """Return a file of the workspace; it may not be a link."""
        return await RemoteWorkspace(self._there()).get(path, most=most)

    async def entries(self, path: str = ".") -> list[Entry]:
        """Return what is in a folder of the workspace, sorted by name; no part of ``path`` may be a link."""
        return await RemoteWorkspace(self._there()).entries(path)

    async def collect(self) -> None:
        """Bring the agent's files back into :attr:`workspace`; what is hostile about them stays behind.

        Raises
        ------
        SandboxError
            If the sandbox is gone, or its files are more than the limits allow; then :attr:`workspace` is as it was.
        """
        if self._furnished:
            await RemoteWorkspace(self._there()).collect(self.workspace, most=self.policy.limits.workspace_bytes)


def _code(ended: Exit | None) -> int | None:
    """Return an exit code; 1 if it is unknown."""
    return None if ended is None else 1 if ended.code is None else ended.code
