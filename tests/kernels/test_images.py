"""Environments as Docker images, built on a real engine without a network."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from workbench.errors import SandboxError
from workbench.kernels import environments, images
from workbench.kernels.environments import Environment

LOOK = """
import importlib.util, json, os, pathlib, subprocess, sys
import IPython, ipykernel, zmq
spec = importlib.util.find_spec("IPython.core.interactiveshell")
print(json.dumps({
    "prefix": sys.prefix,
    "version": ".".join(map(str, sys.version_info[:2])),
    "compiled": os.path.exists(importlib.util.cache_from_source(spec.origin)),
    "script": subprocess.run(["/opt/environment/bin/jupyter", "--version"], capture_output=True, text=True).stdout,
    "programs": sorted(os.listdir("/opt/workbench")),
    "writable": [str(path) for path in pathlib.Path("/opt").rglob("*") if os.access(path, os.W_OK)],
    "packages": sorted(path.name for path in pathlib.Path(IPython.__file__).parents[1].glob("*.dist-info")),
}))
"""


@pytest.fixture
def environment() -> Environment:
    return environments.find("python-min")


def test_the_name_says_what_is_in_it(environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_DOCKER_BASE", raising=False)
    name = images.name(environment)
    other = tmp_path / "other.lock"
    other.write_bytes(environment.lock.read_bytes() + b"\n# other\n")
    names = {name, images.name(replace(environment, lock=other)), images.name(replace(environment, name="python-other"))}
    names.add(images.name(replace(environment, system=("graphviz",))))
    monkeypatch.setenv("WORKBENCH_DOCKER_BASE", "debian")
    names.add(images.name(environment))
    assert len(names) == 5
    # where the environment would be built on this machine says nothing about the image
    monkeypatch.delenv("WORKBENCH_DOCKER_BASE")
    assert images.name(replace(environment, prefix=tmp_path, hash="other")) == name


def test_the_base_is_the_official_image_of_this_python_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_DOCKER_BASE", raising=False)
    assert images.base() == f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    monkeypatch.setenv("WORKBENCH_DOCKER_BASE", "mine:1")
    assert images.dockerfile().startswith("FROM mine:1\n")


@pytest.mark.docker
def test_an_image_holds_the_lock_compiled_and_readable_by_everybody(
    engine: docker.DockerClient, environment: Environment, minimal: Environment
) -> None:
    image = images.name(environment)
    said = engine.containers.run(image, ["/opt/environment/bin/python", "-c", LOOK], user="12345:12345", network_mode="none", remove=True)
    found = json.loads(said)
    assert found["prefix"] == images.PREFIX
    assert found["version"] == ".".join(map(str, sys.version_info[:2]))
    assert found["compiled"]
    assert "IPython" in found["script"]
    assert {"hold.py", "kernel.py", "launch.py", "bridge.py", "workbench_exchange"} <= set(found["programs"])
    assert found["writable"] == []
    assert found["packages"] == sorted(path.name for path in minimal.site_packages.glob("*.dist-info"))
    labels = engine.images.get(image).labels
    assert (labels["workbench.environment"], labels["workbench.hash"]) == ("python-min", environment.hash)


@pytest.mark.docker
async def test_an_image_that_is_there_is_not_built_again(
    engine: docker.DockerClient, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_prepare", None)
    assert await images.build(environment) == images.name(environment)


@pytest.mark.docker
async def test_what_cannot_be_built_is_told_and_leaves_nothing(
    engine: docker.DockerClient, environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = {image.id for image in engine.images.list(all=True)}
    with monkeypatch.context() as patch:
        patch.setenv("WORKBENCH_DOCKER_BASE", "registry.invalid/no-such-base:1")
        with pytest.raises(SandboxError, match=r"base image registry.invalid/no-such-base:1.*WORKBENCH_DOCKER_BASE"):
            await images.build(environment)
    with monkeypatch.context() as patch:
        patch.setattr(images, "_PLATFORMS", {"s390x": ""})
        patch.setattr(images, "dockerfile", lambda system: "another")
        with pytest.raises(SandboxError, match="no packages are locked for an engine on"):
            await images.build(environment)
    lock = tmp_path / "wrong.lock"
    lock.write_text("tornado==6.5 --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(SandboxError, match=r"uv pip failed|uv pip sync failed"):
        await images.build(replace(environment, lock=lock))
    lock.write_text("")
    with monkeypatch.context() as patch:
        patch.setattr(images, "PYTHON", "3.99")
        with pytest.raises(SandboxError, match=r"the base image has Python .*, this needs 3.99"):
            await images.build(replace(environment, lock=lock))
    assert {image.id for image in engine.images.list(all=True)} == before
    assert engine.containers.list(all=True, filters={"status": "exited"}) == []
