"""Every backend there is, ready for the conformance suite and the red team; one that cannot be tried says so loudly."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from workbench.kernels import environments, image, images, templates
from workbench.kernels.environments import Environment
from workbench.kernels.session import SANDBOXES, Sandbox

from ..conftest import REQUIRED, require_walls, without_bubblewrap
from ..e2b_standin import KEY, StandIn
from . import engine

BACKENDS = ("local", "local alone", "sandlock", "none", "docker", "docker bridged", "e2b")
"""Names of the backends; each is a parameter of the suites. Docker is there once a mode; E2B is a stand-in for the service."""


@contextmanager
def backend(name: str) -> Iterator[Sandbox]:
    """Make backend ``name`` usable and return its sandbox; skips where this machine cannot."""
    if name == "local":
        require_walls("bubblewrap")
        yield "local"
    elif name == "local alone":
        # a machine that lets nobody make namespaces within bubblewrap's: each kernel has a bubblewrap of its own
        require_walls("bubblewrap")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(image, "_lacking", image.NoImages("images are not used in this test"))
            yield "local"
    elif name == "sandlock":
        with without_bubblewrap():
            yield "local"
    elif name == "e2b":
        require_stand_in()
        with tempfile.TemporaryDirectory() as folder, stand_in(Path(folder), environments.build(environments.find("python-min"))):
            yield "e2b"
    elif name in ("docker", "docker bridged"):
        mode = "bridged" if name == "docker bridged" else "mounted"
        with engine_of_tests(), pytest.MonkeyPatch.context() as patch:
            patch.setitem(SANDBOXES, "docker", ("workbench-docker", {"mode": mode}))
            yield "docker"
    else:
        yield "none"


def require_engine() -> None:
    """Skip where no Docker engine can be started; fail where that would go unnoticed."""
    if reason := engine.obstacle():
        if os.environ.get(REQUIRED) and os.geteuid() == 0:
            pytest.fail(f"{reason} ({REQUIRED} is set)", pytrace=False)
        pytest.skip(reason)


@contextmanager
def engine_of_tests() -> Iterator[str]:
    """Point the environment at a Docker engine that has an image of python-min, and return its address."""
    require_engine()
    address = engine.engine()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", address)
        patch.setenv("WORKBENCH_DOCKER_BASE", engine.BASE)
        asyncio.run(images.build(environments.find("python-min")))
        yield address


def require_stand_in() -> None:
    """Skip where the stand-in for E2B can make no sandboxes."""
    require_walls("bubblewrap")
    if os.geteuid() != 0:
        pytest.skip("NO WALLS of the E2B stand-in on this machine: it needs root, to give its sandboxes users of their own")


@contextmanager
def stand_in(folder: Path, environment: Environment) -> Iterator[StandIn]:
    """Serve a stand-in for E2B that has a template of ``environment``, and point the SDK to it."""
    with pytest.MonkeyPatch.context() as patch, StandIn(folder, {templates.name(environment): environment}, built=environment) as service:
        patch.setenv("E2B_API_KEY", KEY)
        patch.setenv("E2B_API_URL", service.url)
        patch.setenv("E2B_SANDBOX_URL", service.url)
        yield service
