"""Environments: found by name, built once, never half built."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from workbench import paths
from workbench.errors import SandboxError, UsageError
from workbench.kernels import contents, environments, locks
from workbench.kernels.environments import Environment, build, describe, every, extend, find, names
from workbench.kernels.limits import Limits

HASH = "--hash=sha256:" + "0" * 64
LOCK = (
    "\n".join(f"{pin} {HASH}" for pin in ("ipykernel==7.1.0", "matplotlib-inline==0.2.1", "sandlock==0.9.1", "polars==1.2", "numpy==2.4.6"))
    + "\n"
)
GOOD = """
name = "mine"
summary = "for a test"
python = ">=3.11"
packages = ["ipykernel>=7", "matplotlib-inline", "sandlock; sys_platform == 'linux'", "polars[all]>=1", "Numpy"]
"""


@pytest.fixture
def definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of definitions with one good one, in place of the built-in ones."""
    root = tmp_path / "sandboxes"
    (root / "mine").mkdir(parents=True)
    (root / "mine" / "environment.toml").write_text(GOOD)
    (root / "mine" / "requirements.lock").write_text(LOCK)
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
    assert environment.packages == ("ipykernel>=7", "matplotlib-inline", "sandlock; sys_platform == 'linux'", "polars[all]>=1", "Numpy")
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
        ('"matplotlib-inline", ', ""),
        ('["ipykernel>=7", "matplotlib-inline", ', "[] #"),
        ('summary = "for a test"', 'lock = "no-such.lock"\nsummary = ""'),
        ("for a test", "\udcff"),
        ('name = "mine"', 'name = "yours"'),
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
    (definitions / "mine" / "environment.toml").write_text(GOOD.replace(">=3.11", "<3.10"))
    with pytest.raises(UsageError, match=r"takes Python <3\.10"):
        find("mine")


def test_another_lock_is_another_build(definitions: Path) -> None:
    before = find("mine")
    (definitions / "mine" / "requirements.lock").write_text(LOCK + f"six==1.17.0 {HASH}\n")
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
    (definitions / "mine" / "other.lock").write_text(LOCK)
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


def test_a_lock_that_lacks_a_package_names_it_and_the_command(definitions: Path) -> None:
    (definitions / "mine" / "requirements.lock").write_text(LOCK.replace("numpy==2.4.6", "six==1.0").replace("7.1.0", "6.0"))
    with pytest.raises(UsageError, match="out of date") as raised:
        find("mine")
    assert "ipykernel>=7 (the lock has 6.0); Numpy (not in the lock)" in raised.value.message
    assert raised.value.hint == "workbench environments lock mine"


@pytest.mark.parametrize("broken", ["numpy==2.4.6", f"numpy>=2 {HASH}", f"-r other.txt {HASH}", "\udcff"])
def test_a_lock_that_is_none_is_named_with_the_command(definitions: Path, broken: str) -> None:
    (definitions / "mine" / "requirements.lock").write_text(LOCK + broken, errors="surrogateescape")
    with pytest.raises(UsageError, match=r"mine/requirements\.lock: ") as raised:
        find("mine")
    assert raised.value.hint == "workbench environments lock mine"


