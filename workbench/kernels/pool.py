"""A pool of kernels that are ready: started ahead of need, each handed out once and never again."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

from workbench.errors import WorkbenchError
from workbench.kernels import runtime
from workbench.kernels.environments import Environment
from workbench.kernels.policy import Policy
from workbench.kernels.session import KernelSession, Sandbox

_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = WeakKeyDictionary()
_size = 0
_AFTER_SECONDS = 0.2


def of_this_loop() -> Pool:
    """Return the pool that all runs of the running event loop share."""
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        _pools[loop] = Pool(_size)
    return _pools[loop]


def keep_ready(size: int) -> None:
    """Let pools made from now on keep ``size`` kernels ready; for a process that lives on, as a notebook's does."""
    global _size
    _size = size


@dataclass(frozen=True)
class Kind:
    """What two kernels must have in common to be interchangeable."""

    environment: Environment
    sandbox: Sandbox
    policy: Policy


class Pool:
    """Keeps kernels ready, a number of each kind that has been asked for.

    Each has an empty workspace of its own in this process's private folder; whoever takes the kernel removes it. A
    kernel that was taken never comes back: when it is closed, it is gone.

    Parameters
    ----------
    size : int
        How many of each kind are kept ready; 0 starts every kernel when it is asked for. Kernels that are not on this
        machine, and may cost money while they wait, are made ready only by :meth:`warm`.

    Examples
    --------
    >>> import asyncio
    >>> from workbench.kernels import environments
    >>> async def main():
    ...     async with Pool(1) as pool, await pool.take(environments.build(environments.find("python-min"))) as kernel:
    ...         return (await kernel.execute("6 * 7")).outputs[0].text
    >>> asyncio.run(main())
    '42'
    """

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self._ready: defaultdict[Kind, deque[KernelSession]] = defaultdict(deque)
        self._starting: dict[Kind, asyncio.Task[None]] = {}
        self._taken: Counter[Kind] = Counter()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def take(
        self, environment: Environment, *, sandbox: Sandbox = "local", policy: Policy | None = None, cell_seconds: float = 600
    ) -> KernelSession:
        """Return an unused kernel with an empty workspace: one that is ready, or a new one.

        Raises
        ------
        SandboxError
            If none can be started.
        """
        kind = Kind(environment, sandbox, policy or Policy())
        session = await self._healthy(kind) or await self._start(kind)
        session.cell_seconds = cell_seconds
        self._taken[kind] += 1
        if sandbox in ("local", "none"):
            self._refill(kind)
        return session

    async def _healthy(self, kind: Kind) -> KernelSession | None:
        ready = self._ready[kind]
        while ready:
            session = ready.popleft()
            if await session.provisioner.poll() is None:
                return session
            await _discard(session)
        return None

    async def _start(self, kind: Kind) -> KernelSession:
        workspace = runtime.folder(f"w-{secrets.token_hex(4)}")
        session = KernelSession(kind.environment, workspace, sandbox=kind.sandbox, policy=kind.policy)
        try:
            await session.start()
        except BaseException:
            await asyncio.to_thread(runtime.remove, workspace)
            raise
        return session

    def warm(self, environment: Environment, *, sandbox: Sandbox = "local", policy: Policy | None = None) -> None:
        """Begin to make kernels of a kind ready."""
        self._refill(Kind(environment, sandbox, policy or Policy()))

    async def filled(self) -> None:
        """Wait until as many kernels are ready as there should be; one that cannot be started is not waited for."""
        await asyncio.gather(*self._starting.values())

    def ready(self) -> int:
        """Return how many kernels wait to be taken."""
        return sum(map(len, self._ready.values()))

    def _refill(self, kind: Kind) -> None:
        if not self._closed and kind not in self._starting and len(self._ready[kind]) < self.size:
            task = self._starting[kind] = asyncio.create_task(self._fill(kind))
            task.add_done_callback(lambda _: self._starting.pop(kind, None))

    async def _fill(self, kind: Kind) -> None:
        # who has just taken one goes first
        await asyncio.sleep(_AFTER_SECONDS if self._taken[kind] else 0)
        # the error is raised when a kernel is requested and none can be started; here nobody would see it
        with contextlib.suppress(WorkbenchError):
            while len(self._ready[kind]) < self.size:
                session = await self._start(kind)
                await session.warm_up()
                self._ready[kind].append(session)

    async def close(self) -> None:
        """Close every kernel that was not taken."""
        self._closed = True
        starting = list(self._starting.values())
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        waiting = [session for sessions in self._ready.values() for session in sessions]
        self._ready.clear()
        await asyncio.gather(*map(_discard, waiting))


async def _discard(session: KernelSession) -> None:
    await session.close()
    await asyncio.to_thread(runtime.remove, session.workspace)
