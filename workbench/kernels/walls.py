"""The walls of the local sandbox: what a process sees, and the command that runs it behind kernel-enforced walls.

Outside stands bubblewrap: process, network, mount and IPC namespaces of its own. Inside, before any code of an agent
runs, ``inside/launch.py`` gives up the user's rights and confines itself with Landlock. Where bubblewrap is missing, a
sandlock supervisor of the run's own takes its place. Where neither can be had there is no sandbox, and that is an error.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench.errors import SandboxError
from workbench.kernels import trees
from workbench.kernels.environments import Environment
from workbench.kernels.limits import Limits
from workbench.kernels.view import ETC, INSIDE, PROGRAMS, SYSTEM, Mount, Sight, View, inside_environ, masked, sight

WRITABLE = ("/tmp", "/dev/shm", "/dev/null", "/dev/ptmx", "/dev/pts")  # noqa: S108 - the sandbox's own
_METADATA = ("chown", "lchown", "fchownat", "setxattr", "lsetxattr", "removexattr", "lremovexattr")
_SHARED_COUNTERS = ("inotify_init", "inotify_init1", "fanotify_init", "io_setup")
"""System calls that use resources shared by all processes of a user, or by everybody."""
_PENDING_SIGNALS, _QUEUE_BYTES, _LOCKED_BYTES = 1024, 100 * 2**10, 64 * 2**10


@dataclass(frozen=True)
class Protection:
    """What this machine can put between an agent's code and its user.

    Attributes
    ----------
    kind : str
        ``bubblewrap``, ``sandlock`` or ``none``.
    walls, missing : list of str
        What stands and what does not, each with a reason.
    remedy : str
        What to do about what is missing.
    """

    kind: str
    walls: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    remedy: str = ""


@dataclass(frozen=True)
class Enclosure:
    """A command that runs behind walls.

    Attributes
    ----------
    argv : list of str
        Run it with ``environ`` and nothing else in the environment: the outer wall's own process can be seen inside.
    uid : int or None
        The user it becomes; what it must write has to belong to that user.
    walls, missing : list of str
        What is known of the walls before it starts; the inner ones report for themselves.
    scratch : tuple of Path
        Folders for temporary files that lie on this machine's disk.
    """

    argv: list[str]
    environ: dict[str, str]
    uid: int | None
    walls: list[str]
    missing: list[str]
    scratch: tuple[Path, ...] = ()


@functools.cache
def protection() -> Protection:
    """Try what this machine gives; the answer is kept for the life of the process."""
    if sys.platform != "linux":
        return Protection("none", [], [f"no local sandbox on {sys.platform}"], "use a Linux machine or container, a Docker engine or E2B")
    missing = []
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        missing.append("bubblewrap: not installed")
    else:
        # what kernels are shown and no more: elsewhere, as below a container engine's folder, mounts come and go, which
        # bubblewrap takes for a failure
        shown = Sight([], [])
        shown.system()
        probe = [bwrap, *_namespaces(), *shown.arguments, "--proc", "/proc", "--dev", "/dev", "true"]
        done = subprocess.run(probe, env={"PATH": os.defpath}, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return Protection("bubblewrap", ["bubblewrap: process, network, mount, IPC and host name namespaces"])
        missing.append(f"bubblewrap: {done.stderr.strip() or f'exit code {done.returncode}'}")
    if os.geteuid() == 0:
        # without namespaces the agent would keep root's rights over everything that Landlock does not cover
        missing.append("sandlock: not used for root")
        return Protection("none", [], missing, "install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap), or do not run as root")
    remedy = "install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap) and allow unprivileged user namespaces"
    try:
        import sandlock

        if sandlock.landlock_abi_version() >= sandlock.min_landlock_abi():
            missing.append("a user of its own: modes and times of your files, and priorities of your processes, stay open to change")
            return Protection("sandlock", ["sandlock supervisor: Landlock and seccomp"], missing, remedy)
        missing.append(f"sandlock: needs Landlock ABI {sandlock.min_landlock_abi()}, this kernel has {sandlock.landlock_abi_version()}")
    except (ImportError, OSError) as error:
        missing.append(f"sandlock: {error}")
    return Protection("none", [], missing, remedy)


def _namespaces() -> list[str]:
    arguments = [
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--die-with-parent",
        "--new-session",
    ]
    if os.geteuid() == 0:
        # root needs no user namespace to create the others, and keeps only the capabilities to change its user
        return [*arguments, "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    # the capability applies only to the namespace, and is dropped once its counters are set
    return [*arguments, "--unshare-user", "--disable-userns", "--cap-add", "CAP_SYS_RESOURCE"]


def enclose(program: Path, arguments: Sequence[str], view: View, limits: Limits, scratch: Path, *, walled: bool = True) -> Enclosure:
    """Return the command that runs ``program`` with the view's interpreter behind the best walls there are.

    Parameters
    ----------
    program : Path
        A file of ``inside/``.
    arguments : sequence of str
        For the program; paths are those inside.
    scratch : Path
        A folder of the caller's for small files that the walls are made of.
    walled : bool
        False for no wall at all: never chosen for the user, only by the user.

    Raises
    ------
    SandboxError
        If this machine can put no wall around it, or a mount does not exist.
    """
    for mount in view.mounts:
        if not mount.host.exists():
            raise SandboxError(f"cannot show {mount.host} inside the sandbox: it does not exist")
    (scratch / "tmp").mkdir(mode=0o700, exist_ok=True)
    if not walled:
        return _unwalled(program, arguments, view, limits, scratch)
    given = protection()
    if given.kind == "bubblewrap":
        return _bubblewrap(program, arguments, view, limits, scratch, given)
    if given.kind == "sandlock":
        return _supervised(program, arguments, view, limits, scratch, given)
    raise SandboxError(f"this machine gives no sandbox: {'; '.join(given.missing)}", hint=given.remedy)


def _bubblewrap(program: Path, arguments: Sequence[str], view: View, limits: Limits, scratch: Path, given: Protection) -> Enclosure:
    # an unused user id: it owns no file and no process on this machine, and its process count is only the run's
    uid = 0x40000000 + secrets.randbelow(2**29) if os.geteuid() == 0 else None
    seen = sight(view, scratch, limits.scratch_bytes, os.geteuid() if uid is None else uid)
    writable = [*(mount.inside for mount in view.mounts if mount.writable), *map(str, view.devices), *WRITABLE]
    argv = [
        *(shutil.which("bwrap") or "bwrap", *_namespaces(), "--hostname", "sandbox", "--clearenv"),
        *seen.arguments,
        *("--remount-ro", "/dev", "--remount-ro", "/"),
        *launch(
            program.name,
            arguments,
            view.cwd,
            view.environment,
            limits,
            PROGRAMS,
            uid=uid,
            own_namespace=uid is None,
            readable=seen.readable,
            writable=writable,
        ),
    ]
    return Enclosure(argv, {"PATH": os.defpath}, uid, list(given.walls), list(given.missing))


def _supervised(program: Path, arguments: Sequence[str], view: View, limits: Limits, scratch: Path, given: Protection) -> Enclosure:
    """Without namespaces every path is the machine's own; what is not named cannot be opened."""
    environment = view.environment
    temporary = scratch / "tmp"
    devices = [f"/dev/{name}" for name in ("full", "random", "urandom", "zero")]
    system = [*SYSTEM, *(f"/etc/{name}" for name in ETC), "/etc/passwd", "/etc/group", "/proc/self", *devices]
    environ = inside_environ(environment, _on_host(view.cwd, view.mounts), str(temporary))
    policy = {
        "fs_readable": [
            *(path for path in system if Path(path).exists()),
            *map(str, (environment.base_prefix, environment.prefix, INSIDE)),
            *(str(mount.host) for mount in view.mounts if not mount.writable),
        ],
        "fs_writable": [
            str(temporary),
            "/dev/null",
            "/dev/ptmx",
            "/dev/pts",
            *(str(mount.host) for mount in view.mounts if mount.writable),
        ],
        "fs_denied": [*map(str, masked(environment)), *(str(environment.site_packages / name) for name in view.hide)],
        # Landlock says nothing about the owners and attributes of files that cannot be opened, nor about modes and times:
        # ordinary programs need those, so that gap is named instead
        "extra_deny_syscalls": [*_METADATA, *_SHARED_COUNTERS],
        "max_processes": limits.processes,
        "clean_env": True,
        "env": environ,
    }
    inside = [_on_host(each, view.mounts) for each in arguments]
    inner = launch(program.name, inside, environ["PWD"], environment, limits, INSIDE, own_user=False)
    argv = [str(environment.python), "-I", str(INSIDE / "supervise.py"), json.dumps({"policy": policy, "argv": inner})]
    return Enclosure(argv, environ, None, list(given.walls), list(given.missing), (temporary,))


