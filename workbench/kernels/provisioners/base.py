"""What every backend gives: a sandbox that holds one Jupyter kernel, behind jupyter_client's provisioner contract."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerBase
from traitlets import Instance

from workbench.errors import UsageError
from workbench.kernels import authorities, environments, files, runtime
from workbench.kernels.allowlist import Allowlist
from workbench.kernels.environments import Environment
from workbench.kernels.files import Entry
from workbench.kernels.labels import Label
from workbench.kernels.network import proxy_environ
from workbench.kernels.policy import Policy
from workbench.kernels.provisioners.server import told
from workbench.kernels.view import CONNECTION

SOCKET_PATH_BYTES = 107
"""Longest path of a unix socket on Linux."""
INSIDE_FILE = "inside.json"


@dataclass(frozen=True)
class Branching:
    """Where a branch comes from.

    Attributes
    ----------
    origin : SandboxProvisioner
        Of the kernel that is to be forked; idle.
    ask : callable
        Sends that kernel a request for a branch and returns its answer.
    """

    origin: Any
    ask: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class SandboxProvisioner(KernelProvisionerBase):  # type: ignore[misc]
    """One kernel in one sandbox.

    Guarantees of every backend: the kernel serves on ipc sockets in a private folder of this machine, whatever lies
    between; no variable of the user's environment reaches it; it is interrupted by message; when :meth:`kill` has
    returned nothing it started is alive; when :meth:`cleanup` has returned nothing of the sandbox is left, here or
    elsewhere, but the workspace.

    A backend implements :meth:`launch`, :meth:`poll`, :meth:`wait`, :meth:`kill`, :meth:`why_dead` and :meth:`sweep`; one
    whose workspace is not a folder of this machine implements the four methods for files and :meth:`collect` too.

    In a kernelspec on disk ``environment`` is a name, ``policy`` a table and ``workspace`` the path of a folder, or left
    out for a fresh one.
    """

    environment = Instance(Environment)
    """The kernel's interpreter and packages; built."""
    policy = Instance(Policy, args=())
    workspace = Instance(Path, allow_none=True)
    """The folder of this machine with the agent's files: staged before the launch, and theirs again after :meth:`collect`.

    None until the launch for a fresh one, which is kept over a restart and goes with the kernel.
    """

    walls: list[str]
    missing: list[str]
    ended_by: str = ""
    """The limit that workbench ended the kernel for."""
    folder: Path | None = None
    """Private to this kernel: ``c/`` holds its sockets and ``c/kernel.json``; the rest is the backend's."""

    def __init__(self, **kwargs: Any) -> None:
        with told(kwargs.get("parent")):
            if unknown := set(kwargs) - set(self.class_trait_names()):
                raise UsageError(
                    f"the kernelspec's config has {', '.join(map(repr, sorted(unknown)))}, which this sandbox does not know",
                    hint="workbench kernels install writes one that works",
                )
            super().__init__(**{**kwargs, **_from_disk(kwargs)})
        self.walls, self.missing = [], []
        self._fresh = self.workspace is None
        self._restarts = -1

    @property
    @abstractmethod
    def sandbox(self) -> str:
        """The name of the sandbox, as ``--sandbox`` takes it."""

    @property
    def pid(self) -> int | None:
        """The kernel's process on this machine; None if there is none."""
        return None

    @property
    def can_fork(self) -> bool:
        """Whether a live kernel can be forked with its memory."""
        return False

    @property
    def inside(self) -> str:
        """The workspace's path as the kernel sees it."""
        return "/workspace"

    @property
    def connection_file(self) -> Path:
        """The file that tells the kernel where to serve; its sockets lie beside it."""
        assert self.folder is not None
        return self.folder / "c" / "kernel.json"

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Move the manager to ipc sockets in a private folder: a sandboxed kernel has no network to serve on."""
        kwargs.pop("env", None)
        manager = self.parent
        first = self.folder is None
        with told(manager):
            try:
                connection = await asyncio.to_thread(self._make_folders)
                if first:
                    manager.cleanup_connection_file()
                    manager.transport, manager.ip = "ipc", str(connection / "k")
                    for number, port in enumerate(("shell_port", "iopub_port", "stdin_port", "hb_port", "control_port"), start=1):
                        setattr(manager, port, number)
                manager.write_connection_file()
                if Path(manager.connection_file) != self.connection_file:
                    shutil.copyfile(manager.connection_file, self.connection_file)
                    self.connection_file.chmod(0o600)
            except BaseException:
                # a disk that is full lets folders be made, and no files
                await self.cleanup()
                raise
        return {**await super().pre_launch(**kwargs), "cmd": []}

    def write_inside(self, folder: str) -> None:
        """Write what a kernel finds beside its sockets, which it sees in ``folder``.

        That is the connection file, as :data:`INSIDE_FILE`, and, if it may reach hosts, the user's own certificate authorities.
        """
        info = json.loads(self.connection_file.read_text())
        info["ip"] = f"{folder}/{Path(info['ip']).name}"
        inside = self.connection_file.with_name(INSIDE_FILE)
        inside.write_text(json.dumps(info))
        inside.chmod(0o600)
        if self.policy.network and (certificates := authorities.certificates()):
            inside.with_name(authorities.FILE).write_text(certificates)

    def way_out(self, port: int) -> dict[str, str]:
        """Return the variables by which programs in the kernel reach hosts: the proxy, and whose certificates are good."""
        found = proxy_environ(port, Allowlist(self.policy.network))
        if self.connection_file.with_name(authorities.FILE).exists():
            found |= authorities.environ(f"{CONNECTION}/{authorities.FILE}")
        return found

    def _make_folders(self) -> Path:
        """Make what is not there; the sockets' folder anew each time, for a kernel that is dead may have left anything in it."""
        first = self.folder is None
        if self.folder is None:
            self.folder = runtime.folder(f"k-{secrets.token_hex(4)}")
        connection = self.folder / "c"
        if len(os.fsencode(connection / "k-99")) > SOCKET_PATH_BYTES:
            raise UsageError(f"{connection} is too long for a unix socket", hint="point TMPDIR at a shorter path")
        runtime.remove(connection)
        connection.mkdir(mode=0o700)
        if first and self._fresh:
            self.workspace = self.folder / "workspace"
            self.workspace.mkdir(mode=0o700)
        return connection

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:  # noqa: ARG002 - the contract of jupyter_client
        """Start the sandbox and the kernel in it; where that fails nothing half-started stays."""
        with told(self.parent):
            try:
                await self.launch()
            except BaseException:
                # one that had run before keeps its files for another try
                await self.cleanup(restart=self._restarts >= 0)
                raise
        self._restarts += 1
        self._label()
        info: KernelConnectionInfo = self.parent.get_connection_info()
        self.connection_info = info
        return info

    def _label(self) -> None:
        assert self.folder is not None
        workspace = None if self._fresh else str(self.workspace)
        started = time.time()
        Label(self.folder.name, self.environment.name, self.sandbox, self.pid, os.getpid(), workspace, started, self._restarts).write(
            self.folder
        )

    async def send_signal(self, signum: int) -> None:
        """Kill on SIGKILL and SIGTERM; any other signal stays outside: interrupts go by message."""
        if signum in (signal.SIGKILL, signal.SIGTERM):
            await self.kill()

    async def end(self, reason: str) -> None:
        """Kill the kernel because it has reached a limit."""
        self.ended_by = reason
        await self.kill()

    async def terminate(self, restart: bool = False) -> None:
        """Kill: a sandboxed kernel has nothing of value to tidy up."""
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        """Kill, and remove what the sandbox was made of; for a restart the connection stays as it is."""
        if restart and (died := self.why_dead()):
            self.log.warning("the kernel in %s ended: %s; it is started again: variables are lost, files are kept", self.folder, died)
        await self.kill(restart)
        try:
            await self.collect()
        finally:
            if not restart and self.folder is not None:
                folder, self.folder, self._restarts = self.folder, None, -1
                await asyncio.to_thread(runtime.remove, folder)

    @abstractmethod
    async def launch(self) -> None:
        """Make the sandbox, start the kernel on :attr:`connection_file`, fill :attr:`walls` and :attr:`missing`.

        Raises
        ------
        SandboxError
            If it cannot be; says what is missing and what to do.
        """

    @abstractmethod
    def why_dead(self) -> str:
        """Return why the kernel ended, in a few words: a limit, a signal, an exit code with its last words; empty while it lives."""

    def processes(self) -> list[psutil.Process]:
        """Return the processes of this machine that the kernel consists of; none where it runs elsewhere."""
        return []

    @classmethod
    @abstractmethod
    async def sweep(cls) -> list[str]:
        """Remove what dead processes left of this kind of sandbox, and return the names of what was removed.

        Raises
        ------
        SandboxError
            If it cannot be looked for; says what is missing and what to do.
        """

    async def put(self, path: str, data: bytes) -> None:
        """Write a file of the workspace, with the folders above it.

        Raises
        ------
        UsageError
            If ``path`` leads out of the workspace, or through something that is no folder.
        """
        await asyncio.to_thread(files.put, self.workspace, path, data)

    async def get(self, path: str, *, most: int = files.MOST) -> bytes:
        """Return a file of the workspace; links are not followed.

        Raises
        ------
        UsageError
            If it does not exist, is not a regular file, or has more than ``most`` bytes.
        """
        return await asyncio.to_thread(files.get, self.workspace, path, most=most)

    async def entries(self, path: str = ".") -> list[Entry]:
        """Return what is in a folder of the workspace, sorted by name.

        Raises
        ------
        UsageError
            If there is no such folder.
        """
        return await asyncio.to_thread(files.entries, self.workspace, path)

    async def adopt(self) -> None:
        """Let the kernel have what was put into :attr:`workspace` since the launch, as if it had been there before."""

    async def collect(self) -> None:
        """Bring the agent's files back into :attr:`workspace`; called when the kernel is dead, before :meth:`cleanup`."""


def _from_disk(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values in a kernelspec on disk as the objects that they represent."""
    found: dict[str, Any] = {}
    environment, policy, workspace = (config.get(key) for key in ("environment", "policy", "workspace"))
    if environment is None:
        raise UsageError("the kernelspec names no environment", hint="workbench kernels install writes one that does")
    if isinstance(environment, str):
        found["environment"] = environments.find(environment)
    if isinstance(policy, Mapping):
        limits = policy.get("limits", {})
        if isinstance(limits, Mapping):
            limits = {**asdict(found.get("environment", environment).limits), **limits}
        found["policy"] = Policy.parse({**policy, "limits": limits})
    if isinstance(workspace, str):
        found["workspace"] = path = Path(workspace).expanduser()
        if not path.is_absolute() or not path.is_dir():
            raise UsageError(
                f"the workspace {workspace} is no folder of this machine", hint="make it, or install the kernelspec with another"
            )
    return found
