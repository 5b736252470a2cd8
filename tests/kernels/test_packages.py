"""``pip`` in a sandboxed kernel, from an index on this machine."""

from __future__ import annotations

import http.server
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from workbench.agents.show import as_text
from workbench.kernels.contract import Kernel
from workbench.kernels.environments import Environment
from workbench.kernels.policy import Policy

from .conftest import Opener

pytestmark = pytest.mark.walls

NAME = "workbench-made-up"


def wheel(folder: Path, version: str, *, name: str = NAME, module: str = "made_up", requires: str = "") -> None:
    """Write a package of one module, which knows its version."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (f"Requires-Dist: {requires}\n" if requires else "")
    parts = {
        f"{module}.py": f"version = {version!r}\n",
        f"{stem}.dist-info/METADATA": metadata,
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as file:
        for path, text in parts.items():
            file.writestr(path, text)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves folders as pip expects an index to be."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[int]:
    """The port of a package index with two versions of one package, and a newer version of one of the environment's."""
    simple = tmp_path / "served" / "simple"
    for version in ("1.0", "2.0"):
        wheel(simple / NAME, version, requires="traitlets")
    wheel(simple / "traitlets", "99.0", name="traitlets", module="traitlets_of_the_index")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "served")) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


async def shown(kernel: Kernel, code: str) -> str:
    observation = await kernel.execute(code)
    assert observation.status == "ok", as_text(observation, sees_images=False)
    return as_text(observation, sees_images=False)


async def test_what_is_installed_through_the_allowlist_can_be_imported(opened: Opener, index: int) -> None:
    kernel = await opened(policy=Policy(network=(f"localhost:{index}",)))
    await shown(kernel, f"import os\nos.environ['PIP_INDEX_URL'] = 'http://localhost:{index}/simple'")
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
