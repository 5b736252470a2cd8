"""A sandboxed kernel that you control yourself: what an agent has, for your own script or notebook."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from workbench import background, blocking
from workbench.errors import Interrupted, UsageError
from workbench.kernels import environments, pool, runtime
from workbench.kernels.contract import Branched
from workbench.kernels.environments import Environment
from workbench.kernels.exchange import MOST
from workbench.kernels.files import Entry
from workbench.kernels.limits import Limits
from workbench.kernels.policy import Grant, Policy
from workbench.kernels.session import SANDBOXES, KernelSession, Sandbox
from workbench.observation import Observation, Output


class Options(TypedDict, total=False):
    """The options of :func:`kernel`, all of which may be left out."""

    sandbox: Sandbox
    workspace: str | Path | None
    limits: Limits | dict[str, Any] | None
    network: Sequence[str]
    grants: Sequence[Grant]
    gpu: bool
    cell_seconds: float


class LiveKernel:
    """A running kernel; :func:`kernel` starts one, and so does :meth:`fork`.

    What it guarantees is written in :class:`workbench.kernels.contract.Kernel`. Close it, or use it in ``with``.
    """

    def __init__(self, session: KernelSession, *, fresh: bool) -> None:
        self._held, self._fresh = session, fresh
        self._process = os.getpid()

    @property
    def _session(self) -> KernelSession:
        if self._process != os.getpid():
            raise UsageError(
                "this kernel belongs to the process that this one is a fork of", hint="start another: wb.kernel() makes one here"
            )
        return self._held

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<sandboxed kernel of {self._held.environment.name} in {self._held.workspace}>"

    @property
    def workspace(self) -> Path:
        """The folder with its files, on this machine."""
        return self._session.workspace

    @property
    def walls(self) -> list[str]:
        """What stands between the kernel and this machine."""
        return self._session.walls

    @property
    def missing(self) -> list[str]:
        """What does not stand, each with the reason."""
        return self._session.missing

    @property
    def branched(self) -> Branched | None:
        """How it was made, where it is a branch."""
        return self._session.branched

    def run(self, code: str, *, timeout: float | None = None, on_output: Callable[[Output], None] | None = None) -> Observation:
        """Run ``code`` as one cell and return everything it showed; Ctrl-C interrupts the cell."""
        return background.wait(self._session.execute(code, timeout=timeout, on_output=on_output))

    def put(self, path: str, data: bytes) -> None:
        """Write a file of the workspace, with the folders above it."""
        background.wait(self._session.put(path, data))

    def get(self, path: str) -> bytes:
        """Return a file of the workspace."""
        return background.wait(self._session.get(path))

    def entries(self, path: str = ".") -> list[Entry]:
        """Return what is in a folder of the workspace, sorted by name."""
        return background.wait(self._session.entries(path))

    def push(self, name: str, value: Any) -> None:
        """Make ``value`` a variable of the kernel's; it is sent as data, never as a pickle."""
        background.wait(self._session.push(name, value))

    def pull(self, name: str, *, most: int = MOST) -> Any:
        """Return a copy of a variable of the kernel's, of at most so many bytes; it comes as data, never as a pickle."""
        return background.wait(self._session.pull(name, most=most))

    def fork(self) -> LiveKernel:
        """Return a branch that goes on with this kernel's memory and a copy of its files; :attr:`branched` says how.

        Raises
        ------
        SandboxError
            If no branch can be made; this kernel is untouched.
        """
        return _whole(self._fork())

    async def _fork(self) -> LiveKernel:
        return LiveKernel(await self._session.fork(), fresh=True)

    def restart(self) -> None:
        """Kill the kernel and start another on the same workspace; its variables are lost."""
        background.wait(self._session.restart())

    def close(self) -> None:
        """Kill the kernel and all it started; a workspace that was made for it goes too. Safe to call twice."""
        if self._process != os.getpid():
            # a fork must not end its parent's kernels
            return
        background.wait(self._session.close())
        if self._fresh:
            runtime.remove(self.workspace)


def kernel(environment: str | Environment = "python-ds", **options: Unpack[Options]) -> LiveKernel:
    """Start a sandboxed kernel.

    Parameters
    ----------
    environment : str or Environment
        Its interpreter and packages; built at first use.
    sandbox : {"local", "none", "docker", "e2b"}
        Where it runs.
    workspace : path, optional
        The folder it works in, which must exist; by default a new one that goes with it.
    limits : Limits or dict, optional
        What it may use, for example ``{"memory": "4G", "cpus": 2}``; by default what the environment says.
    network : sequence of str
        Hosts it may reach by HTTP and HTTPS.
    grants : sequence of Grant
        Files and folders of this machine that it is lent.
    gpu : bool
        Whether it gets this machine's GPUs.
    cell_seconds : float
        Longest time of one cell.

    Raises
    ------
    WorkbenchError
        If the arguments are invalid, or no kernel can be started.

    Examples
    --------
    >>> import workbench as wb
    >>> with wb.kernel("python-min") as kernel:
    ...     kernel.push("x", [1, 2, 3])
    ...     branch = kernel.fork()
    ...     _ = branch.run("x.append(4)")
    ...     kernel.pull("x"), branch.pull("x")
    ([1, 2, 3], [1, 2, 3, 4])
    >>> branch.close()
    """
    return _whole(_start(environment, options))


def _whole(starting: Coroutine[Any, Any, LiveKernel]) -> LiveKernel:
    """Return a kernel once it has started; one that became ready just as Ctrl-C was pressed is closed."""
    try:
        return background.wait(starting)
    except Interrupted as interrupted:
        if interrupted.result is not None:
            interrupted.result.close()
        raise Interrupted from None


async def _start(environment: str | Environment, options: Options) -> LiveKernel:
    found = environments.find(environment) if isinstance(environment, str) else environment
    sandbox, workspace, limits = options.get("sandbox", "local"), options.get("workspace"), options.get("limits")
    if sandbox not in SANDBOXES:
        raise UsageError(f"no sandbox is called {sandbox!r}", hint=f"there are: {', '.join(SANDBOXES)}")
    policy = Policy(
        limits=found.limits if limits is None else limits if isinstance(limits, Limits) else Limits.parse(limits),
        network=tuple(options.get("network", ())),
        grants=tuple(options.get("grants", ())),
        gpu=options.get("gpu", False),
    )
    cell_seconds = options.get("cell_seconds", 600.0)
    await blocking.call(environments.build, found)
    if workspace is None:
        return LiveKernel(await pool.of_this_loop().take(found, sandbox=sandbox, policy=policy, cell_seconds=cell_seconds), fresh=True)
    folder = Path(workspace).expanduser().absolute()
    if not folder.is_dir():
        raise UsageError(f"the workspace {folder} is no folder", hint="make it first, or leave it out for a new one")
    session = KernelSession(found, folder, sandbox=sandbox, policy=policy, cell_seconds=cell_seconds)
    await session.start()
    return LiveKernel(session, fresh=False)