def test_a_path_is_as_good_as_a_name(definitions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (definitions / "mine").rename(tmp_path / "mine")
    assert names() == []
    assert find(str(tmp_path / "mine")).name == "mine"
    monkeypatch.chdir(tmp_path)
    assert find("./mine").definition == tmp_path / "mine"


def test_a_definition_says_its_limits_system_packages_and_preloads(definitions: Path) -> None:
    more = 'system = ["libgomp1"]\npreload = ["numpy", "os.path"]\n[limits]\nmemory = "3G"\nprocesses = 50\n'
    (definitions / "mine" / "environment.toml").write_text(GOOD + more)
    environment = find("mine")
    assert (environment.system, environment.preload) == (("libgomp1",), ("numpy", "os.path"))
    assert environment.limits == Limits(memory=3 * 2**30, processes=50)


def test_one_that_is_broken_does_not_hide_the_others(definitions: Path) -> None:
    shutil.copytree(definitions / "mine", definitions / "broken")
    found = every()
    assert isinstance(found["mine"], Environment)
    assert isinstance(found["broken"], UsageError)


class TestExtend:
    def test_what_is_there_already_shares_the_build(self, definitions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(locks, "resolve", None)
        base = find("mine")
        extended = extend(base, ["numpy<3", "polars"])
        assert (extended.hash, extended.prefix, extended.lock) == (base.hash, base.prefix, base.lock)
        assert extended.packages == (*base.packages, "numpy<3", "polars")
        assert extend(base, []) is base

    @pytest.mark.parametrize("packages", [["numpy<2.4"], ["six"], ["polars[all]"]])
    def test_what_is_not_there_is_resolved_once_and_built_apart(
        self, definitions: Path, monkeypatch: pytest.MonkeyPatch, packages: list[str]
    ) -> None:
        asked: list[tuple[list[str], str, Path]] = []

        def resolve(what: str, packages: list[str], lock: Path, *, python: str, like: Path) -> None:
            asked.append((packages, python, like))
            lock.write_text(LOCK + f"six==1.17.0 {HASH}\n")

        monkeypatch.setattr(locks, "resolve", resolve)
        (definitions / "mine" / "environment.toml").write_text(GOOD + '[limits]\nmemory = "3G"\n')
        base = find("mine")
        extended = [extend(base, packages) for _ in range(2)]
        assert asked == [([*base.packages, *packages], "3.11", base.lock)]
        assert extended[0] == extended[1]
        assert (extended[0].name, extended[0].limits, extended[0].definition) == (base.name, base.limits, base.definition)
        assert len({base.hash, extended[0].hash}) == len({base.prefix, extended[0].prefix}) == 2
        assert list(extended[0].lock.parent.iterdir()) == [extended[0].lock]
        assert extended[0].lock.is_relative_to(paths.cache())

    def test_a_base_that_changed_is_resolved_again(self, definitions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        resolved = []
        monkeypatch.setattr(locks, "resolve", lambda what, packages, lock, **_: resolved.append(lock) or lock.write_text(LOCK))
        extend(find("mine"), ["six"])
        (definitions / "mine" / "requirements.lock").write_text(LOCK.replace("2.4.6", "2.4.7"))
        extend(find("mine"), ["six"])
        assert len(set(resolved)) == 2

    def test_a_real_one_keeps_the_versions_that_fit_and_holds_what_was_added(self, tmp_path: Path, minimal: Environment) -> None:
        extended = extend(minimal, ["six<1.17"])
        had = {pin.name: str(pin.specifier) for pin in locks.parse(minimal.lock.read_text())}
        has = {pin.name: str(pin.specifier) for pin in locks.parse(extended.lock.read_text())}
        assert has.pop("six") == "==1.16.0"
        assert {name: has[name] for name in had if name != "six"} == {name: version for name, version in had.items() if name != "six"}
        build(extended)
        done = subprocess.run(
            [extended.python, "-I", "-c", "import ipykernel, six; print(six.__version__)"], capture_output=True, text=True, check=True
        )
        assert done.stdout == "1.16.0\n"

    def test_what_does_not_exist_or_does_not_fit_is_named(self, minimal: Environment) -> None:
        with pytest.raises(UsageError, match=r"six-of-one>1 in environment python-min cannot be resolved: .*six-of-one was not found"):
            extend(minimal, ["six-of-one>1"])
        with pytest.raises(UsageError, match=r"ipykernel>=7,<8 and ipykernel<7"):
            extend(minimal, ["ipykernel<7"])


class TestLock:
    def test_is_resolved_and_says_how(self, definitions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        given = {}
        monkeypatch.setattr(locks, "resolve", lambda what, packages, lock, **more: given.update(packages=packages, lock=lock, **more))
        file = definitions / "mine" / "requirements.lock"
        assert environments.lock("mine") == file
        assert given["packages"] == list(find("mine").packages)
        assert (given["lock"], given["like"], given["python"]) == (file, file, "3.11")
        assert "workbench environments lock mine" in given["header"]
        environments.lock("mine", upgrade=True)
        assert given["like"] is None

    @pytest.mark.parametrize("before", [None, "<<<<<<< ours", LOCK.replace("2.4.6", "0.0.1")], ids=["none", "broken", "no such versions"])
    def test_need_not_be_sound_before(self, definitions: Path, before: str | None) -> None:
        (definitions / "mine" / "environment.toml").write_text(GOOD.replace("polars[all]>=1", "six==1.17.0").replace("Numpy", "iniconfig"))
        file = definitions / "mine" / "requirements.lock"
        file.unlink()
        if before is not None:
            file.write_text(before)
        environments.lock("mine")
        assert find("mine").packages[-2:] == ("six==1.17.0", "iniconfig")
        assert sorted(path.name for path in (definitions / "mine").iterdir()) == ["environment.toml", "requirements.lock"]


def test_the_built_in_locks_say_how_they_are_made() -> None:
    for name in ("python-ds", "python-min"):
        environment = find(name)
        assert environment.lock.read_text().startswith(f"# Every package of the environment {name}, ")


def test_nothing_is_built_where_a_debian_package_is_missing(definitions: Path, uv: Uv) -> None:
    (definitions / "mine" / "environment.toml").write_text(GOOD + 'system = ["no-such-package-anywhere"]\n')
    with pytest.raises(SandboxError, match=r"no-such-package-anywhere|no dpkg"):
        build(find("mine"))
    assert uv.calls == []


def test_the_preloads_of_the_data_stack_are_in_it(ds: Environment) -> None:
    assert contents.lacking_modules(ds.site_packages, ds.preload) == []
    assert contents.lacking_packages(ds.site_packages, ds.packages) == []
