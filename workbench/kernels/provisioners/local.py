"""The local sandbox as a kernel provisioner: an ipykernel behind the walls of this machine."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import psutil
from traitlets import Bool, Instance

from workbench.errors import SandboxError
from workbench.kernels import image as images
from workbench.kernels import lending, runtime, walls
from workbench.kernels.allowlist import Allowlist
from workbench.kernels.forked import ForkedProcess
from workbench.kernels.image import Image, NoImages
from workbench.kernels.network import Gate
from workbench.kernels.process import SandboxedProcess, WalledProcess
from workbench.kernels.provisioners.base import INSIDE_FILE, Branching, SandboxProvisioner
from workbench.kernels.view import BRANCHES, CONNECTION, INSIDE, WORKSPACE, Mount, View, gpus, inside_environ

_GATE_PORT = 3128


class LocalProvisioner(SandboxProvisioner):
    """Runs a kernel behind bubblewrap, forked from an image process; or behind a wall of its own where that cannot be."""

    walled = Bool(True)
    """False for sandbox ``none``."""
    branching = Instance(Branching, allow_none=True)
    """Which kernel to branch from, in place of starting one."""
    process: SandboxedProcess | None = None
    owner: int | None = None
    """The user of this machine that the kernel runs as; None where that is this process's own."""

    @property
    def has_process(self) -> bool:
        """Whether a kernel was launched and not cleaned up."""
        return self.process is not None

    @property
    def sandbox(self) -> str:
        """The name of the sandbox, as ``--sandbox`` takes it."""
        return "local" if self.walled else "none"

    @property
    def pid(self) -> int | None:
        """The kernel's process on this machine."""
        return None if self.process is None else self.process.pid

    @property
    def inside(self) -> str:
        """The workspace's path as the kernel sees it."""
        return WORKSPACE if self.namespaced else str(self.workspace)

    @property
    def can_fork(self) -> bool:
        """Whether a live kernel can be forked with its memory."""
        return isinstance(self.process, ForkedProcess)

    @property
    def namespaced(self) -> bool:
        """Whether the kernel has namespaces, and so paths, of its own."""
        return self.walled and walls.protection().kind == "bubblewrap"

    async def launch(self) -> None:
        """Start the kernel behind the best walls there are."""
        if not self.environment.built:
            raise SandboxError(
                f"environment {self.environment.name} is not built", hint=f"workbench environments build {self.environment.name}"
            )
        if self.branching is not None:
            await self._branch(self.branching)
        else:
            await self._fork_or_enclose()
        assert self.process is not None
        self.walls, self.missing = self.process.walls, self.process.missing

    async def _fork_or_enclose(self) -> None:
        lacking = []
        if self.namespaced:
            try:
                await self._fork()
                return
            except NoImages as error:
                lacking.append(error.message)
        await self._enclose()
        assert self.process is not None
        self.process.missing += lacking

    async def _enclose(self) -> None:
        assert self.folder is not None
        if self.policy.network and self.walled:
            raise SandboxError(
                f"the hosts {', '.join(self.policy.network)} cannot be let through here: the kernel cannot be forked from an image",
                hint="workbench doctor says what is missing; sandbox docker or e2b may offer it",
            )
        connection = self.connection_file.parent
        mounts = [
            *(Mount(grant.host, grant.inside, grant.writable) for grant in self.policy.grants),
            Mount(self.workspace, WORKSPACE, writable=True),
            Mount(connection, str(connection), writable=True),
        ]
        view = View(self.environment, mounts, self.policy.hide, WORKSPACE, self._devices())
        arguments = [str(self.connection_file)]
        enclosure = await asyncio.to_thread(
            walls.enclose, INSIDE / "kernel.py", arguments, view, self.policy.limits, self.folder, walled=self.walled
        )
        if enclosure.uid is not None:
            self.owner = enclosure.uid
            await asyncio.to_thread(self._give_files, enclosure.uid)
        self.process = WalledProcess(enclosure, self.policy.limits, watched=[self.workspace, connection])
        try:
            await self.process.start()
        except SandboxError:
            self.process = None
            raise

    async def _fork(self) -> None:
        own = [Mount(grant.host, grant.inside, grant.writable) for grant in self.policy.grants]
        if not self.workspace.is_relative_to(runtime.mine()):
            own.append(Mount(self.workspace, WORKSPACE, writable=True))
        async with images.lent(self.environment, own, self._devices()) as image:
            await self._fork_from(image)

    async def _fork_from(self, image: Image) -> None:
        user, self.owner = image.new_user()
        await asyncio.to_thread(self._hand_over)
        gate = Gate(Allowlist(self.policy.network)) if self.policy.network else None
        environ = inside_environ(self.environment, WORKSPACE)
        if gate is not None:
            environ |= self.way_out(_GATE_PORT)
        request = {
            "uid": user,
            "mounts": self._mounts(),
            "hide": [str(self.environment.site_packages / name) for name in self.policy.hide],
            "scratch_bytes": self.policy.limits.scratch_bytes,
            "limits": walls.rlimits(self.policy.limits),
            "environ": environ,
            "cwd": WORKSPACE,
            "connection_file": f"{CONNECTION}/{INSIDE_FILE}",
            "proxy_port": 0 if gate is None else _GATE_PORT,
            **self._paths(image),
        }
        self.process = process = ForkedProcess(self.policy.limits, self._watched(), self.workspace)
        process.owner = self.owner
        await process.start_from(image, request, gate)

    async def _branch(self, branching: Branching) -> None:
        """Let the other kernel fork, with copies of its files at the same paths."""
        parent = branching.origin.process
        assert isinstance(parent, ForkedProcess) and parent.family is not None
        self.owner = parent.owner
        await asyncio.to_thread(self._hand_over)
        name = secrets.token_hex(8)
        gate = self.connection_file.parent / "keeper"
        self.process = process = ForkedProcess(self.policy.limits, self._watched(), self.workspace)
        process.owner = self.owner
        request = {
            "root": f"{BRANCHES}/{name}",
            "connection_file": f"{CONNECTION}/{INSIDE_FILE}",
            "keeper": f"{CONNECTION}/{gate.name}",
            **self._paths(parent.family.image),
        }
        most = self.policy.limits.workspace_bytes
        await parent.family.ask(branch=name, of=parent.root, mounts=self._mounts(), most_bytes=most)
        await process.branch_from(parent, name, gate, lambda: branching.ask(request))

    def _watched(self) -> list[Path]:
        return [self.workspace, self.connection_file.parent]

    def _mounts(self) -> list[tuple[str, str]]:
        """What lies in this process's own folder, which every image sees, and where the kernel finds it."""
        own = runtime.mine()
        pairs = [(self.workspace, WORKSPACE), (self.connection_file.parent, CONNECTION)]
        return [(str(host.relative_to(own)), inside) for host, inside in pairs if host.is_relative_to(own)]

    def _paths(self, image: Image) -> dict[str, list[str]]:
        lent = [grant.inside for grant in self.policy.grants if grant.writable]
        lent += map(str, image.devices)
        return {"readable": image.readable, "writable": [WORKSPACE, CONNECTION, BRANCHES, *lent, *walls.WRITABLE]}

    def _devices(self) -> tuple[Path, ...]:
        """Return the devices that the policy lends."""
        if not self.policy.gpu or not self.walled:
            return ()
        if not (found := gpus()):
            raise SandboxError("a GPU was asked for, and this machine has none", hint="leave it out of the policy")
        return found

    def _hand_over(self) -> None:
        """Tell the kernel where to serve as it sees it, and make its user the owner of its files."""
        self.write_inside(CONNECTION)
        if self.owner is None:
            return
        self._give_files(self.owner)
        for folder in (self.connection_file.parent, self.workspace):
            # that user passes through what lies above; who else may is decided further up
            for above in (
                folder.parents[: len(folder.relative_to(runtime.mine()).parts) - 1] if folder.is_relative_to(runtime.mine()) else ()
            ):
                above.chmod(above.stat().st_mode | 0o111)

    def processes(self) -> list[psutil.Process]:
        """Return the processes of this machine that the kernel consists of."""
        return [] if self.process is None else self.process.processes()

    async def adopt(self) -> None:
        """Give the kernel's user what was staged after the start."""
        if self.owner is not None:
            await asyncio.to_thread(lending.give, [self.workspace], self.owner)

    def _give_files(self, owner: int) -> None:
        """Make ``owner`` the owner of the kernel's files; a folder of the user's is only lent."""
        assert self.folder is not None
        lending.give([self.connection_file.parent], owner)
        if self.workspace.is_relative_to(runtime.mine()):
            lending.give([self.workspace], owner)
        else:
            lending.lend(self.workspace, owner, self.folder / lending.NOTE)

    async def poll(self) -> int | None:
        """Return None while the kernel runs."""
        return 0 if self.process is None else self.process.returncode

    async def wait(self) -> int | None:
        """Wait for the kernel to end."""
        return 0 if self.process is None else await self.process.wait()

    async def kill(self, restart: bool = False) -> None:  # noqa: ARG002 - the contract of jupyter_client
        """Kill the kernel and everything it started, and wait until it is gone."""
        if self.process is not None:
            await self.process.kill()

    def why_dead(self) -> str:
        """Return why it died, as far as this machine can tell."""
        return self.process.why_dead() if self.process is not None and self.process.returncode is not None else ""

    async def cleanup(self, restart: bool = False) -> None:
        """Kill, give back a workspace that was lent, and remove what the sandbox was made of."""
        await self.kill(restart)
        if not restart and self.folder is not None:
            await asyncio.to_thread(lending.give_back, self.folder / lending.NOTE)
        await super().cleanup(restart)

    @classmethod
    async def sweep(cls) -> list[str]:
        """Remove the folders and cgroups of dead processes."""
        return await asyncio.to_thread(runtime.sweep)
