"""The cgroup that holds a sandbox to its limits, on pretended and on real cgroup trees."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kernels.tools import eventually
from workbench.errors import SandboxError
from workbench.kernels.cgroups import OWNED, Cgroup
from workbench.kernels.limits import Limits

LIMITS = Limits(memory=64 * 2**20, processes=20, cpus=0.5)


def tree_1(root: Path, memory: str = "/box/inner", pids: str = "/") -> dict[str, str]:
    (root / "memory" / memory.strip("/")).mkdir(parents=True)
    (root / "pids" / pids.strip("/")).mkdir(parents=True, exist_ok=True)
    (root / "cpu").mkdir()
    mounts = [
        "proc /proc proc rw 0 0",
        f"tmpfs {root} tmpfs rw,mode=755 0 0",
        f"cgroup {root}/cpu cgroup rw,relatime,cpu,cpuacct 0 0",
        f"cgroup {root}/memory cgroup rw,nosuid,relatime,memory 0 0",
        f"cgroup {root}/pids cgroup rw,relatime,pids 0 0",
        f"cgroup2 {root}/unified cgroup2 rw,relatime 0 0",
    ]
    own = ["9:name=systemd:/", f"8:pids:{pids}", f"4:memory:{memory}", "1:cpu,cpuacct:/", "0::/"]
    return {"mounts": "\n".join(mounts) + "\n", "own": "\n".join(own) + "\n"}


def tree_2(root: Path, own: str = "/user.slice/session.scope") -> dict[str, str]:
    (root / own.strip("/")).mkdir(parents=True, exist_ok=True)
    return {"mounts": f"proc /proc proc rw 0 0\ncgroup2 {root} cgroup2 rw,nsdelegate 0 0\n", "own": f"0::{own}\n"}


def settings_of(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def unlink_files(group: Cgroup) -> None:
    """A real cgroup's files need no removing; those of a pretended one do."""
    for folder in group.folders:
        for file in folder.iterdir():
            file.unlink()


