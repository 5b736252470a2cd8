"""Whom a hostile program attacks, and from where."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.kernels import runtime
from workbench.kernels.environments import Environment
from workbench.kernels.forked import ForkedProcess
from workbench.kernels.limits import Limits
from workbench.kernels.policy import Policy
from workbench.kernels.session import KernelSession, Sandbox

from ..tools import PATIENCE, processes_of, text_of, told
from .host import Host

MIB = 2**20
LIMITS = Limits(
    memory=768 * MIB,
    processes=64,
    file_bytes=64 * MIB,
    open_files=1024,
    scratch_bytes=64 * MIB,
    workspace_bytes=96 * MIB,
    output_bytes=2**40,
)
"""Small, so that breaking them is quick; but one attacker makes many floods, and must be able to show the last one too."""

PLANT = "import os, resource\ncanary = {canary!r}\nopen('secret', 'w').write(canary)\nos.chmod('secret', 0o666)"
SERVE = """
import ctypes, socket
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
memory = libc.shmat(libc.shmget(0x7ea1, 4096, 0o1600), None, 0)
ctypes.memmove(memory, canary.encode(), len(canary))
libc.msgget(0x7ea1, 0o1600)
server, hidden = socket.create_server(('127.0.0.1', 0)), socket.socket(socket.AF_UNIX)
hidden.bind('\\0trunk')
hidden.listen()
server.getsockname()[1]
"""
"""What a kernel makes after it was branched, of which its branches shall have nothing."""

WHOLE = (
    "(open('secret').read(), canary, os.stat('secret').st_mode, os.stat('secret').st_mtime_ns, sorted(os.listdir('.')), os.getpid(),"
    " [resource.getrlimit(each) for each in range(10)], os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0)))"
)
"""What must stay as it is of a kernel that is attacked."""


@dataclass
class Arena:
    """An attacker, its victims, and the host they live on.

    A victim has a secret in its memory and its files. It is another run's kernel; where the attacker is a branch, it is
    the kernel that was branched, and a second branch of that.

    Attributes
    ----------
    backend : str
        One of ``table.COLUMNS``.
    """

    backend: str
    sandbox: Sandbox
    environment: Environment
    host: Host
    victims: list[KernelSession] = field(default_factory=list)
    _attacker: KernelSession | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _whole: list[str] = field(default_factory=list)

    @property
    def attacker(self) -> KernelSession:
        """The kernel that all attacks share which leave no mark on it."""
        assert self._attacker is not None
        return self._attacker

    async def ready(self) -> None:
        """Set everything up, unless it is; a branch that was started again is one no more."""
        if self._attacker is not None and (self.backend != "branch" or self._attacker.provisioner.process.root):
            self.host.harm()
            return
        await self.clear()
        first = await self._start()
        if self.backend == "branch":
            # so that there are files, folders and connections from before
            await first.execute(
                "import os, resource\nopen('shared', 'w').write('before')\nfolder, file = os.open('.', os.O_RDONLY), open('shared', 'r+')"
            )
            self._attacker, second = await self._branch(first), await self._branch(first)
            self.victims = [first, second]
        else:
            self.victims, self._attacker = [first], await self._start()
        for victim in self.victims:
            await self._in(victim, PLANT.format(canary=self.host.canary))
        if self.backend == "branch":
            self.host.facts["family_ports"] = [int(await self._in(first, SERVE))]
        self._whole = [await self._in(victim, WHOLE) for victim in self.victims]
        self._tell()
        self.host.harm()

    async def clear(self) -> None:
        """Close everything."""
        self._attacker = None
        self.victims.clear()
        await self._stack.aclose()

    async def verify(self) -> None:
        """Fail unless the host and the victims are as they were."""
        harm = self.host.harm()
        assert harm == []
        for victim, whole in zip(self.victims, self._whole, strict=True):
            assert await self._in(victim, WHOLE) == whole

    def prelude(self) -> str:
        """Code that goes before an attack."""
        return self.host.prelude()

    @contextlib.asynccontextmanager
    async def fresh(self) -> AsyncIterator[KernelSession]:
        """An attacker for one attack only."""
        async with AsyncExitStack() as stack:
            yield await (self._branch(self.victims[0], stack) if self.backend == "branch" else self._start(stack))

    @staticmethod
    def remove(workspace: Path) -> None:
        """Remove a workspace."""
        shutil.rmtree(workspace, ignore_errors=True)

    async def _start(self, stack: AsyncExitStack | None = None) -> KernelSession:
        stack = stack or self._stack
        workspace = runtime.folder(f"w-{os.urandom(4).hex()}")
        stack.callback(self.remove, workspace)
        # all sandboxes of the stand-in for E2B have one user, whose processes are counted together
        limits = replace(LIMITS, processes=1024) if self.sandbox == "e2b" else LIMITS
        session = KernelSession(self.environment, workspace, sandbox=self.sandbox, policy=Policy(limits=limits), cell_seconds=PATIENCE)
        return await stack.enter_async_context(session)

    async def _branch(self, kernel: KernelSession, stack: AsyncExitStack | None = None) -> KernelSession:
        stack = stack or self._stack
        branch = await kernel.fork()
        stack.callback(self.remove, branch.workspace)
        stack.push_async_callback(branch.close)
        assert branch.branched is not None and branch.branched.by == "fork"
        return branch

    async def _in(self, victim: KernelSession, code: str) -> str:
        observation = await victim.execute(code)
        assert observation.status == "ok", told(observation)
        return text_of(observation, "result")

    def _tell(self) -> None:
        """Name to the attacker what it is to go for."""
        files: list[str] = []
        sockets: list[str] = []
        pids: set[int] = set()
        for victim in self.victims:
            connection = victim.provisioner.connection_file.parent
            files += [str(victim.workspace), str(victim.workspace / "secret"), str(connection), str(connection / "kernel.json")]
            sockets += [str(path) for path in connection.iterdir() if path.is_socket()]
            process: Any = getattr(victim.provisioner, "process", None)
            if process is not None:
                pids |= set(processes_of(victim))
            if isinstance(process, ForkedProcess):
                # as their image sees them
                files += [str(Path("/runs", path.relative_to(runtime.mine()))) for path in (victim.workspace, connection)]
        if self.backend == "branch":
            # what is on the host a branch attacks like any kernel; here it is the others of its family, as it sees them
            files = [path for path in files if path.startswith("/runs")]
            pids = {victim.provisioner.process.number for victim in self.victims}
        self.host.facts |= {"victim_files": files, "victim_sockets": sockets, "victim_pids": sorted(pids)}
        assert files and sockets and (pids or self.sandbox != "local"), json.dumps(self.host.facts)
