"""Kernel sessions and a Docker engine for tests, closed whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import docker
import pytest

from workbench.kernels.environments import Environment
from workbench.kernels.session import KernelSession

from .backends import engine_of_tests
from .tools import PATIENCE

Opener = Callable[..., Awaitable[KernelSession]]


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    """A client of a real Docker engine that the tests start themselves."""
    with engine_of_tests() as address:
        client = docker.DockerClient(address)
        yield client
        client.close()


@pytest.fixture
async def opened(tmp_path: Path, minimal: Environment) -> AsyncIterator[Opener]:
    """Start a session in a workspace of its own: ``session = await opened(policy=...)``."""
    async with AsyncExitStack() as stack:
        count = 0

        async def start(environment: Environment = minimal, **options: Any) -> KernelSession:
            nonlocal count
            count += 1
            workspace = tmp_path / f"workspace-{count}"
            workspace.mkdir()
            return await stack.enter_async_context(KernelSession(environment, workspace, **{"cell_seconds": PATIENCE, **options}))

        yield start
