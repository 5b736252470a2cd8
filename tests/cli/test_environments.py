"""``workbench environments``: what is listed, built for each backend, and locked."""

from __future__ import annotations

import json
import shutil
import sys
import types
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench import paths
from workbench.cli import environments as cli
from workbench.cli.app import app
from workbench.errors import UsageError
from workbench.kernels.environments import Environment

CLI = CliRunner()


def invoke(*arguments: str) -> str:
    done = CLI.invoke(app, ["environments", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment of the user's own."""
    folder = tmp_path / "own" / "bare"
    shutil.copytree(paths.builtin("sandboxes") / "python-min", folder)
    toml = folder / "environment.toml"
    toml.write_text(toml.read_text().replace("python-min", "bare").replace('"1G"', '"3G"'))
    monkeypatch.setenv("WORKBENCH_ENVIRONMENTS", str(tmp_path / "own"))
    return folder


def test_the_list_has_the_built_in_ones_and_the_users_own(own: Path, minimal: Environment) -> None:
    listed = {row["name"]: row for row in json.loads(invoke("list", "--json"))}
    assert set(listed) == {"bare", "python-ds", "python-min"}
    assert listed["python-min"]["built"] is True and listed["python-min"]["hash"] == minimal.hash
    assert listed["bare"]["folder"] == str(own) and listed["bare"]["limits"]["memory"] == 3 * 2**30
    assert "Python 3" in invoke("list") and ">=3.11,<3.14" in invoke("list")


def test_one_that_is_broken_is_listed_with_what_is_wrong(own: Path) -> None:
    (own / "requirements.lock").unlink()
    listed = {row["name"]: row for row in json.loads(invoke("list", "--json"))}
    assert "workbench environments lock bare" in listed["bare"]["error"]
    assert "built" in listed["python-ds"]
    assert "broken" in invoke("list")


def test_the_local_build_says_where_it_is(minimal: Environment) -> None:
    made = json.loads(invoke("build", "python-min", "--json"))
    assert made == [{"name": "python-min", "backend": "local", "hash": minimal.hash, "prefix": str(minimal.prefix)}]
    assert str(minimal.prefix) in invoke("build", str(minimal.definition))


@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize(("backend", "module", "key"), [("docker", "images", "image"), ("e2b", "templates", "template")])
def test_another_backend_is_built_by_its_own_module(
    monkeypatch: pytest.MonkeyPatch, minimal: Environment, backend: str, module: str, key: str, asynchronous: bool
) -> None:
    asked = []

    def build(environment: Environment) -> str:
        asked.append(environment)
        return "made:1"

    async def build_later(environment: Environment) -> str:
        return build(environment)

    pretended = types.SimpleNamespace(build=build_later if asynchronous else build)
    monkeypatch.setitem(sys.modules, f"workbench.kernels.{module}", pretended)
    monkeypatch.setattr(cli, "find_spec", lambda _: object())
    made = json.loads(invoke("build", "python-min", "--backend", backend, "--json"))
    assert made == [{"name": "python-min", "backend": backend, "hash": minimal.hash, key: "made:1"}]
    assert asked == [minimal]


@pytest.mark.parametrize("backend", ["docker", "e2b"])
def test_a_backend_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda _: None)
    with pytest.raises(UsageError) as raised:
        invoke("build", "python-min", "--backend", backend)
    assert raised.value.hint == f"pip install 'codeact-workbench[{backend}]'"


def test_a_lock_that_is_out_of_date_is_made_anew(own: Path) -> None:
    toml = own / "environment.toml"
    toml.write_text(toml.read_text().replace("packages = [", 'packages = [\n  "iniconfig",'))
    assert "error" in json.loads(invoke("list", "--json"))[0]
    lock = own / "requirements.lock"
    assert json.loads(invoke("lock", "bare", "--json")) == [{"name": "bare", "lock": str(lock)}]
    assert "\niniconfig==" in lock.read_text()
    assert "error" not in json.loads(invoke("list", "--json"))[0]
