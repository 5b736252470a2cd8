"""Docker as a kernel provisioner: a hardened container of the kernel's own, on this machine's engine or one far away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from traitlets import Unicode

from workbench.errors import SandboxError, UsageError
from workbench.kernels import docker_engine, docker_walls, files, images, lending, runtime, trees, walls
from workbench.kernels.allowlist import Allowlist
from workbench.kernels.bridge import Bridge, Exit, words
from workbench.kernels.containers import STDOUT, Container, Program
from workbench.kernels.docker_engine import Engine
from workbench.kernels.docker_walls import User
from workbench.kernels.docker_workspace import ContainerWorkspace
from workbench.kernels.environments import Environment
from workbench.kernels.files import Entry
from workbench.kernels.network import Gate
from workbench.kernels.process import unlinked_size
from workbench.kernels.provisioners.base import INSIDE_FILE, SandboxProvisioner
from workbench.kernels.view import CONNECTION, PROGRAMS, WORKSPACE, Mount, inside_environ

MODES = ("", "mounted", "bridged")
_READY_SECONDS = 60.0
_WATCH_SECONDS = 0.5
_GATE, _GATE_PORT = "gate", 3128
_SOCKETS = "/tmp/kernel"  # noqa: S108 - the sandbox's own
_MOST_WORDS = 16 * 1024


class DockerProvisioner(SandboxProvisioner):
    """A kernel in a container of its own.

    On this machine's engine the workspace is mounted and the kernel serves on sockets in a mounted folder (``mounted``).
    On any other the stdio bridge carries its messages, and its workspace, which lies in memory there, goes in at the
    launch and comes back with :meth:`collect` (``bridged``).
    """

    mode = Unicode("")
    """``mounted`` or ``bridged``; by default what suits the engine."""
    runtime = Unicode("")
    """Name of the engine's runtime, for example ``runsc``; by default the engine's own choice."""

    _engine: Engine | None = None
    _container: Container | None = None
    _bridge: Bridge | None = None
    _ended: asyncio.Future[Exit] | None = None
    _breach = ""
    _bridged = False
    _furnished = False
    """Whether the container holds the workspace, so that it is to come back."""
    _user: User
    _gate: Gate | None = None
    _taking: socket.socket | None = None
    """Where the container's first process gives away the socket that the gate serves."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._tasks: list[asyncio.Task[None]] = []
        self._log = bytearray()

    @property
    def sandbox(self) -> str:
        """The name of the sandbox, as ``--sandbox`` takes it."""
        return "docker"

    @property
    def has_process(self) -> bool:
        """Whether a kernel was launched and not cleaned up."""
        return self._container is not None

    def processes(self) -> list[psutil.Process]:
        """Return the processes of this machine that are in the container; none where it is elsewhere."""
        found = []
        for pid in self._container.processes() if self._container is not None and not self._bridged else ():
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        return found

    @classmethod
    async def sweep(cls) -> list[str]:
        """Remove the containers that dead processes of this machine left, and return their names."""
        return await asyncio.to_thread(docker_engine.sweep)

    async def launch(self) -> None:
        """Make the container, and start the kernel in it."""
        self._refuse_what_cannot_be()
        engine = self._engine = await asyncio.to_thread(docker_engine.connect)
        self._bridged = self._choose(engine)
        image = await asyncio.to_thread(images.built, engine, self.environment)
        self._user = self._choose_user()
        self._container = await self._start_container(engine, image)
        if self._gate is not None:
            await self._gate.serve(await asyncio.to_thread(self._take))
        if self._bridged:
            await ContainerWorkspace(self._container).lay(self.workspace)
            self._furnished = True
        self._breach, self._log, self._ended = "", bytearray(), asyncio.get_running_loop().create_future()
        report = await (self._start_bridged() if self._bridged else self._start_mounted())
        self.walls, self.missing = docker_walls.standing(
            engine, self.policy, self._user, report, mounted=not self._bridged, runtime=self.runtime
        )

    def _refuse_what_cannot_be(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"there is no mode {self.mode!r} for Docker", hint=f"there are: {', '.join(MODES[1:])}")

    def _choose(self, engine: Engine) -> bool:
        """Return whether to take the bridge."""
        # another runtime is a kernel of its own, whose sockets do not reach through a mount
        bridged = self.mode == "bridged" or (not self.mode and bool(self.runtime or not engine.sees_this_machine))
        if bridged and self.policy.grants:
            named = ", ".join(str(grant.host) for grant in self.policy.grants)
            raise UsageError(f"{named}: a container in mode bridged cannot see folders of this machine", hint="put them into the workspace")
        if bridged and self.policy.network:
            named = ", ".join(self.policy.network)
            raise UsageError(
                f"{named}: a container in mode bridged has no way to hosts of your choice", hint="use an engine on this machine"
            )
        return bridged

    def _choose_user(self) -> User:
        """Return an unused user id; or the owner of the workspace, if that user cannot change the owner."""
        if self._bridged or os.geteuid() == 0:
            number = lending.FIRST_USER + secrets.randbelow(2**29)
            return User(number, number)
        return User(os.geteuid(), os.getegid(), nobody=False)

    @property
    def _there(self) -> Environment:
        """The environment as it is in the image."""
        built: Environment = self.environment
        return replace(built, prefix=Path(images.PREFIX))

    async def _start_container(self, engine: Engine, image: str) -> Container:
        python, there = str(self._there.python), self._there
        if self._bridged:
            return await Container.start(engine, image, python, **docker_walls.options(there, self.policy, self._user, None, self.runtime))
        connection = self.connection_file.parent
        self.write_inside(CONNECTION)
        mounts = [Mount(grant.host, grant.inside, grant.writable) for grant in self.policy.grants]
        mounts += [Mount(self.workspace, WORKSPACE, writable=True), Mount(connection, CONNECTION, writable=True)]
        options = docker_walls.options(there, self.policy, self._user, mounts, self.runtime)
        if not self.policy.network:
            await asyncio.to_thread(self._give)
            return await Container.start(engine, image, python, **options)
        self._gate, self._taking = Gate(Allowlist(self.policy.network)), socket.socket(socket.AF_UNIX)
        self._taking.bind(str(connection / _GATE))
        self._taking.listen(1)
        await asyncio.to_thread(self._give)
        return await Container.start(engine, image, python, str(_GATE_PORT), f"{CONNECTION}/{_GATE}", **options)

    def _take(self) -> socket.socket:
        """Take over the socket that the container's first process has given away before it said anything."""
        assert self._taking is not None
        self._taking.settimeout(_READY_SECONDS)
        with self._taking.accept()[0] as giver:
            _, (descriptor,), _, _ = socket.recv_fds(giver, 1, 1)
        return socket.socket(fileno=descriptor)

    def _give(self, *, anew: bool = True) -> None:
        """Make the kernel's user the owner of its files; a folder of the user's is only lent."""
        assert self.folder is not None
        if not self._user.nobody:
            return
        if anew:
            lending.give([self.connection_file.parent], self._user.uid)
        if self.workspace.is_relative_to(runtime.mine()):
            lending.give([self.workspace], self._user.uid)
        else:
            lending.lend(self.workspace, self._user.uid, self.folder / lending.NOTE)

    def _kernel(self, connection_file: str, *writable: str) -> list[str]:
        lent = [grant.inside for grant in self.policy.grants if grant.writable]
        return walls.launch(
            "kernel.py",
            [connection_file],
            WORKSPACE,
            self._there,
            self.policy.limits,
            PROGRAMS,
            own_user=self._user.nobody,
            # all of it is the image and what was lent; what the kernel may not read belongs to root
            readable=["/"],
            writable=[WORKSPACE, *writable, *lent, *walls.WRITABLE],
        )

    async def _start_mounted(self) -> str:
        """Start the kernel on the sockets that are mounted, and return what it reports of its walls."""
        assert self._container is not None
        report: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        said = bytearray()

        async def hear(number: int, data: bytes) -> None:
            if number != STDOUT:
                self._keep(data)
            elif not report.done():
                said.extend(data)
                if b"\n" in said or len(said) > _MOST_WORDS:
                    report.set_result(said.decode(errors="replace"))

        argv = self._kernel(f"{CONNECTION}/{INSIDE_FILE}", CONNECTION)
        environ = inside_environ(self._there, WORKSPACE)
        if self.policy.network:
            environ |= self.way_out(_GATE_PORT)
        program = await self._container.run(argv, hear, environ=environ, listens=False)
        self._tasks.append(asyncio.create_task(self._bury(program)))
        self._tasks.append(asyncio.create_task(self._watch([self.workspace, self.connection_file.parent])))
        assert self._ended is not None
        waiting: list[asyncio.Future[Any]] = [report, self._ended]
        await asyncio.wait(waiting, timeout=_READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if report.done():
            return report.result()
        raise SandboxError(f"the kernel did not start: {self.why_dead() or f'{_READY_SECONDS:.0f} s passed'}")

    async def _start_bridged(self) -> str:
        """Start the kernel and the far end of the bridge to it, and return what the kernel reports of its walls."""
        assert self._container is not None

        async def send(data: bytes) -> None:
            await program.stream.send(data)

        async def hear(number: int, data: bytes) -> None:
            if number == STDOUT:
                await bridge.feed(data)
            else:
                self._keep(data)

        bridge = self._bridge = Bridge(self.parent.get_connection_info(), send)
        argv = self._kernel(f"{_SOCKETS}/kernel.json", _SOCKETS)
        config = bridge.config(argv, inside_environ(self._there, WORKSPACE), _SOCKETS)
        program = await self._container.run([str(self._there.python), "-I", str(PROGRAMS / "bridge.py"), config], hear)
        self._tasks.append(asyncio.create_task(self._bury(program)))
        return (await bridge.start(_READY_SECONDS)).report

    def _keep(self, data: bytes) -> None:
        self._log += data
        del self._log[:-_MOST_WORDS]

    async def _bury(self, program: Program) -> None:
        """Note how the kernel ended, once all it left behind is dead."""
        assert self._container is not None and self._ended is not None
        code = await program.wait()
        ran_out = await self._container.quiet()
        if ran_out and not self._breach:
            self._breach = f"memory limit of {self.policy.limits.memory} bytes"
        ended = self._bridge.exit if self._bridge is not None else None
        if ran_out is None:
            ended = Exit(None, "the container ended")
        elif ended is None:
            # a shell's way to say that a signal was it
            ended = Exit(128 - code if code and code > 128 else code, self._log.decode(errors="replace"))
        if self._bridge is not None:
            self._bridge.lost(words(ended))
        self._ended.set_result(ended)

    async def _watch(self, folders: list[Path]) -> None:
        """Kill the kernel when the folders it can write on this machine's disk have outgrown their limit."""
        assert self._container is not None and self._ended is not None
        most = self.policy.limits.workspace_bytes
        # where they are full from the start, a little is allowed on top, so that something can be deleted
        most = max(most, await asyncio.to_thread(self._used, folders, most) + most // 8)
        while not self._ended.done():
            if await asyncio.to_thread(self._used, folders, most) > most:
                self._breach = f"workspace limit of {self.policy.limits.workspace_bytes} bytes"
                await self._container.quiet()
                return
            await asyncio.wait({self._ended}, timeout=_WATCH_SECONDS)

    def _used(self, folders: list[Path], enough: int) -> int:
        assert self._container is not None
        used = sum(trees.size(folder, enough) for folder in folders)
        # if the workspace itself was removed, there is nothing left to count
        with contextlib.suppress(FileNotFoundError):
            used += unlinked_size(self._container.processes(), self.workspace.stat().st_dev)
        return used

    async def poll(self) -> int | None:
        """Return None while the kernel runs."""
        if self._ended is None:
            return 0
        return _code(self._ended.result()) if self._ended.done() else None

    async def wait(self) -> int | None:
        """Wait for the kernel to end."""
        return 0 if self._ended is None else _code(await asyncio.shield(self._ended))

    def why_dead(self) -> str:
        """Return why the kernel ended; empty while it lives."""
        if self._ended is None or not self._ended.done():
            return ""
        return self._breach or words(self._ended.result())

    async def kill(self, restart: bool = False) -> None:  # noqa: ARG002 - the contract of jupyter_client
        """Kill the kernel and all it started, and wait until it is gone."""
        if self._container is not None and self._tasks:
            await self._container.quiet()
            await asyncio.gather(*self._tasks)
            self._tasks.clear()
        if self._bridge is not None:
            await self._bridge.close()
            self._bridge = None

    async def cleanup(self, restart: bool = False) -> None:
        """Kill the kernel, bring its files back and remove the container."""
        try:
            await self.kill(restart)
            if not restart and self.folder is not None:
                await asyncio.to_thread(lending.give_back, self.folder / lending.NOTE)
            await super().cleanup(restart)
        finally:
            await self._leave()

    async def _leave(self) -> None:
        container, self._container = self._container, None
        engine, self._engine = self._engine, None
        gate, self._gate = self._gate, None
        taking, self._taking = self._taking, None
        self._ended, self._furnished = None, False
        try:
            if container is not None:
                await container.remove()
        finally:
            if gate is not None:
                await gate.close()
            if taking is not None:
                taking.close()
            if engine is not None:
                await asyncio.to_thread(engine.client.close)

    async def adopt(self) -> None:
        """Give the kernel's user what was staged after the start, or bring it in."""
        if (there := self._files) is not None:
            await there.lay(self.workspace)
        else:
            await asyncio.to_thread(self._give, anew=False)

    @property
    def _files(self) -> ContainerWorkspace | None:
        """The workspace in the container; None where it is no other than the folder of this machine."""
        return ContainerWorkspace(self._container) if self._container is not None and self._furnished else None

    async def put(self, path: str, data: bytes) -> None:
        """Write a file of the workspace, with the folders above it."""
        await (super().put(path, data) if (there := self._files) is None else there.put(path, data))

    async def get(self, path: str, *, most: int = files.MOST) -> bytes:
        """Return a file of the workspace; links are not followed."""
        return await (super().get(path, most=most) if (there := self._files) is None else there.get(path, most=most))

    async def entries(self, path: str = ".") -> list[Entry]:
        """Return what is in a folder of the workspace, sorted by name."""
        return await (super().entries(path) if (there := self._files) is None else there.entries(path))

    async def collect(self) -> None:
        """Bring the agent's files back into :attr:`workspace`; what is hostile about them stays behind.

        Raises
        ------
        SandboxError
            If the container is gone, or its files are more than the limits allow; then :attr:`workspace` is as it was.
        """
        if (there := self._files) is not None:
            await there.collect(self.workspace, most=self.policy.limits.workspace_bytes)


def _code(ended: Exit) -> int:
    """Return an exit code; 1 if it is unknown."""
    return 1 if ended.code is None else ended.code
