"""What a container may use, reach and see, as the options of docker-py; and what of it stands."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workbench.kernels import docker_engine
from workbench.kernels.docker_engine import Engine
from workbench.kernels.environments import Environment
from workbench.kernels.policy import Policy
from workbench.kernels.view import WORKSPACE, Mount

_BLOCK = 4096


@dataclass(frozen=True)
class User:
    """Whom a container runs as.

    Attributes
    ----------
    uid, gid : int
        As the machine of the engine numbers them.
    nobody : bool
        Whether nobody else there has that number.
    """

    uid: int
    gid: int
    nobody: bool = True

    def __str__(self) -> str:
        return f"{self.uid}:{self.gid}"


def options(environment: Environment, policy: Policy, user: User, mounts: Iterable[Mount] | None, runtime: str = "") -> dict[str, Any]:
    """Return the options of a container that holds its programs to ``policy``.

    Parameters
    ----------
    environment : Environment
        As it is in the image.
    mounts : iterable of Mount or None
        What it sees of this machine; None for nothing, and a workspace in memory of its own.
    runtime : str
        The engine's runtime; empty for its own choice.
    """
    from docker.types import DeviceRequest
    from docker.types import Mount as DockerMount

    limits = policy.limits
    room = f"rw,nosuid,nodev,exec,mode=1777,size={limits.scratch_bytes}"
    chosen: dict[str, Any] = {
        "user": str(user),
        "labels": docker_engine.labels(environment.name),
        "network_mode": "none",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "read_only": True,
        "ipc_mode": "private",
        "shm_size": limits.scratch_bytes,
        "tmpfs": {"/tmp": room},  # noqa: S108 - the sandbox's own
        "mounts": [],
        "mem_limit": limits.memory,
        # with swap; so there is none
        "memswap_limit": limits.memory,
        # the first process, and the shell that starts a program, are not the agent's
        "pids_limit": limits.processes + 8,
        "nano_cpus": int(limits.cpus * 10**9),
        "auto_remove": True,
        "hostname": "sandbox",
        # messages of a kernel would fill the engine's disk
        "log_config": {"type": "none", "config": {}},
        # a proxy may name its user's password
        "use_config_proxy": False,
    }
    for name in policy.hide:
        chosen["tmpfs"][str(environment.site_packages / name)] = f"ro,size={_BLOCK},mode=0555"
    if mounts is None:
        most = limits.workspace_bytes
        names = extra(most) // _BLOCK
        chosen["tmpfs"][WORKSPACE] = f"rw,nosuid,nodev,exec,mode=0700,uid={user.uid},gid={user.gid},size={most},nr_inodes={names}"
    for mount in mounts or ():
        chosen["mounts"].append(DockerMount(mount.inside, str(mount.host.resolve()), type="bind", read_only=not mount.writable))
    if runtime:
        chosen["runtime"] = runtime
    if policy.gpu:
        chosen["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
    return chosen


def extra(most: int) -> int:
    """Return what the names of a workspace may come to, at a block each, beside the ``most`` bytes in its files."""
    return most // 4


def standing(engine: Engine, policy: Policy, user: User, report: str, *, mounted: bool, runtime: str = "") -> tuple[list[str], list[str]]:
    """Return the walls around a kernel and those that are missing, each with the reason.

    Parameters
    ----------
    report : str
        What the kernel's own launcher said of the inner ones.
    """
    try:
        inner: dict[str, list[str]] = json.loads(report)
    except ValueError:
        inner = {"walls": [], "missing": ["inner walls: the kernel did not report them"]}
    facts = engine.facts
    walls = [
        f"docker{f' ({runtime})' if runtime else ''}: process, network, mount, IPC and host name namespaces",
        "read-only root, no capabilities, no new privileges",
        f"network: {', '.join(policy.network) or 'none'}",
    ]
    missing = []
    # a runtime of its own may leave these to its own ways, and does not tell
    here, why = not runtime, f"up to the runtime {runtime}" if runtime else "the engine has none"
    for stands, wall, without in (
        (user.nobody, "unprivileged user", "it has your user's number, as the workspace is yours"),
        (here and facts.get("MemoryLimit") and facts.get("PidsLimit"), "cgroup: memory and processes", why),
        (here and facts.get("CpuCfsQuota"), "cgroup: processor share", why),
        (here and engine.has("seccomp"), "the engine's system call filter", why),
        (not mounted, "workspace: in memory of its own, with a size", "its size is watched twice a second, from outside"),
    ):
        if stands:
            walls.append(wall)
        else:
            missing.append(f"{wall}: {without}")
    return walls + inner["walls"], missing + inner["missing"]
