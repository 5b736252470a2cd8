"""What a sandboxed process may use, and the cgroup that holds it to that where the machine lends one."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from workbench.errors import UsageError

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_size(text: str) -> int:
    """Return a size such as ``512M`` in bytes.

    Raises
    ------
    UsageError
        If ``text`` is not a number with an optional K, M, G or T.

    Examples
    --------
    >>> parse_size("2G")
    2147483648
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if match is None:
        raise UsageError(f"{text!r} is not a size", hint="write a number with K, M, G or T, for example 2G")
    return int(Decimal(match[1]) * _UNITS[match[2].upper()])


@dataclass(frozen=True)
class Limits:
    """Limits of one sandboxed process and all its children.

    Attributes
    ----------
    memory : int
        Bytes.
    processes : int
        Processes and threads alive at once.
    file_bytes : int
        Size of a single file.
    open_files : int
        File descriptors a process may hold.
    scratch_bytes : int
        Size of ``/tmp`` and of ``/dev/shm``, each.
    workspace_bytes : int
        Size of all files in the workspace.
    """

    memory: int = 2 * 2**30
    processes: int = 128
    file_bytes: int = 2**30
    open_files: int = 1024
    scratch_bytes: int = 512 * 2**20
    workspace_bytes: int = 2 * 2**30


@dataclass
class Cgroup:
    """A control group made for one sandbox, in version 1 or 2 of the kernel's interface.

    Attributes
    ----------
    folders : list of Path
        One folder under version 2; one a controller under version 1.
    """

    folders: list[Path] = field(default_factory=list)
    version: int = 2

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
        wanted: dict[Path, dict[str, int]] = {}
        for controller, settings in {
            # the order matters: memory with swap may never be below memory alone
            "memory": {"memory.limit_in_bytes": limits.memory, "memory.memsw.limit_in_bytes": limits.memory},
            "pids": {"pids.max": limits.processes},
        }.items():
            # both controllers may share one hierarchy
            wanted.setdefault(points[controller] / paths.get(controller, "") / name, {}).update(settings)
        for folder, settings in wanted.items():
            if not group._make(folder, settings, optional={"memory.memsw.limit_in_bytes"}):
                group.remove()
                return None
        return group

    @classmethod
    def _version_2(cls, name: str, limits: Limits, root: Path, own: Path) -> Cgroup | None:
        # a group that holds processes cannot have controlled children, so a sibling is tried before a child
        for parent in dict.fromkeys([own.parent, own] if own != root else [own]):
            group = cls(version=2)
            settings = {"memory.max": limits.memory, "memory.swap.max": 0, "memory.oom.group": 0, "pids.max": limits.processes}
            if group._make(parent / name, settings, optional={"memory.swap.max", "memory.oom.group"}):
                return group
            group.remove()
        return None

    def _make(self, folder: Path, settings: dict[str, int], optional: set[str]) -> bool:
        try:
            folder.mkdir()
        except OSError:
            return False
        self.folders.append(folder)
        for file, value in settings.items():
            try:
                (folder / file).write_text(str(value))
            except OSError:
                if file not in optional:
                    return False
        return True

    @staticmethod
    def sweep(prefix: str) -> None:
        """Remove the empty groups whose names begin with ``prefix``: what a process that was killed left."""
        points, paths = _hierarchies(None, None)
        for controller, point in points.items():
            own = point / paths.get(controller, "")
            for parent in {own, own.parent} if own != point else {own}:
                for folder in parent.glob(f"{prefix}*"):
                    with contextlib.suppress(OSError):
                        folder.rmdir()

    def entering(self, argv: list[str]) -> list[str]:
        """Return ``argv`` such that the process enters this group before it starts."""
        enter = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@"'
        return ["/bin/sh", "-c", enter, "sh", *(str(folder / "cgroup.procs") for folder in self.folders), "--", *argv]

    def add(self, pid: int) -> None:
        """Move a process into this group; what it starts from then on is in it too."""
        for folder in self.folders:
            with contextlib.suppress(ProcessLookupError):
                (folder / "cgroup.procs").write_text(str(pid))

    def out_of_memory(self) -> bool:
        """Say whether the kernel killed a process of this group for want of memory."""
        file = "memory.events" if self.version == 2 else "memory.oom_control"
        with contextlib.suppress(OSError):
            for line in (self.folders[0] / file).read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value) > 0
        return False

    def members(self) -> list[int]:
        """Return the processes of the group; none where it cannot be read."""
        try:
            return [int(line) for line in (self.folders[-1] / "cgroup.procs").read_text().split()]
        except (OSError, ValueError):
            return []

    def remove(self) -> None:
        """Remove the group; its processes must be gone."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                folder.rmdir()


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
            points.update({option: Path(point) for option in options.split(",") if option in ("memory", "pids")})
    for line in own.splitlines():
        number, controllers, path = line.split(":", 2)
        for controller in controllers.split(",") if controllers else ["unified"] if number == "0" else []:
            paths[controller] = path.lstrip("/")
    return points, paths