def test_version_1_gets_a_folder_per_controller_below_its_own(tmp_path: Path) -> None:
    group = Cgroup.create("box-1", LIMITS, **tree_1(tmp_path))
    assert group is not None
    assert group.version == 1
    assert group.holds == {"memory", "processes", "cpus"}
    memory, pids, cpu = tmp_path / "memory/box/inner/box-1", tmp_path / "pids/box-1", tmp_path / "cpu/box-1"
    assert group.folders == [memory, pids, cpu]
    assert settings_of(memory) == {"memory.limit_in_bytes": str(LIMITS.memory), "memory.memsw.limit_in_bytes": str(LIMITS.memory)}
    assert settings_of(pids) == {"pids.max": "20"}
    assert settings_of(cpu) == {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"}
    unlink_files(group)
    group.remove()
    assert not memory.exists()
    assert not pids.exists()
    assert not cpu.exists()


def test_processor_time_is_read_where_it_is_counted(tmp_path: Path) -> None:
    first = Cgroup.create("box-1", LIMITS, **tree_1(tmp_path / "one"))
    second = Cgroup.create("box-1", LIMITS, **tree_2(tmp_path / "two"))
    assert first is not None and second is not None
    assert (first.cpu_seconds(), second.cpu_seconds()) == (None, None)
    (first.folders[-1] / "cpuacct.usage").write_text("1500000000\n")
    (second.folders[0] / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n")
    assert (first.cpu_seconds(), second.cpu_seconds()) == (1.5, 2.5)


def test_version_1_with_all_controllers_in_one_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    given = {"mounts": f"cgroup {tmp_path}/all cgroup rw,memory,pids,cpu 0 0\n", "own": "3:memory,pids,cpu:/\n"}
    group = Cgroup.create("box-1", LIMITS, **given)
    assert group is not None
    assert group.folders == [tmp_path / "all" / "box-1"]
    assert group.holds == {"memory", "processes", "cpus"}
    settings = settings_of(tmp_path / "all" / "box-1")
    assert settings["memory.limit_in_bytes"] == str(LIMITS.memory)
    assert settings["pids.max"] == "20"


def test_version_2_gets_a_sibling_because_its_own_group_holds_processes(tmp_path: Path) -> None:
    group = Cgroup.create("box-1", LIMITS, **tree_2(tmp_path))
    assert group is not None
    assert group.version == 2
    folder = tmp_path / "user.slice/box-1"
    assert group.folders == [folder]
    assert settings_of(folder) == {
        "memory.max": str(LIMITS.memory),
        "memory.swap.max": "0",
        "memory.oom.group": "0",
        "pids.max": "20",
        "cpu.max": "50000 100000",
    }
    assert group.holds == {"memory", "processes", "cpus"}
    unlink_files(group)
    group.remove()
    assert not folder.exists()


def test_version_2_in_the_root_group_gets_a_child(tmp_path: Path) -> None:
    group = Cgroup.create("box-1", LIMITS, **tree_2(tmp_path, "/"))
    assert group is not None
    assert group.folders == [tmp_path / "box-1"]


def refuse_to_write(monkeypatch: pytest.MonkeyPatch, *names: str, below: Path | None = None) -> None:
    """Pretend that cgroup files of ``names`` cannot be written; permissions would not stop root."""
    really = Path.write_text

    def write_text(self: Path, *arguments: str, **options: str) -> int:
        if self.name in names and (below is None or self.is_relative_to(below)):
            raise PermissionError(13, "Permission denied", str(self))
        return really(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", write_text)


def test_version_2_tries_a_child_where_a_sibling_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tree_2(tmp_path)
    refuse_to_write(monkeypatch, "memory.max", below=tmp_path / "user.slice/box-1")
    group = Cgroup.create("box-1", LIMITS, **given)
    assert group is not None
    assert group.folders == [tmp_path / "user.slice/session.scope/box-1"]
    assert not (tmp_path / "user.slice/box-1").exists()


def test_a_share_of_several_processors(tmp_path: Path) -> None:
    group = Cgroup.create("box-1", Limits(cpus=2.25), **tree_2(tmp_path))
    assert group is not None
    assert settings_of(group.folders[0])["cpu.max"] == "225000 100000"


@pytest.mark.parametrize("tree", [tree_1, tree_2])
def test_a_share_that_cannot_be_held_is_not_said_to_be(tree: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tree(tmp_path)  # type: ignore[operator]
    refuse_to_write(monkeypatch, "cpu.max", "cpu.cfs_quota_us")
    group = Cgroup.create("box-1", LIMITS, **given)
    assert group is not None
    assert group.holds == {"memory", "processes"}


def test_version_1_without_the_controller_of_processors(tmp_path: Path) -> None:
    given = tree_1(tmp_path)
    mounts = "\n".join(line for line in given["mounts"].splitlines() if "cpu" not in line)
    group = Cgroup.create("box-1", LIMITS, **(given | {"mounts": mounts}))
    assert group is not None
    assert group.holds == {"memory", "processes"}
    assert len(group.folders) == 2


def test_a_machine_without_swap_accounting_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_to_write(monkeypatch, "memory.memsw.limit_in_bytes", "memory.swap.max", "memory.oom.group")
    assert Cgroup.create("box-1", LIMITS, **tree_1(tmp_path / "1")) is not None
    assert Cgroup.create("box-1", LIMITS, **tree_2(tmp_path / "2")) is not None


@pytest.mark.parametrize("tree", [tree_1, tree_2])
def test_a_limit_that_cannot_be_set_means_no_cgroup(tree: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tree(tmp_path)  # type: ignore[operator]
    refuse_to_write(monkeypatch, "memory.max", "memory.limit_in_bytes")
    assert Cgroup.create("box-1", LIMITS, **given) is None
    assert not list(tmp_path.rglob("box-1"))


def test_half_a_version_1_group_is_taken_down_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tree_1(tmp_path)
    (tmp_path / "pids").rmdir()
    monkeypatch.setattr(Path, "write_text", lambda *_: 0)
    assert Cgroup.create("box-1", LIMITS, **given) is None
    assert not list(tmp_path.rglob("box-1"))


@pytest.mark.parametrize(
    ("mounts", "own"),
    [
        ("", ""),
        ("proc /proc proc rw 0 0\n", "0::/\n"),
        ("cgroup /nowhere/memory cgroup rw,memory 0 0\ncgroup /nowhere/pids cgroup rw,pids 0 0\n", "4:memory:/\n8:pids:/\n"),
        ("cgroup2 /nowhere/cgroup cgroup2 rw 0 0\n", "0::/a/b\n"),
        ("cgroup2 /nowhere/cgroup cgroup2 rw 0 0\n", ""),
    ],
)
def test_a_machine_that_lends_no_cgroup(mounts: str, own: str) -> None:
    assert Cgroup.create("box-1", LIMITS, mounts=mounts, own=own) is None


def test_oom_kills_are_read_in_both_versions(tmp_path: Path) -> None:
    for version, file in ((1, "memory.oom_control"), (2, "memory.events")):
        folder = tmp_path / str(version)
        folder.mkdir()
        group = Cgroup([folder], version)
        assert not group.out_of_memory()
        (folder / file).write_text("low 0\noom_kill 0\n")
        assert not group.out_of_memory()
        (folder / file).write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
        assert group.out_of_memory()


def test_members_are_those_of_every_folder(tmp_path: Path) -> None:
    group = Cgroup([tmp_path / "a", tmp_path / "b", tmp_path / "gone"], 1)
    for name, members in (("a", "7\n12\n"), ("b", "12\n3\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").write_text(members)
    assert group.members() == [3, 7, 12]


async def test_version_2_kills_all_at_once_where_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup.procs").write_text("999999999\n")
    (tmp_path / "cgroup.kill").write_text("")
    (tmp_path / "cpu.max").write_text("1000 100000")
    (tmp_path / "pids.max").write_text("20")
    really = Path.write_text

    def write_text(self: Path, text: str) -> int:
        if self.name == "cgroup.kill":
            really(tmp_path / "cgroup.procs", "")
        return really(self, text)

    monkeypatch.setattr(Path, "write_text", write_text)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("killed one by one"))
    await Cgroup([tmp_path]).kill()
    assert settings_of(tmp_path) == {"cgroup.procs": "", "cgroup.kill": "1", "cpu.max": "max", "pids.max": "0"}


def test_a_group_that_takes_nobody_says_so(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=f"process {os.getpid()} cannot enter {tmp_path}/gone: No such file"):
        Cgroup([tmp_path / "gone"]).add(os.getpid())


@pytest.fixture
def real() -> Iterator[Cgroup]:
    with made(LIMITS) as group:
        yield group


@contextmanager
def made(limits: Limits) -> Iterator[Cgroup]:
    group = Cgroup.create(f"workbench-test-{secrets.token_hex(4)}", limits)
    if group is None:
        pytest.skip("NO CGROUP: this machine lends none, limits are held by the watchdog here")
    yield group
    for pid in group.members():
        os.kill(pid, signal.SIGKILL)
    group.remove()


OWNER = """
import sys
from workbench.kernels.cgroups import OWNED, Cgroup
from workbench.kernels.limits import Limits
group = Cgroup.create(sys.argv[1], Limits())
print(*group.folders, sep="\\n", end="\\n\\n", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def owner(real: Cgroup) -> Iterator[tuple[subprocess.Popen[str], str, list[Path]]]:
    """A process with a group, the prefix of the group's name, and the group's folders."""
    prefix = f"workbench-test-{secrets.token_hex(4)}"
    argv = [sys.executable, "-c", OWNER, f"{prefix}-1{OWNED}"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folders = [Path(line.strip()) for line in iter(process.stdout.readline, "\n")]
        try:
            yield process, prefix, folders
        finally:
            process.kill()
            process.wait()
            Cgroup(folders)._end()


def test_the_group_of_a_dead_owner_is_swept_and_what_is_left_in_it_killed(owner: tuple[subprocess.Popen[str], str, list[Path]]) -> None:
    process, prefix, folders = owner
    with subprocess.Popen(["sleep", "3600"]) as survivor:
        Cgroup(folders).add(survivor.pid)
        Cgroup.sweep(prefix)
        assert survivor.poll() is None and all(folder.exists() for folder in folders)
        process.kill()
        process.wait()
        Cgroup.sweep(prefix)
        assert survivor.wait(10) == -signal.SIGKILL
    assert not any(folder.exists() for folder in folders)


def test_a_process_removes_its_own_groups_in_the_end(real: Cgroup) -> None:
    with subprocess.Popen(["sleep", "3600"]) as left:
        real.add(left.pid)
        Cgroup.end_own("workbench-another-")
        assert left.poll() is None and all(folder.exists() for folder in real.folders)
        Cgroup.end_own(real.folders[0].name)
        assert left.wait(10) == -signal.SIGKILL
    assert not any(folder.exists() for folder in real.folders)


def test_a_group_without_the_mark_of_an_owner_is_not_swept(real: Cgroup) -> None:
    # it may be that of an older version, which held no lock
    Cgroup.sweep("workbench-test-")
    assert all(folder.exists() for folder in real.folders)


def test_a_group_that_was_removed_in_part_is_swept_too(owner: tuple[subprocess.Popen[str], str, list[Path]]) -> None:
    process, prefix, folders = owner
    process.kill()
    process.wait()
    # its owner died while it removed the group; whoever sweeps at this moment may be quicker
    with contextlib.suppress(FileNotFoundError):
        folders[-1].rmdir()
    Cgroup.sweep(prefix)
    assert not any(folder.exists() for folder in folders)


def test_a_group_that_is_swept_while_it_is_made_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really, made = Path.mkdir, []

    def mkdir(self: Path) -> None:
        really(self)
        made.append(self)
        if len(made) == 1:
            self.rmdir()

    monkeypatch.setattr(Path, "mkdir", mkdir)
    group = Cgroup()
    assert group._make(tmp_path / "box", {})
    assert made == [tmp_path / "box"] * 2
    assert group.folders == [tmp_path / "box"]
    group.remove()


def run_in(group: Cgroup, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(group.entering(list(argv)), capture_output=True, text=True, check=False)


def test_a_process_enters_before_it_starts(real: Cgroup) -> None:
    done = run_in(real, "cat", "/proc/self/cgroup")
    assert done.stdout.count(real.folders[0].name) == len(real.folders)


def test_arguments_reach_the_program_as_they_are(real: Cgroup) -> None:
    odd = ["--", "a b", "$(id)", "'", "*", ""]
    done = run_in(real, sys.executable, "-c", "import sys; print(sys.argv[1:])", *odd)
    assert done.stdout.strip() == str(odd)


def test_a_process_that_cannot_enter_does_not_start(tmp_path: Path) -> None:
    done = run_in(Cgroup([tmp_path / "gone"]), "echo", "ran")
    assert done.returncode == 125
    assert "ran" not in done.stdout


def test_memory_is_held(real: Cgroup) -> None:
    assert not real.out_of_memory()
    done = run_in(real, sys.executable, "-c", "import mmap; m = mmap.mmap(-1, 1 << 28); m.write(bytes(1 << 28)); print('kept')")
    assert done.returncode == -9
    assert "kept" not in done.stdout
    assert real.out_of_memory()


def test_processes_are_held(real: Cgroup) -> None:
    code = """
import os, signal
made = []
try:
    for _ in range(100):
        pid = os.fork()
        if pid == 0:
            signal.pause()
        made.append(pid)
finally:
    for pid in made:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    print(len(made))
"""
    done = run_in(real, sys.executable, "-c", code)
    assert "BlockingIOError" in done.stderr
    assert 0 < int(done.stdout) < LIMITS.processes


def test_a_removed_group_is_gone(real: Cgroup) -> None:
    assert all(folder.is_dir() for folder in real.folders)
    real.remove()
    assert not any(folder.exists() for folder in real.folders)
    real.remove()


BUSY = """
import multiprocessing, os, time
def spin():
    while True:
        pass
spinning = [multiprocessing.Process(target=spin) for _ in range(2)]
began = time.monotonic()
for each in spinning:
    each.start()
time.sleep(1)
for each in spinning:
    each.kill()
    each.join()
used = os.times()
print((used.children_user + used.children_system) / (time.monotonic() - began))
"""


def test_the_share_of_the_processors_is_held() -> None:
    # so small that even a busy machine would give more
    with made(replace(LIMITS, cpus=0.1)) as group:
        if "cpus" not in group.holds:
            pytest.skip("NO SHARE: this machine lends no cgroup controller for the processor")
        assert float(run_in(group, sys.executable, "-c", BUSY).stdout) < 0.5
        assert b"nr_throttled 0\n" not in (group.folders[-1] / "cpu.stat").read_bytes()


def test_a_process_that_runs_already_is_moved_with_what_it_starts(real: Cgroup) -> None:
    code = "import subprocess, sys; sys.stdin.readline(); subprocess.run(['cat', '/proc/self/cgroup'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        real.add(process.pid)
        assert real.members() == [process.pid]
        told, _ = process.communicate("go\n")
    assert told.count(real.folders[0].name) == len(real.folders)
    real.add(process.pid)


BOMB = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.setsid()
print("lit", flush=True)
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        pass
"""


async def test_everything_in_a_group_is_killed_however_fast_it_forks(real: Cgroup) -> None:
    process = subprocess.Popen(real.entering([sys.executable, "-c", BOMB]), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout is not None and process.stdout.readline() == b"lit\n"
    assert await eventually(lambda: len(real.members()) >= LIMITS.processes)
    await real.kill()
    assert real.members() == []
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    real.remove()
    assert not any(folder.exists() for folder in real.folders)
