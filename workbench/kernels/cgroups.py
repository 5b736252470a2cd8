"""The control group that holds a sandbox to its limits, where the machine lends one."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workbench.errors import SandboxError
from workbench.kernels.limits import Limits

OWNED = ".owned"
"""The suffix of groups that can be swept: while their owner lives, it holds a lock on the group's first folder."""

_DYING_SECONDS = 2.0
_PERIOD = 100_000
"""Microseconds over which a share of the processors is measured out."""

_MAY_LACK = {"memory.memsw.limit_in_bytes", "memory.swap.max", "memory.oom.group"}
"""What a kernel without swap, or an older one, does not have."""

_BEFORE_DEATH = {"pids.max": "0", "cpu.cfs_quota_us": "-1", "cpu.max": "max"}
"""Nothing new starts, and what dies takes the time it needs to die."""


@dataclass
class Cgroup:
    """A control group made for one sandbox, in version 1 or 2 of the kernel's interface.

    Attributes
    ----------
    folders : list of Path
        One folder under version 2; one a controller under version 1.
    holds : set of str
        Which of the limits it enforces, by their names in :class:`~workbench.kernels.limits.Limits`: ``memory`` and
        ``processes`` always, ``cpus`` where there is a controller for it.
    """

    folders: list[Path] = field(default_factory=list)
    version: int = 2
    holds: set[str] = field(default_factory=set)
    _lock: int | None = None
    """A descriptor of the first folder, with a lock that is released when this process ends for any reason."""

    @classmethod
    def create(cls, name: str, limits: Limits, *, mounts: str | None = None, own: str | None = None) -> Cgroup | None:
        """Make a cgroup that enforces ``limits``, or return None where this machine lends none.

        Parameters
        ----------
        mounts, own : str, optional
            The text of ``/proc/self/mounts`` and ``/proc/self/cgroup``; read from there by default.
        """
        points, paths = _hierarchies(mounts, own)
        if "memory" in points and "pids" in points:
            return cls._version_1(name, limits, points, paths)
        if "unified" in points and "unified" in paths:
            return cls._version_2(name, limits, points["unified"], points["unified"] / paths["unified"])
        return None

    @classmethod
    def _version_1(cls, name: str, limits: Limits, points: dict[str, Path], paths: dict[str, str]) -> Cgroup | None:
        group = cls(version=1)
        for controller, held, settings in (
            # the order matters: memory with swap may never be below memory alone
            ("memory", "memory", {"memory.limit_in_bytes": limits.memory, "memory.memsw.limit_in_bytes": limits.memory}),
            ("pids", "processes", {"pids.max": limits.processes}),
            ("cpuacct", "", {}),
            ("cpu", "cpus", {"cpu.cfs_period_us": _PERIOD, "cpu.cfs_quota_us": round(limits.cpus * _PERIOD)}),
        ):
            if controller in points and group._make(points[controller] / paths.get(controller, "") / name, settings):
                group.holds |= {held} - {""}
            elif held in ("memory", "processes"):
                group.remove()
                return None
        return group

    @classmethod
    def _version_2(cls, name: str, limits: Limits, root: Path, own: Path) -> Cgroup | None:
        needed = {"memory.max": limits.memory, "memory.swap.max": 0, "memory.oom.group": 0, "pids.max": limits.processes}
        # a group that holds processes cannot have controlled children, so a sibling is tried before a child
        for parent in dict.fromkeys([own.parent, own] if own != root else [own]):
            group = cls(version=2)
            if group._make(parent / name, needed):
                group.holds |= {"memory", "processes"}
                if group._make(parent / name, {"cpu.max": f"{round(limits.cpus * _PERIOD)} {_PERIOD}"}):
                    group.holds.add("cpus")
                return group
            group.remove()
        return None

    def _make(self, folder: Path, settings: Mapping[str, int | str]) -> bool:
        # controllers may share one hierarchy
        if folder not in self.folders:
            try:
                folder.mkdir()
            except OSError:
                return False
            if not self.folders and not self._hold(folder):
                # a sweep in between took it for abandoned
                return self._make(folder, settings)
            self.folders.append(folder)
        for file, value in settings.items():
            try:
                (folder / file).write_text(str(value))
            except OSError:
                if file not in _MAY_LACK:
                    return False
        return True

    def _hold(self, folder: Path) -> bool:
        """Lock a new folder for as long as this process lives; return whether it is still there."""
        try:
            self._lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return False
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        if folder.exists():
            _owned[self._lock] = self
            return True
        self._let_go()
        return False

    def _let_go(self) -> None:
        if self._lock is not None:
            _owned.pop(self._lock, None)
            os.close(self._lock)
            self._lock = None

    @staticmethod
    def end_own(prefix: str) -> None:
        """Remove the groups of this process whose names begin with ``prefix``, and kill what is left in them."""
        for group in list(_owned.values()):
            if any(folder.name.startswith(prefix) for folder in group.folders):
                group._end()

    @staticmethod
    def sweep(prefix: str) -> None:
        """Remove this user's groups whose owner is dead and whose name starts with ``prefix``; kill what is left.

        If nobody holds the lock of a group, its owner is dead, whatever folders and processes are visible from here.
        """
        points, paths = _hierarchies(None, None)

        def found(controller: str, pattern: str) -> list[Path]:
            own = points[controller] / paths.get(controller, "")
            parents = {own, own.parent} if own != points[controller] else {own}
            return [folder for parent in parents for folder in parent.glob(pattern)]

        # only the folder that is made first and removed last has the lock; those of other controllers prove nothing
        first = "memory" if "memory" in points else "unified"
        for folder in found(first, f"{prefix}*{OWNED}") if first in points else []:
            with contextlib.suppress(OSError):
                lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    if os.fstat(lock).st_uid == os.geteuid():
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        others = [each for controller in points if controller != first for each in found(controller, folder.name)]
                        Cgroup(list(dict.fromkeys([folder, *others])))._end()
                finally:
                    os.close(lock)

    def entering(self, argv: list[str]) -> list[str]:
        """Return ``argv`` such that the process enters this group before it starts."""
        enter = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@"'
        return ["/bin/sh", "-c", enter, "sh", *(str(folder / "cgroup.procs") for folder in self.folders), "--", *argv]

    def add(self, pid: int) -> None:
        """Move a process into this group; what it starts from then on is in it too.

        One that is gone already is no error.

        Raises
        ------
        SandboxError
            If it cannot be moved.
        """
        for folder in self.folders:
            try:
                (folder / "cgroup.procs").write_text(str(pid))
            except ProcessLookupError:
                return
            except OSError as error:
                raise SandboxError(f"process {pid} cannot enter {folder}: {error.strerror}") from None

    def out_of_memory(self) -> bool:
        """Say whether the kernel killed a process of this group for want of memory."""
        file = "memory.events" if self.version == 2 else "memory.oom_control"
        with contextlib.suppress(OSError):
            for line in (self.folders[0] / file).read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value) > 0
        return False

    def cpu_seconds(self) -> float | None:
        """Return the processor time of everything that ever ran in this group; None if it is not counted here."""
        with contextlib.suppress(OSError):
            if self.version == 2:
                usage = dict(line.split() for line in (self.folders[0] / "cpu.stat").read_text().splitlines())
                return int(usage["usage_usec"]) / 1e6
            for folder in self.folders:
                if (usage_file := folder / "cpuacct.usage").exists():
                    return int(usage_file.read_text()) / 1e9
        return None

    def members(self) -> list[int]:
        """Return the processes that are in any folder of the group."""
        found: set[int] = set()
        for folder in self.folders:
            with contextlib.suppress(OSError, ValueError):
                found.update(int(line) for line in (folder / "cgroup.procs").read_text().split())
        # one that cannot be seen from here has the number 0, which would be this process's own group
        return sorted(found - {0})

    async def kill(self) -> None:
        """Kill every member, whoever its parents are, and wait until there are none."""
        self._hold_still()
        while self.members():
            self._kill_members()
            await asyncio.sleep(0.01)

    def _end(self) -> None:
        """Kill every member and remove the group; one whose members will not die is left."""
        self._hold_still()
        deadline = time.monotonic() + _DYING_SECONDS
        while self.members() and time.monotonic() < deadline:
            self._kill_members()
            time.sleep(0.01)
        self.remove()

    def _hold_still(self) -> None:
        for folder in self.folders:
            for file, value in _BEFORE_DEATH.items():
                with contextlib.suppress(OSError):
                    if (folder / file).exists():
                        (folder / file).write_text(value)

    def _kill_members(self) -> None:
        if (all_at_once := self.folders[0] / "cgroup.kill").exists():
            all_at_once.write_text("1")
        else:
            for pid in self.members():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def remove(self) -> None:
        """Remove the group; its processes must be gone."""
        # the one with the lock last: as long as any folder is left, it shows whether there is an owner
        for folder in reversed(self.folders):
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._let_go()


