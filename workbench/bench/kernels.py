"""Kernels compared with a stock ipykernel: time to the first reply, a round trip, memory, branches."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Callable

import psutil

from workbench.bench.measure import Comparison
from workbench.bench.stock import StockKernel, stock_kernel
from workbench.errors import SandboxError
from workbench.kernels import environments, image, runtime
from workbench.kernels.environments import Environment
from workbench.kernels.limits import Limits
from workbench.kernels.policy import Policy
from workbench.kernels.pool import Pool
from workbench.kernels.session import KernelSession

Tell = Callable[[str], None]

STOCK = "a stock ipykernel"
IMPORTS = "import pandas, sklearn.linear_model, sklearn.ensemble, sklearn.model_selection"
GIGABYTE = (
    "import numpy as np\nfrom sklearn.ensemble import RandomForestClassifier\narray = np.ones(2**27)\nX = np.random.rand(2000, 8)\n"
    "model = RandomForestClassifier(50).fit(X, X[:, 0] > 0.5)"
)
_MOMENT_SECONDS = 3.0
_ROOMY = Policy(limits=Limits(memory=6 * 2**30, processes=1024))


async def measure(rounds: int = 7, *, crowd: int = 50, tell: Tell = lambda _: None) -> list[Comparison]:
    """Return every comparison of this file.

    Parameters
    ----------
    rounds : int
        How often each time is taken, ours and the baseline's in turns.
    crowd : int
        How many idle kernels are alive when the memory of one is taken.
    tell : callable, optional
        Hears what is measured next.
    """
    environment = await asyncio.to_thread(environments.build, environments.find("python-ds"))
    found = [*await _starts(environment, rounds, tell), *await _first(environment, rounds, tell)]
    tell("round trips")
    found.append(await _round_trips(environment, rounds))
    tell(f"memory of {crowd} idle kernels")
    found.append(await _memory(environment, crowd))
    tell("branches of a kernel that holds a gigabyte")
    found += await _branches(environment, rounds)
    return found


@contextlib.asynccontextmanager
async def _kernel(environment: Environment, policy: Policy | None = None) -> AsyncIterator[KernelSession]:
    workspace = runtime.folder(f"w-{secrets.token_hex(4)}")
    try:
        async with KernelSession(environment, workspace, policy=policy) as session:
            yield session
    finally:
        await asyncio.to_thread(runtime.remove, workspace)


async def _run(kernel: KernelSession | StockKernel, code: str) -> None:
    answer = await kernel.execute(code)
    status = answer["status"] if isinstance(answer, dict) else answer.status
    if status != "ok":
        raise SandboxError(f"a benchmark's cell ended in {status}: {answer}"[:2000])


async def _starts(environment: Environment, rounds: int, tell: Tell) -> list[Comparison]:
    stock: list[float] = []
    pooled: list[float] = []
    forked: list[float] = []
    alone: list[float] = []
    for number in range(rounds):
        tell(f"starts, round {number + 1} of {rounds}")
        began = time.perf_counter()
        async with stock_kernel(environment) as kernel:
            await _run(kernel, IMPORTS)
            stock.append(time.perf_counter() - began)
        image.close_idle()
        for times in (alone, forked):
            began = time.perf_counter()
            async with _kernel(environment) as session:
                await _run(session, IMPORTS)
                times.append(time.perf_counter() - began)
        async with Pool(1) as pool:
            pool.warm(environment)
            await pool.filled()
            began = time.perf_counter()
            taken = await pool.take(environment)
            await _run(taken, IMPORTS)
            pooled.append(time.perf_counter() - began)
            await taken.close()
    what = "to the first reply with pandas and scikit-learn imported"
    return [
        Comparison(name=f"{what}: a kernel from the pool", unit="s", baseline_name=STOCK, baseline=stock, ours=pooled, target="100x"),
        Comparison(name=f"{what}: forked from the image", unit="s", baseline_name=STOCK, baseline=stock, ours=forked, target="10x"),
        Comparison(name=f"{what}: the image itself not yet there", unit="s", baseline_name=STOCK, baseline=stock, ours=alone),
    ]


async def _first(environment: Environment, rounds: int, tell: Tell) -> list[Comparison]:
    """Time the first kernel of a process: asked for at once, and a moment after the start of its image has begun."""
    imports = f"import {', '.join(environment.preload)}"
    stock: list[float] = []
    at_once: list[float] = []
    forked: list[float] = []
    warmed: list[float] = []
    for number in range(rounds):
        tell(f"first kernels, round {number + 1} of {rounds}")
        began = time.perf_counter()
        async with stock_kernel(environment) as kernel:
            await _run(kernel, imports)
            stock.append(time.perf_counter() - began)
        image.close_idle()
        for times in (at_once, forked, warmed):
            if times is warmed:
                image.close_idle()
                image.warm(environment)
                await asyncio.sleep(_MOMENT_SECONDS)
            began = time.perf_counter()
            async with _kernel(environment) as session:
                await _run(session, imports)
                times.append(time.perf_counter() - began)
    first = "the first kernel of a process"
    same = f"{STOCK} with the same imports"
    later = f"{first}, {_MOMENT_SECONDS:g} s after its image was announced"
    return [
        Comparison(name=f"{first}, asked for at once", unit="s", baseline_name=same, baseline=stock, ours=at_once, target="1/1.3"),
        Comparison(name=later, unit="s", baseline_name="one forked from the image", baseline=forked, ours=warmed, target="1/2"),
    ]


async def _round_trips(environment: Environment, rounds: int) -> Comparison:
    async def trips(kernel: KernelSession | StockKernel) -> float:
        times = []
        for _ in range(50):
            began = time.perf_counter()
            await _run(kernel, "1 + 1")
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    stock, ours = [], []
    async with stock_kernel(environment) as kernel, _kernel(environment) as session:
        for _ in range(rounds):
            stock.append(await trips(kernel))
            ours.append(await trips(session))
    return Comparison(name="a round trip of one cell", unit="s", baseline_name=STOCK, baseline=stock, ours=ours, target="1/1.25")


def _share(session: KernelSession) -> float:
    """Return the proportional share of memory of a session's processes, its keeper included, in MiB."""
    total = 0.0
    for process in session.provisioner.processes():
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / 2**20


