"""``pip`` in a sandboxed kernel, from an index on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from workbench.agents.show import as_text
from workbench.kernels.contract import Kernel
from workbench.kernels.environments import Environment
from workbench.kernels.policy import Policy

from .conftest import Opener
from .package_index import NAME, index, wheel

pytestmark = pytest.mark.walls


async def shown(kernel: Kernel, code: str) -> str:
    observation = await kernel.execute(code)
    assert observation.status == "ok", as_text(observation, sees_images=False)
    return as_text(observation, sees_images=False)


@pytest.fixture
async def kernel(opened: Opener, tmp_path: Path) -> AsyncIterator[Kernel]:
    """A kernel that may reach an index on this machine, and nothing else."""
    with index(tmp_path) as port:
        kernel = await opened(policy=Policy(network=(f"localhost:{port}",)))
        await shown(kernel, f"import os\nos.environ['PIP_INDEX_URL'] = 'http://localhost:{port}/simple'")
        yield kernel


async def test_what_is_installed_through_the_allowlist_can_be_imported(kernel: Kernel) -> None:
    told = await shown(kernel, f"%pip install {NAME}==1.0")
    assert f"Successfully installed {NAME}-1.0" in told and "lasts until this kernel is restarted" in told
    # what the environment has already is not installed again
    assert "already satisfied: traitlets" in told
    assert "1.0" in await shown(kernel, "import made_up\nmade_up.version")
    # by another version, from the shell, for programs too
    assert f"Successfully installed {NAME}-2.0" in await shown(kernel, f"!pip install --upgrade {NAME}")
    assert "2.0" in await shown(kernel, "!python -c 'import made_up; print(made_up.version)'")
    assert f"{NAME} 2.0" in await shown(kernel, "!pip list | tr -s ' '")
    # one of the environment's own is replaced on top of it
    assert "Successfully installed traitlets-99.0" in await shown(kernel, "%pip install traitlets==99.0")
    assert "99.0" in await shown(kernel, "!python -c 'import importlib.metadata as m; print(m.version(\"traitlets\"))'")
    assert f"Successfully uninstalled {NAME}-2.0" in await shown(kernel, f"%pip uninstall -y {NAME}")
    branch = await kernel.fork()
    try:
        assert "Successfully installed" in await shown(branch, f"%pip install {NAME}==1.0")
        assert "1.0" in await shown(branch, "!python -c 'import made_up; print(made_up.version)'")
    finally:
        await branch.close()
    assert "ModuleNotFoundError" in await shown(kernel, "!python -c 'import made_up'")


@pytest.mark.parametrize("sandbox", ["local", "none"])
async def test_the_environment_that_others_share_is_not_changed(opened: Opener, minimal: Environment, sandbox: str, tmp_path: Path) -> None:
    wheel(tmp_path, "1.0")
    kernel = await opened(sandbox=sandbox)
    data = next(tmp_path.glob("*.whl")).read_bytes()
    await kernel.put("workbench_made_up-1.0-py3-none-any.whl", data)
    assert "Successfully installed" in await shown(kernel, "%pip install --no-deps ./workbench_made_up-1.0-py3-none-any.whl")
    assert "1.0" in await shown(kernel, "import made_up\nmade_up.version")
    assert not list(minimal.site_packages.glob("made_up*"))


async def test_without_a_network_pip_says_so_soon(opened: Opener) -> None:
    kernel = await opened()
    told = as_text(await kernel.execute("%pip install six"), sees_images=False)
    assert "No matching distribution found for six" in told and told.count("Retrying") <= 1
