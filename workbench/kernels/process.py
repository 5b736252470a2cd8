"""Processes behind walls: started, watched, and killed together with everything they ever started."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import secrets
import signal
import stat
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import psutil

from workbench.errors import SandboxError
from workbench.kernels import runtime, trees
from workbench.kernels.cgroups import OWNED, Cgroup
from workbench.kernels.limits import Limits
from workbench.kernels.walls import Enclosure

_TAIL = 16 * 1024
_WATCH_SECONDS = 0.5
_GLANCE_SECONDS = 0.3
_REPORT_SECONDS = 30.0


def _group_name() -> str:
    return f"workbench-{runtime.mine().name}-{secrets.token_hex(4)}{OWNED}"


@functools.cache
def counts_cpu() -> bool:
    """Say whether this machine provides control groups that measure the processor time of what runs in them."""
    group = Cgroup.create(_group_name(), Limits())
    if group is None:
        return False
    counted = group.cpu_seconds() is not None
    group.remove()
    return counted


class SandboxedProcess(ABC):
    """Owns what runs behind one set of walls, from its start to the death of its last child.

    Guarantees: when :meth:`kill` has returned, no process that ran behind the walls is alive, whatever it forked,
    and the cgroup is gone. When this Python dies, everything behind the walls dies with it.

    Parameters
    ----------
    limits : Limits
        Held by a cgroup where there is one, else by a watch that looks twice a second.
    watched : sequence of Path
        Folders it can write on disk, whose size together is held below ``limits.workspace_bytes``. Where they are
        full from the start, a little is allowed on top, so that something can be deleted.
    """

    def __init__(self, limits: Limits, watched: Sequence[Path]) -> None:
        self.walls: list[str] = []
        self.missing: list[str] = []
        self.breach: str | None = None
        """Which limit the process was killed for."""
        self.cpu_seconds: float | None = None
        """Processor time of everything that ran in the sandbox; known once it is killed, if a cgroup measured it."""
        self._limits = limits
        self._watched = list(watched)
        self._disk_limit = limits.workspace_bytes
        self._cgroup: Cgroup | None = None
        self._tail = bytearray()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    @abstractmethod
    def returncode(self) -> int | None:
        """None while it runs."""

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """Its number on this machine; None before it is started."""

    @abstractmethod
    async def wait(self) -> int:
        """Wait until it ends by itself and return its exit code."""

    @abstractmethod
    async def kill(self) -> None:
        """Kill it and all it started, wait until they are gone, and remove what held them."""

    @abstractmethod
    def _tree(self) -> list[psutil.Process]:
        """Return every process behind the walls, parents last."""

    @abstractmethod
    def _kill_tree(self) -> None:
        """Kill every process behind the walls."""

    def processes(self) -> list[psutil.Process]:
        """Return every process behind the walls, and those that hold them."""
        return self._tree()

    @property
    def log(self) -> str:
        """The end of what it wrote to standard error."""
        return self._tail.decode(errors="replace").strip()

    def _keep(self, chunk: bytes) -> None:
        self._tail += chunk
        del self._tail[:-_TAIL]

    async def _make_cgroup(self) -> None:
        if self._watched:
            used = sum([await asyncio.to_thread(trees.size, folder, self._disk_limit) for folder in self._watched])
            self._disk_limit = max(self._disk_limit, used + self._limits.workspace_bytes // 8)
        self._cgroup = Cgroup.create(_group_name(), self._limits)
        if self._cgroup is not None:
            share = ", processor share" if "cpus" in self._cgroup.holds else ""
            self.walls.append(f"cgroup v{self._cgroup.version}: memory, processes{share}")
        else:
            self.walls.append("watchdog: memory")
            self.missing.append("cgroup: none is delegated to this user")
        if self._cgroup is None or "cpus" not in self._cgroup.holds:
            self.missing.append("processor share: not limited here")

    def _disk_used(self) -> int:
        enough = self._disk_limit
        used = sum(trees.size(folder, enough) for folder in self._watched)
        pids = self._cgroup.members() if self._cgroup is not None else [process.pid for process in self._glance()]
        return used + unlinked_size(pids, self._watched[0].stat().st_dev)

    def _glance(self) -> list[psutil.Process]:
        """Return its processes as of a moment ago; cheap enough to be asked often of many kernels."""
        return self._tree()

    def _memory_used(self) -> int:
        return tree_memory(self._glance(), self._limits.memory)

    def _has_ended(self) -> bool:
        """Say whether the program has ended, although the sandbox has not."""
        return False

    async def _watch(self) -> None:
        ended = False
        while self.returncode is None:
            # seen twice, because it takes a moment until the program is reaped
            before, ended = ended, self._has_ended()
            if before and ended:
                await self._break("a process that it started kept it from being reaped")
            if self._cgroup is None and await asyncio.to_thread(self._memory_used) > self._limits.memory:
                await self._break(f"memory limit of {self._limits.memory} bytes")
            if self._watched and await asyncio.to_thread(self._disk_used) > self._disk_limit:
                await self._break(f"workspace limit of {self._limits.workspace_bytes} bytes")
            await asyncio.sleep(_WATCH_SECONDS)

    async def _break(self, reason: str) -> None:
        self.breach = reason
        self._kill_tree()
        await self.wait()

    async def wait_at_most(self, seconds: float) -> int:
        """Wait until it ends, and kill it after ``seconds``; return its exit code."""
        try:
            async with asyncio.timeout(seconds):
                return await self.wait()
        except TimeoutError:
            self.breach = f"time limit of {seconds:g} s"
            await self.kill()
            return await self.wait()

    async def _end_cgroup(self) -> None:
        """Kill what is left in the group, whoever its parents were, and remove it."""
        if self._cgroup is not None:
            await self._cgroup.kill()
            if self.breach is None and self._cgroup.out_of_memory():
                self.breach = f"memory limit of {self._limits.memory} bytes"
            self.cpu_seconds = self._cgroup.cpu_seconds()
            self._cgroup.remove()
            self._cgroup = None

    def why_dead(self) -> str:
        """Return why it died, as far as this machine can tell."""
        if self.breach is None and self._cgroup is not None and self._cgroup.out_of_memory():
            self.breach = f"memory limit of {self._limits.memory} bytes"
        if self.breach is not None:
            return self.breach
        number = (self.returncode or 0) - 128 if (self.returncode or 0) > 128 else -(self.returncode or 0)
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(number).name}"
        last = self.log.splitlines()[-1:] or [""]
        return f"exit code {self.returncode}" + (f": {last[0][-300:]}" if last[0] else "")


class WalledProcess(SandboxedProcess):
    """A program with walls of its own.

    Parameters
    ----------
    enclosure : Enclosure
        What to run.
    limits, watched
        As for :class:`SandboxedProcess`.
    listens : bool
        Whether it is written to, by :attr:`stdin`.
    """

    def __init__(self, enclosure: Enclosure, limits: Limits, *, watched: Sequence[Path] = (), listens: bool = False) -> None:
        super().__init__(limits, [*watched, *enclosure.scratch])
        self.walls += enclosure.walls
        self.missing += enclosure.missing
        self._enclosure, self._listens = enclosure, listens
        self._process: asyncio.subprocess.Process | None = None

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.returncode

    @property
    def pid(self) -> int | None:
        """Of what holds the walls: the program is below it."""
        return None if self._process is None else self._process.pid

    @property
    def stdin(self) -> asyncio.StreamWriter:
        """What the program reads, where it listens."""
        assert self._process is not None and self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> asyncio.StreamReader:
        """What the program writes to standard output after the report of its walls."""
        assert self._process is not None and self._process.stdout is not None
        return self._process.stdout

    async def start(self) -> None:
        """Start it and wait until its inner walls stand.

        Raises
        ------
        SandboxError
            If it ends before that; the message holds its last words.
        """
        await self._make_cgroup()
        argv = self._enclosure.argv
        if self._cgroup is not None:
            argv = self._cgroup.entering(argv)
        self._process = await asyncio.create_subprocess_exec(
            *argv,
            env=self._enclosure.environ,
            stdin=asyncio.subprocess.PIPE if self._listens else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=2**24,
        )
        self._tasks.append(asyncio.create_task(self._keep_tail()))
        report: dict[str, list[str]] = {}
        with contextlib.suppress(TimeoutError, ValueError):
            async with asyncio.timeout(_REPORT_SECONDS):
                report = json.loads(await self.stdout.readline() or "null") or {}
        if "walls" not in report:
            await self.kill()
            raise SandboxError(
                f"the sandbox did not start: {self.log[-600:] or f'exit code {self.returncode}'}",
                hint="workbench doctor says what is missing",
            )
        self.walls += report["walls"]
        self.missing += report["missing"]
        self._tasks.append(asyncio.create_task(self._watch()))

    async def _keep_tail(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            self._keep(chunk)

    def _tree(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            if self._process is not None and self._process.returncode is None:
                top = psutil.Process(self._process.pid)
                return [*top.children(recursive=True), top]
        return []

    def _kill_tree(self) -> None:
        """Kill everything below, then what held it; a process namespace dies with its first process."""
        tree = self._tree()
        # bubblewrap's own process goes by itself once its namespace is empty: waiting for it is waiting for that
        for each in (tree[:-1] or tree) if self._enclosure.walls else tree:
            with contextlib.suppress(psutil.Error):
                each.kill()

    def _has_ended(self) -> bool:
        """Say whether the program has ended; one that is traced cannot be reaped, so bubblewrap waits for its tracer."""
        if self._process is None or not self._enclosure.walls:
            return False
        first = [pid for init in children(self._process.pid) for pid in children(init) if _is_program(pid)]
        return bool(first) and not any(map(runs, first))

    async def wait(self) -> int:
        """Wait until it ends by itself and return its exit code."""
        assert self._process is not None
        return await self._process.wait()

    async def kill(self) -> None:
        """Kill it and all it started, wait until they are gone, and remove what held them."""
        if self._process is not None:
            self._kill_tree()
            try:
                async with asyncio.timeout(5):
                    await self._process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, 9)
                await self._process.wait()
        await self._end_cgroup()
        for task in self._tasks[1:]:
            task.cancel()
        if self._tasks:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self._tasks[0]
        self._tasks.clear()


class Glances:
    """Who started whom on this machine, looked up at most a few times a second however many ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0.0
        self._children: dict[int, list[int]] = {}

    def unlock(self) -> None:
        """Replace the lock in a fork of this process, which has none of the threads that could hold it."""
        self._lock = threading.Lock()

    def below(self, pid: int) -> list[psutil.Process]:
        """Return every process that ``pid`` has started, and those that they have."""
        with self._lock:
            if time.monotonic() - self._taken > _GLANCE_SECONDS:
                self._children = children_of_all()
                self._taken = time.monotonic()
            children = self._children
        found, waiting = [], [pid]
        while waiting:
            for child in children.get(waiting.pop(), []):
                waiting.append(child)
                with contextlib.suppress(psutil.Error):
                    found.append(psutil.Process(child))
        return found