async def _memory(environment: Environment, crowd: int) -> Comparison:
    async with stock_kernel(environment) as kernel, contextlib.AsyncExitStack() as stack:
        await _run(kernel, IMPORTS)
        sessions = [await stack.enter_async_context(_kernel(environment)) for _ in range(crowd)]
        for session in sessions:
            await _run(session, IMPORTS)
        return Comparison(
            name=f"memory of the last of {crowd} idle kernels with that imported",
            unit="MiB",
            baseline_name=STOCK,
            baseline=[kernel.memory],
            ours=[_share(session) for session in sessions[-5:]],
            target="6x",
        )


async def _branches(environment: Environment, rounds: int) -> list[Comparison]:
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(_kernel(environment, _ROOMY))
        await _run(session, GIGABYTE)
        alone = _share(session)
        times, branches = [], []
        for _ in range(16):
            began = time.perf_counter()
            branch = await session.fork()
            await _run(branch, "array[0]")
            times.append(time.perf_counter() - began)
            assert branch.branched is not None
            if branch.branched.by != "fork":
                raise SandboxError(f"a benchmark's branch was not forked: {branch.branched.reason}")
            branches.append(branch)
            stack.callback(runtime.remove, branch.workspace)
            stack.push_async_callback(branch.close)
        together = _share(session) + sum(sum(p.memory_full_info().pss for p in b.provisioner.processes()) / 2**20 for b in branches)
    replays = []
    for _ in range(max(1, rounds // 3)):
        began = time.perf_counter()
        async with _kernel(environment, _ROOMY) as session:
            await _run(session, GIGABYTE)
            # the rest of a history of ten seconds, which nothing can make shorter
            await _run(session, f"import time\ntime.sleep({max(0.0, 10 - (time.perf_counter() - began)):.3f})")
            await _run(session, "array[0]")
        replays.append(time.perf_counter() - began)
    return [
        Comparison(
            name="a branch of a kernel with 1 GB and a fitted model, to its first reply",
            unit="s",
            baseline_name="replaying a history of ten seconds",
            baseline=replays,
            ours=times,
            target="50x, and within 0.12 s",
        ),
        Comparison(
            name="memory of that kernel and 16 branches of it, all alive",
            unit="MiB",
            baseline_name="the kernel alone",
            baseline=[alone],
            ours=[together],
            target="1/2",
        ),
    ]