_owned: dict[int, Cgroup] = {}
"""The groups of this process, by the descriptors of their locks."""


def _forked() -> None:
    """Leave the groups to the process that made them, of which this one is a fork: with its end alone they are abandoned."""
    for group in list(_owned.values()):
        group._let_go()


os.register_at_fork(after_in_child=_forked)


def _hierarchies(mounts: str | None, own: str | None) -> tuple[dict[str, Path], dict[str, str]]:
    """Return where each controller is mounted, and this process's group in each; ``unified`` is version 2."""
    points: dict[str, Path] = {}
    paths: dict[str, str] = {}
    try:
        mounts = Path("/proc/self/mounts").read_text() if mounts is None else mounts
        own = Path("/proc/self/cgroup").read_text() if own is None else own
    except OSError:
        return points, paths
    for line in mounts.splitlines():
        _, point, kind, options = line.split()[:4]
        if kind == "cgroup2":
            points.setdefault("unified", Path(point))
        elif kind == "cgroup":
            points.update({option: Path(point) for option in options.split(",") if option in ("memory", "pids", "cpu", "cpuacct")})
    for line in own.splitlines():
        number, controllers, path = line.split(":", 2)
        for controller in controllers.split(",") if controllers else ["unified"] if number == "0" else []:
            paths[controller] = path.lstrip("/")
    return points, paths
