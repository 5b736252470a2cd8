"""The contract of a sandboxed kernel, the same for every backend; ``tests/kernels/test_conformance.py`` checks it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field

from workbench import cancellation
from workbench.errors import SandboxError
from workbench.events import BranchedBy
from workbench.kernels.exchange import MOST
from workbench.kernels.files import Entry
from workbench.observation import Observation, Output


class CannotFork(SandboxError):
    """A kernel cannot be forked as it is now; it is untouched, and a branch can be made by replay."""


class Divergence(BaseModel):
    """An action that did something else when it was replayed."""

    number: int
    """Of the action, from 1."""
    code: str
    recorded: str
    replayed: str
    """What each showed, in short."""


class Branched(BaseModel):
    """How a branch was made."""

    by: BranchedBy
    reason: str = ""
    """Why it was replayed and not forked."""
    not_carried: list[str] = Field(default_factory=list)
    """What it goes without: threads, sockets, child processes of the kernel it was taken from."""
    diverged: list[Divergence] = Field(default_factory=list)
    """Actions that showed something else the second time."""
    seconds: float = 0.0


class Kernel(ABC):
    """A kernel of its own behind walls, that runs code actions and shows what they did.

    What every backend guarantees:

    1. *One action at a time.* Actions run in the order they were given, in one namespace, with a notebook's semantics.
    2. *Bounded.* Whatever an action does, what :meth:`execute` returns is bounded in size, and so is the memory that
       this process spends on it.
    3. *Always an answer.* An action that is interrupted, takes too long, floods, or kills its kernel ends in an
       observation that says so. An action that ignores the interrupt is killed after a few seconds.
    4. *Losses are told.* When the kernel is gone the session starts another on the same files; ``state_lost`` is set and
       the note says why.
    5. *No way out.* The kernel reaches neither this machine's files, processes nor network, but for what its policy
       lends it. :attr:`walls` says what stands, :attr:`missing` what does not.
    6. *Files are data.* :meth:`put`, :meth:`get` and :meth:`entries` never follow a link and never leave the workspace.
    7. *Values are data.* :meth:`push` and :meth:`pull` speak formats that hold no code; nothing is ever unpickled.
    8. *Branches are apart.* A branch starts with the kernel's memory and files, and from then on neither sees what the
       other does. :attr:`branched` says how it was made and what it goes without.
    9. *Nothing stays.* When :meth:`close` has returned, nothing the kernel started is alive, the workspace holds the
       agent's files, and everything else is gone. The same holds within a minute when this process is killed.
    """

    workspace: Path
    """The folder with the agent's files, on this machine: from before :meth:`start` until after :meth:`close`."""
    branched: Branched | None = None
    """How this kernel was made, where it is a branch."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        # a second cancellation must not leave a kernel alive that nothing refers to any more
        await cancellation.finish(self.close())

    @property
    @abstractmethod
    def walls(self) -> list[str]:
        """What stands between the kernel and this machine."""

    @property
    @abstractmethod
    def missing(self) -> list[str]:
        """What does not stand, each with the reason."""

    @property
    @abstractmethod
    def inside(self) -> str:
        """The workspace's path as the kernel sees it."""

    @abstractmethod
    async def start(self) -> None:
        """Start the kernel and wait until it can run code; nothing to do where it can.

        Raises
        ------
        SandboxError
            If it cannot be walled, does not start, or does not answer; nothing half-started stays.
        """

    @abstractmethod
    async def execute(self, code: str, *, timeout: float | None = None, on_output: Callable[[Output], None] | None = None) -> Observation:
        """Run ``code`` as one cell and return everything it showed.

        Parameters
        ----------
        code : str
            A notebook cell: Python, with magics and top-level await.
        timeout : float, optional
            Seconds; by default the session's longest.
        on_output : callable, optional
            Called with each output as it arrives, and with a display again when it is updated. Streams arrive in pieces: one
            that begins with a carriage return takes the place of the line that was shown last.

        Returns
        -------
        Observation
            With status ``ok`` or ``error``; ``timeout``, ``interrupted`` or ``flooded`` where the cell was stopped;
            ``died`` where the kernel is gone.

        Raises
        ------
        SandboxError
            If a kernel that died cannot be started again.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Interrupt the action that runs now; its observation says so. Does nothing between actions."""

    @abstractmethod
    async def restart(self) -> None:
        """Kill the kernel and start another on the same workspace; its variables are lost."""

    @abstractmethod
    async def put(self, path: str, data: bytes) -> None:
        """Write a file of the workspace, with the folders above it.

        Raises
        ------
        UsageError
            If ``path`` leads out of the workspace, or through something that is no folder.
        """

    @abstractmethod
    async def get(self, path: str) -> bytes:
        """Return a file of the workspace.

        Raises
        ------
        UsageError
            If it does not exist, is not a regular file, or is too large.
        """

    @abstractmethod
    async def entries(self, path: str = ".") -> list[Entry]:
        """Return what is in a folder of the workspace, sorted by name.

        Raises
        ------
        UsageError
            If there is no such folder.
        """

    @abstractmethod
    async def push(self, name: str, value: Any) -> None:
        """Make ``value`` a variable of the kernel's.

        Raises
        ------
        UsageError
            If ``name`` is no name, or no format holds ``value``.
        """

    @abstractmethod
    async def pull(self, name: str, *, most: int = MOST) -> Any:
        """Return a copy of a variable of the kernel's.

        Parameters
        ----------
        most : int
            Bytes it may have.

        Raises
        ------
        UsageError
            If there is no such variable, or no format can represent it.
        SandboxError
            If what the kernel sends is not what its format says.
        """

    @abstractmethod
    async def fork(self) -> Kernel:
        """Return a branch: a kernel of its own that goes on with this one's memory and a copy of its files.

        Where memory cannot be forked, the branch is made by running the actions again on the files as they were at the
        beginning. Its workspace lies in this process's private folder; whoever takes the branch removes it after closing.

        Raises
        ------
        SandboxError
            If a branch can be made in neither way; this kernel is untouched.
        """

    @abstractmethod
    async def close(self) -> None:
        """Kill the kernel and all it started, and remove what was made for it; safe to call twice.

        Raises
        ------
        SandboxError
            If the agent's files were elsewhere and cannot be brought back; everything else is done all the same.
        """
