"""``pip`` in a sandboxed kernel, from an index on this machine."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

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


@pytest.fixture(params=["local", pytest.param("docker", marks=pytest.mark.docker)])
def reaching(request: pytest.FixtureRequest) -> str:
    """A sandbox whose kernels may reach hosts."""
    if request.param == "docker":
        request.getfixturevalue("engine")
    return str(request.param)


async def test_an_index_that_only_the_users_own_authority_vouches_for(
    opened: Opener, reaching: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority, server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    (tmp_path / "authority.pem").write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with index(tmp_path, tls=server) as port:
        kernel = await opened(policy=Policy(network=(f"localhost:{port}",)), sandbox=reaching)
        assert "no key" in await shown(kernel, "import os\nprint('PRIVATE' in open(os.environ['SSL_CERT_FILE']).read() or 'no key')")
        install = f"%pip install --index-url https://localhost:{port}/simple {NAME}"
        assert "Successfully installed" in await shown(kernel, install)
        branch = await kernel.fork()
        try:
            assert "Successfully uninstalled" in await shown(branch, install.replace("install ", "install --force-reinstall --no-deps ", 1))
        finally:
            await branch.close()
        await kernel.restart()
        assert "Successfully installed" in await shown(kernel, install)


async def test_a_kernel_without_a_network_is_told_of_no_authority(opened: Opener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    assert "[]" in await shown(await opened(), "import os\n[name for name in os.environ if 'CERT' in name or 'CA_BUNDLE' in name]")


async def test_without_a_network_pip_says_so_soon(opened: Opener) -> None:
    kernel = await opened()
    told = as_text(await kernel.execute("%pip install six"), sees_images=False)
    assert "No matching distribution found for six" in told and told.count("Retrying") <= 1
