"""What a sandboxed process sees: its environment, the system's libraries, and nothing that tells about this machine's users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench import paths
from workbench.kernels.environments import Environment

INSIDE = Path(__file__).resolve().parent / "inside"
"""Programs that run behind the walls; they never import workbench."""

PROGRAMS = Path("/opt/workbench")
"""Where they are, as a sandboxed process sees them."""

# what a program needs of the system, and nothing that tells about this machine's users
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
ETC = ("alternatives", "ca-certificates", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "ssl/certs")

WORKSPACE = "/workspace"
"""Where the agent's files are, as its kernel sees them."""
APP = "/app"
"""Another name of the same folder: tasks that were written for a container have their files there."""
RUNS, BRANCHES, CONNECTION = "/runs", "/branches", "/connection"
"""Where an image keeps its kernels' folders and their branches, and where a kernel finds its sockets."""
IN_MEMORY = ("/tmp", "/dev/shm")  # noqa: S108 - the sandbox's own
"""Folders of its own that lie in memory, as ``inside/image.py`` mounts them."""


@dataclass(frozen=True)
class Mount:
    """A file or folder shown inside the sandbox."""

    host: Path
    inside: str
    writable: bool = False


@dataclass(frozen=True)
class View:
    """What a sandboxed process sees.

    Attributes
    ----------
    environment : Environment
        Its interpreter and packages, read-only.
    mounts : sequence of Mount
        Files and folders in addition to the environment and the system's libraries.
    hide : sequence of str
        Folders of the environment's site-packages that are shown empty.
    cwd : str
        Where it starts, as seen inside.
    devices : sequence of Path
        Devices it may use in addition to the usual harmless ones.
    """

    environment: Environment
    mounts: Sequence[Mount] = ()
    hide: Sequence[str] = ()
    cwd: str = "/tmp"  # noqa: S108 - the sandbox's own
    devices: Sequence[Path] = ()


def gpus() -> tuple[Path, ...]:
    """Return the devices of this machine's GPUs."""
    return tuple(sorted(path for pattern in ("nvidia*", "kfd", "dri") for path in Path("/dev").glob(pattern)))


@dataclass
class Sight:
    """The arguments that make bubblewrap show a view, and the paths in it.

    Attributes
    ----------
    arguments : list of str
        For bubblewrap, in the order they take effect.
    readable : list of str
        What is shown, for Landlock.
    """

    arguments: list[str]
    readable: list[str]

    def __post_init__(self) -> None:
        self._made = {"/", "/tmp", "/dev"}  # noqa: S108 - the sandbox's own

    def folder(self, inside: Path) -> None:
        """Make an empty folder and those above it; bubblewrap would make them for its own user only."""
        for path in [*reversed(inside.parents), inside]:
            if str(path) not in self._made:
                self.arguments += ["--perms", "0755", "--dir", str(path)]
                self._made.add(str(path))

    def show(self, host: Path, inside: Path | None = None, *, writable: bool = False) -> None:
        """Show ``host``, by default at the same path."""
        target = inside or host
        self.folder(target.parent)
        self.arguments += ["--bind" if writable else "--ro-bind", str(host), str(target)]
        if not writable:
            self.readable.append(str(target))

    def system(self) -> None:
        """Show the system's programs and libraries."""
        for path in map(Path, SYSTEM):
            if path.is_symlink():
                self.arguments += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                self.show(path)

    def cover(self, inside: Path) -> None:
        """Mount an empty folder over what is there."""
        self.arguments += ["--tmpfs", str(inside)]


def sight(view: View, scratch: Path, scratch_bytes: int, user: int) -> Sight:
    """Return how bubblewrap is to show ``view``.

    Parameters
    ----------
    scratch : Path
        A folder of the caller's for the small files that are made up.
    scratch_bytes : int
        Size of ``/tmp`` and of ``/dev/shm``, each.
    user : int
        The user id inside.
    """
    environment = view.environment
    made = Sight([], ["/proc", "/dev"])
    for name, value in inside_environ(environment, view.cwd).items():
        made.arguments += ["--setenv", name, value]
    size = ["--perms", "1777", "--size", str(scratch_bytes)]
    made.arguments += ["--proc", "/proc", "--dev", "/dev", *size, "--tmpfs", "/tmp", *size, "--tmpfs", "/dev/shm"]  # noqa: S108
    for device in view.devices:
        made.arguments += ["--dev-bind", str(device), str(device)]
    made.system()
    for name in ETC:
        if Path("/etc", name).exists():
            made.show(Path("/etc", name))
    for file, line in {"passwd": "agent:x:{0}:{0}::/tmp:/bin/sh\n", "group": "agent:x:{0}:\n", "hosts": "127.0.0.1 localhost\n"}.items():
        (scratch / file).write_text(line.format(user))
        (scratch / file).chmod(0o644)
        made.show(scratch / file, Path("/etc", file))
    for path in dict.fromkeys((environment.base_prefix, environment.prefix)):
        if not path.is_relative_to("/usr"):
            made.show(path)
    # another project's packages could hold anything, this one's graders among them
    for path in masked(environment):
        made.cover(path)
    for name in view.hide:
        made.cover(environment.site_packages / name)
    made.show(INSIDE, PROGRAMS)
    made.arguments += ["--symlink", WORKSPACE, APP]
    for mount in view.mounts:
        made.show(mount.host, Path(mount.inside), writable=mount.writable)
    return made


def masked(environment: Environment) -> list[Path]:
    """Return the folders within what is shown that must not be: packages of other environments, and all private data."""
    base = environment.base_prefix
    candidates = [
        *base.glob("lib/python3*/site-packages"),
        *base.glob("lib/python3*/dist-packages"),
        Path("/usr/src"),
        Path("/usr/local/src"),
    ]
    for folder in (Path("/usr/lib"), Path("/usr/local/lib")):
        candidates += [*folder.glob("python3*/dist-packages"), *folder.glob("python3*/site-packages")]
    shown = [Path("/usr"), base, environment.prefix]
    candidates += base.glob("envs/*")
    candidates += [root for root in paths.private_roots() if any(root.is_relative_to(path) for path in shown)]
    found = [path.resolve() for path in candidates if path.is_dir() and not environment.prefix.is_relative_to(path)]
    return sorted(path for path in set(found) if any(path.is_relative_to(above) for above in shown))


def inside_environ(environment: Environment, cwd: str, temporary: str = "/tmp") -> dict[str, str]:  # noqa: S108
    """Return the whole environment of a sandboxed process; nothing of the user's is carried over.

    Numeric libraries get one thread: a process that has run an OpenMP region with several cannot be forked safely.
    """
    home = f"{temporary}/home"
    return {
        "PATH": f"{environment.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": home,
        "USER": "agent",
        "LOGNAME": "agent",
        "PWD": cwd,
        "TMPDIR": temporary,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "TERM": "dumb",
        "IPYTHONDIR": f"{home}/.ipython",
        "MPLCONFIGDIR": f"{home}/.matplotlib",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        # an arena a thread would touch memory of its own in each of a kernel's ten threads
        "MALLOC_ARENA_MAX": "2",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
