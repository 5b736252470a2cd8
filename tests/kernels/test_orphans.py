"""After ``kill -9`` of what started kernels: they die by themselves, and the next process removes what else is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import psutil
import pytest

from workbench import paths
from workbench.errors import SandboxError
from workbench.kernels import lending, orphans, runtime
from workbench.kernels.environments import Environment
from workbench.kernels.provisioners.local import LocalProvisioner

from .tools import eventually, processes_with

PARENT = """
import asyncio, json, sys
from pathlib import Path
from workbench.kernels import environments, runtime
from workbench.kernels.session import KernelSession

DAEMONS = '''
import os, subprocess
for _ in range(2):
    subprocess.Popen(['sh', '-c', 'setsid sleep 36000 & setsid sh -c "sleep 36000; true {0}" & sleep 36000; true {0}'])
'''

async def main():
    work, marker = Path(sys.argv[1]), sys.argv[2]
    sessions = []
    for name in ("one", "two"):
        (work / name).mkdir()
        session = KernelSession(environments.find("python-min"), work / name)
        await session.start()
        assert (await session.execute(DAEMONS.replace("{0}", marker))).status == "ok"
        sessions.append(session)
    sessions.append(await sessions[0].fork())
    assert (await sessions[-1].execute(DAEMONS.replace("{0}", marker))).status == "ok"
    groups = [folder for each in sessions if (group := each.provisioner.process._cgroup) for folder in group.folders]
    told = {"by": sessions[-1].branched.by, "owner": str(runtime.mine()), "groups": list(map(str, groups))}
    print(json.dumps(told), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run root of this test's own, for this process and for those it starts."""
    # short: a socket's path must fit
    with tempfile.TemporaryDirectory(prefix="wb-o-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield paths.run_root()


def mounts() -> set[str]:
    points = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    # the tests' own Docker engine may come and go meanwhile
    return {point for point in points if "/workbench-engine-" not in point and not point.startswith("/run/docker")}


def cli(*arguments: str) -> Any:
    argv = [sys.executable, "-c", "from workbench.cli import main; main()", *arguments, "--json"]
    return json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)


@contextmanager
def parent(work: Path, marker: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    argv = [sys.executable, "-c", PARENT, str(work), marker]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def everything_below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.walls
async def test_nothing_survives_its_parent(root: Path, tmp_path: Path, minimal: Environment) -> None:
    marker = f"orphan-{tmp_path.name}-{os.getpid()}"
    before = mounts()
    work = tmp_path / "work"
    work.mkdir()
    with parent(work, marker) as (process, told):
        owner = Path(told["owner"])
        live = cli("kernels", "list")["live"]
        assert [each["owner"] for each in live] == [process.pid] * 3
        assert all(each["memory"] > 2**20 for each in live)
        assert await eventually(lambda: len(processes_with(marker)) >= 12)
        below = everything_below(process)
        assert {each.pid for each in processes_with(marker)} <= {process.pid, *(each.pid for each in below)}
        assert owner.is_dir()
        process.send_signal(signal.SIGKILL)
        process.wait()
        # by themselves: nobody has removed anything yet
        assert await eventually(lambda: all(map(gone, below)))
        assert processes_with(marker) == []
        assert owner.is_dir()
        assert mounts() == before
    # listing what is alive looks, and touches nothing
    assert cli("kernels", "list")["live"] == []
    assert owner.is_dir()
    assert cli("kernels", "gc")["removed"]["local"] == [owner.name]
    assert not any(path.is_dir() for path in root.iterdir())
    assert not any(Path(group).exists() for group in told["groups"])
    assert {path.stat().st_uid for path in work.rglob("*")} == {os.geteuid()}
    assert cli("kernels", "gc")["removed"]["local"] == []


@pytest.mark.walls
async def test_the_next_process_to_start_a_kernel_removes_it_too(root: Path, tmp_path: Path, minimal: Environment) -> None:
    work = tmp_path / "work"
    work.mkdir()
    with parent(work, "-") as (process, told):
        process.kill()
        process.wait()
    again = "from workbench.kernels import runtime; print(runtime.mine())"
    subprocess.run([sys.executable, "-c", again], capture_output=True, check=True)
    assert not any(path.is_dir() for path in root.iterdir())
    assert not any(Path(group).exists() for group in told["groups"])


def test_a_cgroup_whose_owners_folder_is_gone_is_removed_too(root: Path) -> None:
    code = """
from workbench.kernels import runtime
from workbench.kernels.cgroups import OWNED, Cgroup
from workbench.kernels.limits import Limits
group = Cgroup.create(f"workbench-{runtime.mine().name}-1{OWNED}", Limits())
print(*([runtime.mine(), *group.folders] if group else []), sep="\\n", flush=True)
import os
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if not done.stdout.strip():
        pytest.skip("no cgroup is delegated to this user")
    folder, *groups = map(Path, done.stdout.split())
    shutil.rmtree(folder)
    assert cli("kernels", "gc")["removed"]["local"] == []
    assert not any(group.exists() for group in groups)


class Down(LocalProvisioner):
    """Of an engine that does not run."""

    @classmethod
    async def sweep(cls) -> list[str]:
        raise SandboxError("the engine is down", hint="start it")


class Broken(LocalProvisioner):
    """Of somebody else's."""

    @classmethod
    async def sweep(cls) -> list[str]:
        raise RuntimeError("a mistake")


async def test_one_sandbox_that_cannot_be_looked_at_does_not_keep_the_others_from_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = {name: EntryPoint(name, f"{__name__}:{name}", orphans.GROUP) for name in ("Broken", "Down")}
    local = orphans.installed()["local"]
    monkeypatch.setattr(orphans, "installed", lambda: {**points, "local": local})
    swept = await orphans.sweep()
    assert swept.removed == {"local": []}
    assert swept.skipped == {"Broken": "RuntimeError: a mistake", "Down": "the engine is down (start it)"}


WITHOUT = """
import sys
for name in ("e2b", "docker"):
    sys.modules[name] = None
from workbench.cli import main
main()
"""


def test_leftovers_are_removed_where_packages_of_other_sandboxes_are_not_installed(root: Path, tmp_path: Path) -> None:
    (root / "dead01").mkdir(parents=True)
    (root / "dead01" / "owner").touch()
    commands = [["kernels", "gc", "--json"], ["kernels", "gc"], ["kernels", "install", "--environment", "python-min", "--prefix", tmp_path]]
    swept, told, installed = (
        subprocess.run([sys.executable, "-c", WITHOUT, *map(str, command)], capture_output=True, text=True, check=True)
        for command in commands
    )
    found = json.loads(swept.stdout)
    assert found["removed"] == {"local": ["dead01"]}
    assert sorted(found["skipped"]) == ["docker", "e2b"]
    assert all("pip install 'codeact-workbench[" in reason for reason in found["skipped"].values())
    assert "local: nothing was left" in told.stdout and "e2b: not looked at" in told.stdout
    assert "is installed as" in installed.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else")
def test_what_was_lent_is_given_back_after_the_death_of_who_lent_it(root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "deep").mkdir(parents=True)
    (mine / "deep" / "file").write_text("x")
    (mine / "link").symlink_to("/etc/hostname")
    outside = Path("/etc/hostname").stat().st_uid
    for path in (mine, mine / "deep", mine / "deep" / "file"):
        os.chown(path, 12345, 54321)
    kernel = root / "dead01" / "k-1"
    kernel.mkdir(parents=True)
    (root / "dead01" / "owner").touch()
    lending.lend(mine, lending.FIRST_USER + 7, kernel / lending.NOTE)
    lending.lend(mine, lending.FIRST_USER + 8, kernel / lending.NOTE)
    assert (mine / "deep" / "file").stat().st_uid == lending.FIRST_USER + 8
    assert runtime.sweep() == ["dead01"]
    found = {(path.lstat().st_uid, path.lstat().st_gid) for path in [mine, *mine.rglob("*")]}
    assert found == {(12345, 54321)}
    assert Path("/etc/hostname").stat().st_uid == outside


def test_a_folder_that_python_cannot_walk_is_removed_all_the_same(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    here = os.open(deep, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    closed = deep / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0)
    runtime.remove(deep)
    assert not deep.exists()
