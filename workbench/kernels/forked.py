"""The process of a kernel that was forked: from an image, or from another kernel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from workbench.errors import SandboxError
from workbench.kernels.contract import CannotFork
from workbench.kernels.family import REPORT_SECONDS, Ending, Family, Wire
from workbench.kernels.image import Image
from workbench.kernels.limits import Limits
from workbench.kernels.network import Gate
from workbench.kernels.process import SandboxedProcess, glances


class ForkedProcess(SandboxedProcess):
    """A kernel forked from an image, or from another kernel.

    Parameters
    ----------
    limits, watched
        As for :class:`workbench.kernels.process.SandboxedProcess`.
    workspace : Path
        Its workspace, by which its processes are told from those of the family's others.
    """

    def __init__(self, limits: Limits, watched: Sequence[Path], workspace: Path) -> None:
        super().__init__(limits, watched)
        self.family: Family | None = None
        self.number = 0
        """Of the kernel's process, within its namespace."""
        self.owner: int | None = None
        """The user of this machine that it runs as; None where that is this process's own."""
        self.root = ""
        """The name of its root folder; empty for the first of the family."""
        self._workspace = workspace
        self._kernel: Ending | None = None
        self._returncode: int | None = None
        self._over = asyncio.Event()
        self._log: int = -1

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._returncode

    @property
    def pid(self) -> int | None:
        """Its number on this machine; None before it is started."""
        return None if self._kernel is None else self._kernel.pid

    async def start_from(self, image: Image, request: dict[str, Any], gate: Gate | None = None) -> None:
        """Be forked from ``image`` as ``request`` says, and wait until the walls stand.

        Parameters
        ----------
        gate : Gate, optional
            Serves the socket within the network namespace that ``request`` asks for.

        Raises
        ------
        SandboxError
            If that fails; the message holds the last words.
        """
        self.walls += image.walls
        self.missing += image.missing
        await self._make_cgroup()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        wire = Wire(ours)
        log, end = os.pipe()
        self._listen_to_log(log)
        try:
            image.fork(request, [theirs.fileno(), end])
        finally:
            theirs.close()
            os.close(end)
        try:
            _, keeper, _ = await self._first(wire, "born")
            # while that process lays out what the kernel will see
            await asyncio.to_thread(self._enter, keeper)
            _, _, descriptors = await self._first(wire, "arranged")
            if gate is not None:
                await gate.serve(socket.socket(fileno=descriptors[0]))
            ending = Ending(keeper)
            wire.send(go=True)
            report, pid, _ = await self._first(wire, "walls")
        except BaseException:
            # the keeper ends when the other end of its connection is closed
            wire.close()
            raise
        self._born(report, pid)
        self.family = Family(image, wire, ending)
        self.family.members.append(self)
        self.family.first = self
        self.family.gate = gate

    async def branch_from(
        self, parent: ForkedProcess, root: str, gate: Path, ask: Callable[[], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        """Be forked from another kernel, and wait until the walls stand.

        Parameters
        ----------
        root : str
            The name of the root folder that the keeper has made.
        gate : Path
            Where the branch is to report; a socket is made there.
        ask : callable
            Sends that kernel the request for a branch and returns its answer.

        Raises
        ------
        CannotFork
            If the kernel says why it cannot be forked.
        SandboxError
            If the branch does not come up.
        """
        family = parent.family
        assert family is not None
        await self._make_cgroup()
        self.walls += ["a branch, forked from a kernel with its memory", *(wall for wall in parent.walls if wall not in self.walls)]
        self.missing += [each for each in parent.missing if each not in self.missing]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(str(gate))
            if self.owner is not None:
                os.chown(gate, self.owner, self.owner)
            listening.listen(1)
            listening.setblocking(False)
            answer = await ask()
            if answer["refused"]:
                raise CannotFork(str(answer["refused"])[:1000])
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(REPORT_SECONDS):
                    ours, _ = await loop.sock_accept(listening)
            except TimeoutError:
                raise SandboxError("the branch did not report") from None
        wire = Wire(ours)
        log, end = os.pipe()
        self._listen_to_log(log)
        try:
            report, _, _ = await self._first(wire, "walls")
            pid = wire.peer
            await asyncio.to_thread(self._enter, pid)
            await family.ask(watch=report["number"])
            self.family, self.root = family, root
            family.members.append(self)
            self._born({**report, "walls": []}, pid)
            wire.send_descriptor(end)
        finally:
            os.close(end)
            wire.close()
        return answer

    async def _first(self, wire: Wire, key: str) -> tuple[dict[str, Any], int, list[int]]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPORT_SECONDS):
                message, pid, descriptors = await wire.receive()
            if key in message:
                return message, pid, descriptors
            raise SandboxError(f"the sandbox did not start: {message.get('failed') or self.log[-600:] or 'it ended'}")
        raise SandboxError(f"the sandbox did not start in {REPORT_SECONDS:.0f} s: {self.log[-600:]}")

    def _enter(self, pid: int) -> None:
        if self._cgroup is not None:
            self._cgroup.add(pid)

    def _born(self, report: dict[str, Any], pid: int) -> None:
        self.walls += report["walls"]
        self.missing += report["missing"]
        self.number = report["number"]
        self._kernel = Ending(pid)
        self._tasks += [asyncio.create_task(self._await_end()), asyncio.create_task(self._watch())]

    async def _await_end(self) -> None:
        assert self._kernel is not None
        await self._kernel.over.wait()
        # its keeper knows how it ended, and is quick to say so unless it is gone too
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._over.wait()
        self.ended(-signal.SIGKILL)

    def ended(self, code: int) -> None:
        """Note how it ended, the first time this is known."""
        if self._returncode is None:
            self._returncode = code
        self._over.set()

    def _listen_to_log(self, log: int) -> None:
        os.set_blocking(log, False)
        self._log = log
        asyncio.get_running_loop().add_reader(log, self._read_log)

    def _read_log(self) -> None:
        with contextlib.suppress(BlockingIOError):
            if chunk := os.read(self._log, 65536):
                self._keep(chunk)
            else:
                self._close_log()

    def _close_log(self) -> None:
        if self._log >= 0:
            asyncio.get_running_loop().remove_reader(self._log)
            os.close(self._log)
            self._log = -1

    async def wait(self) -> int:
        """Wait until it ends by itself and return its exit code."""
        await self._over.wait()
        assert self._returncode is not None
        return self._returncode

    def processes(self) -> list[psutil.Process]:
        """Return its processes; the keeper is counted with the first of the family."""
        keeper = [psutil.Process(self.family.keeper.pid)] if self.family is not None and self.family.first is self else []
        return [*self._tree(), *keeper]

    def _tree(self) -> list[psutil.Process]:
        """Return its processes; in a family they are known by the workspace they see."""
        return [] if self.family is None else self._own(self.family, self.family.below())

    def _glance(self) -> list[psutil.Process]:
        """Return its processes as of a moment ago."""
        return [] if self.family is None else self._own(self.family, glances.below(self.family.keeper.pid))

    def _own(self, family: Family, everyone: list[psutil.Process]) -> list[psutil.Process]:
        if len(family.members) == 1:
            return everyone
        own = identity(self._workspace)
        return [each for each in everyone if identity(Path(f"/proc/{each.pid}/root/workspace")) == own]

    def _kill_tree(self) -> None:
        """Kill its processes; the keeper goes with the last of the family."""
        for each in self._tree():
            with contextlib.suppress(psutil.Error):
                each.kill()

    async def kill(self) -> None:
        """Kill it and all it started, wait until they are gone, and remove what held them."""
        if (family := self.family) is not None:
            gone = False
            while len(family.members) > 1 and not family.keeper.over.is_set() and not gone:
                # one that forks and ends all the time is never where it was seen, unless everything stands still
                async with family.still():
                    gone = not self._tree()
                    self._kill_tree()
            await family.leave(self)
            if not family.members and family.first is not None:
                await family.first._end_cgroup()
        if family is None or self is not family.first:
            await self._end_cgroup()
        # one that was refused before it was born has nobody who says that it ended
        self.ended(-signal.SIGKILL)
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        if self._kernel is not None:
            self._kernel.close()
        if self._log >= 0:
            self._read_log()
            self._close_log()


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells one folder from every other, or None where there is none to be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
