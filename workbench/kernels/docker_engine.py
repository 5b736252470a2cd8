"""The Docker engine: where it is, what it can do, what its errors mean, and what dead owners have left there."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench import paths
from workbench.errors import SandboxError, WorkbenchError
from workbench.kernels import runtime

if TYPE_CHECKING:
    from docker import DockerClient

_DEFAULT = "unix:///var/run/docker.sock"
_OURS, _OWNER, _PID, _ROOT = "workbench", "workbench.owner", "workbench.pid", "workbench.root"
_swept: set[str] = set()
_REMEDIES = (
    (r"permission ?denied", "join the group docker (then log in again), or use rootless Docker"),
    (r"FileNotFoundError|ConnectionRefused|Name or service|getaddrinfo", "start the engine, or point DOCKER_HOST at one that runs"),
    (r"device driver|nvidia", "install the NVIDIA container toolkit on the engine's machine, or use a policy without gpu"),
    (r"runtime", "docker info lists the runtimes that the engine has; leave runtime out for its own"),
    (r"bind source path|mounts denied", "the engine does not see this machine's files; use mode bridged"),
    (r"toomanyrequests|no such host|manifest|pull access", "name an image that the engine has in WORKBENCH_DOCKER_BASE"),
    (r"timed? ?out", "the engine is overloaded or far away; run fewer kernels at once"),
)


@dataclass(frozen=True)
class Engine:
    """A connection to an engine.

    Attributes
    ----------
    client : docker.DockerClient
        Its methods block: call them in a thread.
    address : str
        Where it is.
    facts : dict
        What it says about itself.
    """

    client: DockerClient
    address: str
    facts: dict[str, Any] = field(repr=False)

    @property
    def sees_this_machine(self) -> bool:
        """Whether folders of this machine can be mounted with their owners as they are."""
        here = sys.platform == "linux" and self.address.startswith("unix://")
        desktop = "Docker Desktop" in str(self.facts.get("OperatingSystem"))
        return here and not desktop and not self.has("rootless") and not self.has("userns")

    def has(self, option: str) -> bool:
        """Say whether the engine has a security option, for example ``seccomp``."""
        return any(f"name={option}" in str(each).split(",") for each in self.facts.get("SecurityOptions") or [])


def connect() -> Engine:
    """Connect to the engine that ``DOCKER_HOST`` names, or this machine's; blocks.

    The first time, what dead processes of this machine left there is removed.

    Raises
    ------
    SandboxError
        If it cannot be reached, or the docker package is missing.
    """
    address = os.environ.get("DOCKER_HOST") or _DEFAULT
    with asked(f"reach the Docker engine at {address}"):
        import docker

        client = docker.from_env()
        try:
            engine = Engine(client, address, client.info())
            if address not in _swept:
                _swept.add(address)
                _sweep(engine)
            return engine
        except BaseException:
            client.close()
            raise


def labels(environment: str) -> dict[str, str]:
    """Return the labels of a container that this process owns."""
    return {_OURS: "1", "workbench.environment": environment, _OWNER: runtime.mine().name, _PID: str(os.getpid()), _ROOT: _root()}


def _root() -> str:
    """Name the folder in which owners are looked up: that of this user on this machine."""
    return f"{socket.gethostname()}:{paths.run_root()}"


def sweep() -> list[str]:
    """Remove the containers whose owner died on this machine, and return their names; blocks.

    Raises
    ------
    SandboxError
        If the engine cannot be asked.
    """
    engine = connect()
    try:
        with asked("remove containers that nobody owns"):
            return _sweep(engine)
    finally:
        engine.client.close()


def _sweep(engine: Engine) -> list[str]:
    found = engine.client.api.containers(all=True, filters={"label": [f"{_OURS}=1", f"{_ROOT}={_root()}"]})
    orphans = [each for each in found if not runtime.alive(each["Labels"].get(_OWNER, ""))]
    for each in orphans:
        discard(engine, each["Id"])
    return [each["Names"][0].lstrip("/") for each in orphans]


def discard(engine: Engine, container: str) -> None:
    """Kill and remove a container, if it is still there, and return once it is gone."""
    from docker.errors import APIError, NotFound

    try:
        engine.client.api.remove_container(container, v=True, force=True)
    except NotFound:
        return
    except APIError as error:
        # whoever removes it already: the engine itself, which does so when the container ends
        if error.status_code != 409:
            raise
    with contextlib.suppress(NotFound):
        engine.client.api.wait(container, condition="removed")


@contextlib.contextmanager
def asked(what: str) -> Iterator[None]:
    """Turn whatever goes wrong while the engine is asked to do ``what`` into one paragraph with a remedy."""
    try:
        import docker
        import requests
    except ImportError:
        raise SandboxError(f"cannot {what}: the docker package is not installed", hint="pip install 'codeact-workbench[docker]'") from None
    try:
        yield
    except WorkbenchError:
        raise
    except docker.errors.ImageNotFound as error:
        raise SandboxError(f"cannot {what}: {error.explanation}", hint="workbench environments build NAME --backend docker") from None
    except docker.errors.APIError as error:
        raise _explained(what, str(error.explanation or error)) from None
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise _explained(what, f"{type(error).__name__}: {error}") from None


def _explained(what: str, reason: str) -> SandboxError:
    """Return the error, with the remedy for what its text speaks of.

    Examples
    --------
    >>> str(_explained("start", "unknown runtime specified runsc"))
    'cannot start: unknown runtime specified runsc (docker info lists the runtimes that the engine has; leave runtime out for its own)'
    """
    hints = [hint for pattern, hint in _REMEDIES if re.search(pattern, reason, re.IGNORECASE)]
    return SandboxError(f"cannot {what}: {' '.join(reason.split())[:600]}", hint=(hints or ["docker info says how the engine is"])[0])