glances = Glances()


os.register_at_fork(after_in_child=glances.unlock)


def children_of_all() -> dict[int, list[int]]:
    """Return the children of every process of this machine."""
    found: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            # the name of a program stands in brackets and may hold anything
            with contextlib.suppress(OSError):
                parent = int(Path(entry.path, "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
                found.setdefault(parent, []).append(int(entry.name))
    return found


def children(pid: int) -> list[int]:
    """Return the processes that ``pid`` has started, or adopted, and not reaped."""
    with contextlib.suppress(OSError):
        lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
        return [int(child) for line in lists for child in line.split()]
    return []


def runs(pid: int) -> bool:
    """Say whether any thread of a process is still running; the first may have ended before the others."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                # the name of a program stands in brackets and may hold anything
                if (task / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in ("Z", "X"):
                    return True
    return False


def _is_program(pid: int) -> bool:
    """Say whether a process below bubblewrap's first process is the one that it was started for."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("NSpid:"):
                return line.split()[-1] == "2"
    return False


def tree_memory(processes: Sequence[psutil.Process], enough: int) -> int:
    """Return the bytes of memory that ``processes`` hold together, counting what they share once.

    What they hold one by one is quicker to ask, and is all that is asked where even that is below ``enough``.
    """
    resident = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            resident += process.memory_info().rss
    if resident <= enough:
        return resident
    proportional = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            try:
                proportional += process.memory_full_info().pss
            except psutil.AccessDenied:
                proportional += process.memory_info().rss
    return proportional


def unlinked_size(pids: Sequence[int], device: int) -> int:
    """Return the bytes on ``device`` of files that have no name any more, but are held open by one of ``pids``."""
    sizes: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    found = descriptor.stat()
                    if stat.S_ISREG(found.st_mode) and found.st_nlink == 0 and found.st_dev == device:
                        sizes[found.st_ino] = found.st_blocks * 512
    return sum(sizes.values())
