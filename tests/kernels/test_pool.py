"""The pool: kernels that are ready, each handed out once."""

from __future__ import annotations

import shutil

import pytest

from workbench.errors import SandboxError
from workbench.kernels import image, pool, runtime
from workbench.kernels.environments import Environment
from workbench.kernels.limits import Limits
from workbench.kernels.policy import Policy
from workbench.kernels.pool import Pool
from workbench.kernels.session import KernelSession

from .tools import eventually, text_of

pytestmark = pytest.mark.walls


async def done_with(kernel: KernelSession) -> None:
    await kernel.close()
    shutil.rmtree(kernel.workspace)


async def test_a_kernel_that_is_ready_is_handed_out_and_another_made(minimal: Environment) -> None:
    async with Pool(2) as ready:
        ready.warm(minimal)
        await ready.filled()
        assert ready.ready() == 2
        kernel = await ready.take(minimal, cell_seconds=5)
        assert ready.ready() == 1 and kernel.cell_seconds == 5
        assert text_of(await kernel.execute("import os\nos.listdir('.'), len(In)")) == "([], 2)"
        await ready.filled()
        assert ready.ready() == 2
        await done_with(kernel)


async def test_no_kernel_is_handed_out_twice(minimal: Environment) -> None:
    async with Pool(1) as ready:
        seen = set()
        for number in range(4):
            kernel = await ready.take(minimal)
            assert text_of(await kernel.execute("'mine' in globals()")) == "False"
            await kernel.execute(f"mine = {number}\nopen('mine', 'w').close()")
            seen.add(kernel.workspace)
            await done_with(kernel)
            await ready.filled()
        assert len(seen) == 4


async def test_one_that_died_while_it_waited_is_not_handed_out(minimal: Environment) -> None:
    async with Pool(1) as ready:
        ready.warm(minimal)
        await ready.filled()
        (waiting,) = next(iter(ready._ready.values()))
        for process in waiting.provisioner.processes():
            process.kill()
        assert await eventually(lambda: waiting.provisioner.process.returncode is not None)  # type: ignore[attr-defined]
        workspace = waiting.workspace
        kernel = await ready.take(minimal)
        assert kernel is not waiting
        assert not workspace.exists()
        assert text_of(await kernel.execute("1 + 1")) == "2"
        await done_with(kernel)


async def test_kinds_are_kept_apart(minimal: Environment, ds: Environment) -> None:
    small = Policy(limits=Limits(memory=300 * 2**20))
    async with Pool(1) as ready:
        for environment, policy in ((minimal, None), (minimal, small), (ds, None)):
            ready.warm(environment, policy=policy)
        await ready.filled()
        assert ready.ready() == 3
        kernel = await ready.take(minimal, policy=small)
        assert kernel.policy == small and kernel.environment == minimal
        await done_with(kernel)


async def test_closing_leaves_nothing(minimal: Environment) -> None:
    before = set(runtime.mine().iterdir())
    ready = Pool(3)
    ready.warm(minimal)
    await ready.close()
    image.close_idle()
    assert set(runtime.mine().iterdir()) <= before
    kernel = await ready.take(minimal)
    assert ready.ready() == 0
    await done_with(kernel)


async def test_what_cannot_be_started_is_told_to_whoever_asks(minimal: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: KernelSession) -> None:
        raise SandboxError("no kernels today")

    before = set(runtime.mine().iterdir())
    async with Pool(1) as ready:
        monkeypatch.setattr(KernelSession, "start", fail)
        ready.warm(minimal)
        await ready.filled()
        assert ready.ready() == 0
        with pytest.raises(SandboxError, match="no kernels today"):
            await ready.take(minimal)
    assert set(runtime.mine().iterdir()) == before


async def test_the_runs_of_one_loop_share_a_pool() -> None:
    assert pool.of_this_loop() is pool.of_this_loop()
