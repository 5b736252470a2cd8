"""Many kernels at once, and many more one after the other: nothing of them stays."""

from __future__ import annotations

import asyncio
import gc
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest
from _pytest.mark import ParameterSet

from tests.conftest import require_walls
from workbench.kernels import image, runtime
from workbench.kernels.environments import Environment
from workbench.kernels.pool import Pool
from workbench.kernels.session import KernelSession

from .tools import eventually, groups, text_of, told

pytestmark = [pytest.mark.walls, pytest.mark.timeout(1500)]


def sizes(short: int, long: int) -> list[ParameterSet]:
    """Return how many kernels there are in CI, and in a soak test that takes its time."""
    return [pytest.param(short, marks=pytest.mark.soak), pytest.param(long, marks=pytest.mark.long_soak)]


def held() -> dict[str, int]:
    """What this process and its images hold of the machine."""
    gc.collect()
    this = psutil.Process()
    images = [child for child in this.children(recursive=True) if child.is_running()]
    return {
        "processes": len(images),
        "descriptors": this.num_fds(),
        "folders": len(list(runtime.mine().iterdir())),
        "groups": groups(),
        "mounts": len(Path("/proc/self/mounts").read_text().splitlines()),
        "MiB": this.memory_info().rss // 2**20,
        "MiB of the image": sum(each.memory_info().rss for each in images) // 2**20,
    }


@pytest.mark.parametrize("alive", sizes(50, 200))
async def test_many_kernels_are_alive_at_once(ds: Environment, alive: int) -> None:
    require_walls("bubblewrap")
    async with Pool() as pool, AsyncExitStack() as stack:
        kernels = []
        for number in range(alive):
            kernel = await stack.enter_async_context(await pool.take(ds))
            stack.callback(shutil.rmtree, kernel.workspace, True)
            kernels.append(kernel)
            observation = await kernel.execute(f"import pandas, sklearn\nmine = {number}")
            assert observation.status == "ok", told(observation)
        answers = await asyncio.gather(*(kernel.execute("mine") for kernel in kernels))
    assert [int(text_of(answer)) for answer in answers] == list(range(alive))


@pytest.mark.parametrize("closed", sizes(300, 2000))
async def test_kernels_leave_nothing(ds: Environment, closed: int) -> None:
    """Half of them forked from the image, half from those; they run, some die, all are closed."""
    require_walls("bubblewrap")

    async def one(number: int) -> None:
        kernel = await pool.take(ds)
        branch: KernelSession | None = None
        try:
            assert text_of(await kernel.execute(f"x = {number}\nopen('f', 'w').write('x' * 1000)\nx")) == str(number)
            branch = await kernel.fork()
            assert branch.branched is not None and branch.branched.by == "fork", branch.branched
            assert text_of(await branch.execute("x += 1\nx")) == str(number + 1)
            if number % 10 == 0:
                assert (await branch.execute("import os\nos.kill(os.getpid(), 9)")).state_lost
        finally:
            for each in (kernel, branch) if number % 2 else (branch, kernel):
                if each is not None:
                    await each.close()
                    shutil.rmtree(each.workspace)

    async with Pool() as pool:
        await asyncio.gather(*(one(number) for number in range(8)))
        before = held()
        for start in range(0, closed // 2, 4):
            await asyncio.gather(*(one(number) for number in range(start, start + 4)))
        # processes are reaped and descriptors closed a moment after
        exact = ("processes", "folders", "groups", "mounts")
        assert await eventually(lambda: all(held()[key] <= before[key] for key in exact)), (before, held())
        after = held()
    assert after["descriptors"] <= before["descriptors"] + 5, (before, after)
    assert after["MiB"] <= before["MiB"] + 60, (before, after)
    assert after["MiB of the image"] <= before["MiB of the image"] + 20, (before, after)
    image.close_idle()
