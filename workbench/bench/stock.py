"""The baseline: a stock ipykernel without any wall, started and spoken to by jupyter_client."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

import psutil
from jupyter_client import AsyncKernelClient, AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec

from workbench.kernels import runtime
from workbench.kernels.environments import Environment


class _Manager(AsyncKernelManager):  # type: ignore[misc]
    spec: KernelSpec

    @property
    def kernel_spec(self) -> KernelSpec:
        return self.spec


class StockKernel:
    """A kernel as jupyter_client starts it by itself."""

    def __init__(self, manager: AsyncKernelManager, client: AsyncKernelClient) -> None:
        self._manager, self._client = manager, client

    async def execute(self, code: str) -> dict[str, Any]:
        """Run a cell and return the reply, once the kernel is idle again."""
        request = self._client.execute(code)
        while True:
            message = await self._client.get_iopub_msg(timeout=600)
            if message["parent_header"].get("msg_id") == request and message["content"].get("execution_state") == "idle":
                break
        while (reply := await self._client.get_shell_msg(timeout=600))["parent_header"].get("msg_id") != request:
            pass
        content: dict[str, Any] = reply["content"]
        return content

    @property
    def memory(self) -> float:
        """Its proportional share of memory, in MiB."""
        return float(psutil.Process(self._manager.provisioner.pid).memory_full_info().pss) / 2**20


@contextlib.asynccontextmanager
async def stock_kernel(environment: Environment) -> AsyncIterator[StockKernel]:
    """Start a stock kernel of ``environment`` and wait until it answers.

    ``wait_for_ready`` of jupyter_client would add a fixed 0.2 s, so its answer is awaited here instead.
    """
    folder = runtime.folder(f"s-{secrets.token_hex(4)}")
    manager = _Manager(transport="ipc", ip=str(folder / "k"))
    manager.spec = KernelSpec(
        argv=[str(environment.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"], display_name="stock", language="python"
    )
    await manager.start_kernel(env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    client = manager.client()
    try:
        client.start_channels(hb=False, stdin=False)
        request = client.kernel_info()
        while (await client.get_shell_msg(timeout=60))["parent_header"].get("msg_id") != request:
            pass
        yield StockKernel(manager, client)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
        await asyncio.to_thread(runtime.remove, folder)
