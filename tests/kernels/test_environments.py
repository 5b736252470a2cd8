"""Environments: found by name, built once, never half built."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from workbench import paths
from workbench.errors import SandboxError, UsageError
from workbench.kernels import environments
from workbench.kernels.environments import Environment, build, describe, find, names

GOOD = """
name = "mine"
summary = "for a test"
python = ">=3.11"
packages = ["ipykernel>=7", "sandlock; sys_platform == 'linux'", "polars[all]>=1", "Numpy"]
"""


@pytest.fixture
def definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of definitions with one good one, in place of the built-in ones."""
    root = tmp_path / "sandboxes"
    (root / "mine").mkdir(parents=True)
    (root / "mine" / "environment.toml").write_text(GOOD)
    (root / "mine" / "requirements.lock").write_text("")
    monkeypatch.setattr(paths, "builtin", lambda kind: tmp_path / kind)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    return root


def test_the_built_in_ones_are_found() -> None:
    assert {"python-ds", "python-min"} <= set(names())
    for name in names():
        environment = find(name)
        assert environment.name == name
        assert environment.prefix.is_relative_to(paths.cache() / "environments")
        assert environment.hash in environment.prefix.name


@pytest.mark.parametrize("name", ["no-such", "", "..", "../sandboxes/python-min", "/etc"])
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match="no environment is called") as raised:
        find(name)
    assert "python-ds, python-min" in raised.value.hint


def test_a_definition_is_read(definitions: Path) -> None:
    environment = find("mine")
    assert environment.packages == ("ipykernel>=7", "sandlock; sys_platform == 'linux'", "polars[all]>=1", "Numpy")
    assert not environment.built
    assert names() == ["mine"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "mine"', "name = "),
        ('name = "mine"', 'name = "mine"\nextra = 1'),
        ('name = "mine"', ""),
        ('python = ">=3.11"', 'python = "three"'),
        ('"ipykernel>=7", ', "7, "),
        ('["ipykernel>=7", "sandlock; sys_platform == \'linux\'", "polars[all]>=1", "Numpy"]', "[]"),
        ('summary = "for a test"', 'lock = "no-such.lock"\nsummary = ""'),
        ("for a test", "\udcff"),
    ],
)
def test_a_malformed_definition_is_named_with_its_file(definitions: Path, old: str, new: str) -> None:
    file = definitions / "mine" / "environment.toml"
    assert old in GOOD
    file.write_text(GOOD.replace(old, new), errors="surrogateescape")
    with pytest.raises(UsageError) as raised:
        find("mine")
    assert "mine" in str(raised.value)


def test_another_python_is_refused_with_what_it_takes(definitions: Path) -> None:
    (definitions / "mine" / "environment.toml").write_text(GOOD.replace(">=3.11", "<3.5"))
    with pytest.raises(UsageError, match=r"takes Python <3\.5"):
        find("mine")


def test_another_lock_is_another_build(definitions: Path) -> None:
    before = find("mine")
    (definitions / "mine" / "requirements.lock").write_text("six==1.17.0\n")
    assert find("mine").prefix != before.prefix


def test_described_without_the_kernels_own_plumbing(definitions: Path, minimal: Environment) -> None:
    version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    assert describe(find("mine")) == f"{version} with Numpy, polars"
    assert describe(minimal) == f"{version} and its standard library"


class Uv:
    """In place of uv: makes what it would make, slowly enough to be caught at it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.fails = False
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, *arguments: str) -> None:
        self.calls.append(arguments)
        if arguments[0] == "venv":
            (Path(arguments[-1]) / "bin").mkdir(parents=True)
        if arguments[0] == "pip":
            self.go_on.wait()
            if self.fails:
                raise SandboxError("uv pip sync failed: no network")


@pytest.fixture
def uv(definitions: Path, monkeypatch: pytest.MonkeyPatch) -> Uv:
    pretended = Uv()
    monkeypatch.setattr(environments, "uv", pretended)
    return pretended


def test_built_once_by_however_many_ask(uv: Uv) -> None:
    environment = find("mine")
    uv.go_on.clear()
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(build, environment) for _ in range(5)]
        assert not environment.built
        uv.go_on.set()
        assert all(each.result().built for each in asked)
    assert [call[0] for call in uv.calls] == ["venv", "pip"]


def test_built_from_the_lock_the_definition_names(definitions: Path, uv: Uv) -> None:
    (definitions / "mine" / "environment.toml").write_text(GOOD + 'lock = "other.lock"\n')
    (definitions / "mine" / "other.lock").write_text("")
    build(find("mine"))
    assert uv.calls[1][-1] == str(definitions / "mine" / "other.lock")


def test_packages_are_checked_against_their_hashes_and_never_built_from_source(uv: Uv) -> None:
    build(find("mine"))
    assert "--require-hashes" in uv.calls[1]
    assert uv.calls[1][uv.calls[1].index("--only-binary") + 1] == ":all:"


def test_a_build_that_failed_is_no_environment_and_is_made_anew(uv: Uv) -> None:
    environment = find("mine")
    uv.fails = True
    with pytest.raises(SandboxError, match="no network"):
        build(environment)
    assert not environment.built
    uv.fails = False
    (environment.prefix / "half").touch()
    assert build(environment).built
    assert not (environment.prefix / "half").exists()


def test_the_installers_last_words_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="uv pip sync failed") as raised:
        environments.uv("pip", "sync", str(tmp_path / "no-such.lock"))
    assert "no-such.lock" in raised.value.message


def test_a_real_build_cut_short_is_rebuilt_and_a_whole_one_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    environment = find("python-min")
    assert not environment.built
    (environment.site_packages / "ipykernel").mkdir(parents=True)
    (environment.site_packages / "ipykernel" / "half.py").touch()
    build(environment)
    assert environment.built
    assert not (environment.site_packages / "ipykernel" / "half.py").exists()
    assert list((environment.site_packages / "ipykernel").rglob("*.pyc"))
    code = "import ipykernel, sandlock, sys; print(sys.prefix)"
    done = subprocess.run([environment.python, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == environment.prefix
    (environment.prefix / "added").touch()
    build(find("python-min"))
    assert (environment.prefix / "added").exists()


def test_the_interpreter_of_workbench_is_not_in_it(minimal: Environment) -> None:
    done = subprocess.run([minimal.python, "-I", "-c", "import workbench"], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError" in done.stderr
