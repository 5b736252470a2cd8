"""The local sandbox as a kernel provisioner: a stock ipykernel behind the walls of this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerBase
from traitlets import Bool, Instance

from workbench.errors import SandboxError
from workbench.kernels import walls
from workbench.kernels.limits import Limits
from workbench.kernels.process import WalledProcess


class LocalProvisioner(KernelProvisionerBase):  # type: ignore[misc]
    """Runs the kernel of :class:`workbench.kernels.session.KernelSession` behind walls.

    Interrupts go by message, so no signal crosses the walls but the last one.
    """

    view = Instance(walls.View)
    """What the kernel sees beside its workspace."""
    limits = Instance(Limits)
    scratch = Instance(Path)
    """A folder of the caller's for small files that the walls are made of."""
    workspace = Instance(Path)
    """The folder shown as ``/workspace``."""
    walled = Bool(True)
    """False for sandbox ``none``."""
    process: WalledProcess | None = None

    @property
    def has_process(self) -> bool:
        """Whether a kernel was launched and not cleaned up."""
        return self.process is not None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:  # noqa: ARG002 - the contract of jupyter_client
        """Start the walled kernel on the manager's connection file."""
        connection = Path(self.parent.connection_file)
        view = walls.View(
            self.view.environment,
            [
                *self.view.mounts,
                walls.Mount(self.workspace, walls.WORKSPACE, writable=True),
                walls.Mount(connection.parent, str(connection.parent), writable=True),
            ],
            self.view.hide,
            walls.WORKSPACE,
        )
        enclosure = await asyncio.to_thread(
            walls.enclose, walls.INSIDE / "kernel.py", [str(connection)], view, self.limits, self.scratch, walled=self.walled
        )
        if enclosure.uid is not None:
            await asyncio.to_thread(give, [connection.parent, self.workspace], enclosure.uid)
        self.process = WalledProcess(enclosure, self.limits, watched=[self.workspace, connection.parent])
        try:
            await self.process.start()
        except SandboxError:
            self.process = None
            raise
        info: KernelConnectionInfo = self.parent.get_connection_info()
        self.connection_info = info
        return info

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Write the connection file; no variable of the user's environment is passed on."""
        kwargs.pop("env", None)
        if self.parent and not Path(self.parent.connection_file).exists():
            self.parent.write_connection_file()
        return {**kwargs, "cmd": []}

    async def poll(self) -> int | None:
        """Return None while the kernel runs."""
        return 0 if self.process is None else self.process.returncode

    async def wait(self) -> int | None:
        """Wait for the kernel to end."""
        return 0 if self.process is None else await self.process.wait()

    async def send_signal(self, signum: int) -> None:
        """Kill on SIGKILL and SIGTERM; any other signal stays outside the walls."""
        if signum in (signal.SIGKILL, signal.SIGTERM):
            await self.kill()

    async def kill(self, restart: bool = False) -> None:  # noqa: ARG002 - the contract of jupyter_client
        """Kill the kernel and everything it started, and wait until it is gone."""
        if self.process is not None:
            await self.process.kill()

    async def terminate(self, restart: bool = False) -> None:
        """Kill: a sandboxed kernel has nothing of value to tidy up."""
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        """Nothing is left once the process is dead."""
        await self.kill(restart)


def give(folders: list[Path], uid: int) -> None:
    """Make everything below ``folders`` belong to ``uid``; follows no links."""
    if sys.platform == "win32":
        raise SandboxError("files cannot be given to another user on Windows")
    for folder in folders:
        os.chown(folder, uid, uid)
        for root, names, files in os.walk(folder):
            for name in names + files:
                os.chown(Path(root, name), uid, uid, follow_symlinks=False)