def _unwalled(program: Path, arguments: Sequence[str], view: View, limits: Limits, scratch: Path) -> Enclosure:
    cwd = _on_host(view.cwd, view.mounts)
    inside = [_on_host(each, view.mounts) for each in arguments]
    argv = launch(program.name, inside, cwd, view.environment, limits, INSIDE, own_user=False)
    # the user's variables are kept out all the same: no key ever enters a kernel
    return Enclosure(
        argv, inside_environ(view.environment, cwd, str(scratch / "tmp")), None, [], ["every wall: sandbox none was asked for"]
    )


def _on_host(path: str, mounts: Sequence[Mount]) -> str:
    for mount in mounts:
        if path == mount.inside or path.startswith(f"{mount.inside}/"):
            return str(mount.host) + path.removeprefix(mount.inside)
    return path


def launch(
    program: str,
    arguments: Sequence[str],
    cwd: str,
    environment: Environment,
    limits: Limits,
    inside: Path,
    *,
    uid: int | None = None,
    own_user: bool = True,
    own_namespace: bool = False,
    readable: Sequence[str] = (),
    writable: Sequence[str] = (),
) -> list[str]:
    """Return the command that sets up the inner walls and then becomes ``program``; see ``inside/launch.py``.

    Parameters
    ----------
    program : str
        Name of a file in the folder ``inside``.
    uid : int, optional
        The user it becomes.
    own_user : bool
        Whether its user runs nothing else on the whole machine.
    own_namespace : bool
        Whether a user namespace was made for it, in which it has the right to set the counters.
    readable, writable : sequence of str
        Paths for Landlock; none if another wall takes its place.
    """
    bounds = rlimits(limits)
    if not own_user:
        # it would count everything else this user runs
        del bounds["RLIMIT_NPROC"]
    config = {
        "uid": uid,
        "adopts": not own_user,
        "counters": own_namespace,
        "cwd": cwd,
        "limits": bounds,
        "readable": list(readable),
        "writable": list(writable),
        "program": str(inside / program),
        "arguments": list(arguments),
    }
    return [str(environment.python), "-I", str(inside / "launch.py"), json.dumps(config)]


def rlimits(limits: Limits) -> dict[str, int]:
    """Return ``limits`` as the kernel's own per-process limits."""
    return {
        # RLIMIT_DATA counts private memory that can be written; RLIMIT_AS would also count what is only reserved
        "RLIMIT_DATA": limits.memory,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_CORE": 0,
        # Linux also counts these for the user who created the namespace, and so for all kernels together
        "RLIMIT_SIGPENDING": _PENDING_SIGNALS,
        "RLIMIT_MSGQUEUE": _QUEUE_BYTES,
        "RLIMIT_MEMLOCK": _LOCKED_BYTES,
    }


def let_read(root: Path) -> None:
    """Let the sandbox's own user read ``root``, whatever the user's umask made of it; the folder above keeps others out."""
    root.chmod(root.stat().st_mode | 0o555)
    for folder in trees.walk(root):
        for entry in folder.entries:
            if not entry.is_symlink():
                more = 0o555 if entry.is_dir() else 0o444
                os.chmod(entry.name, entry.stat().st_mode | more, dir_fd=folder.handle)
