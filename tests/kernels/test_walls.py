"""What a sandbox shows, what it hides, and what is said of walls that do not stand."""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import hide_bubblewrap, require_walls
from workbench import paths
from workbench.errors import SandboxError
from workbench.kernels import walls
from workbench.kernels.environments import Environment
from workbench.kernels.limits import Limits
from workbench.kernels.policy import Policy
from workbench.kernels.view import INSIDE, SYSTEM, Mount, View, inside_environ, masked
from workbench.kernels.walls import Protection, enclose, protection, rlimits

from .conftest import Opener
from .tools import text_of, told


@pytest.fixture(params=["bubblewrap", "sandlock"])
def wall(request: pytest.FixtureRequest) -> Iterator[str]:
    try:
        with pytest.MonkeyPatch.context() as patch:
            if request.param == "sandlock":
                hide_bubblewrap(patch)
            require_walls(request.param)
            yield request.param
    finally:
        walls.protection.cache_clear()


@pytest.fixture
def unprotected(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that gives no walls at all."""
    hide_bubblewrap(monkeypatch)
    monkeypatch.setitem(sys.modules, "sandlock", None)
    yield
    monkeypatch.undo()
    protection.cache_clear()


SEEN = """
import json, os
def seen(path):
    try:
        return sorted(os.listdir(path)) if os.path.isdir(path) else len(open(path, 'rb').read(1))
    except OSError as error:
        return None
# of many places, what can be shown is what is there
print(json.dumps({path: there for path in json.loads(%r) if (there := seen(path)) is not None}))
"""


async def seen(opened: Opener, places: list[Path], **options: object) -> dict[str, object]:
    session = await opened(**options)
    observation = await session.execute(SEEN % json.dumps([str(path) for path in places]))
    assert observation.status == "ok", told(observation)
    found: dict[str, object] = dict.fromkeys(map(str, places)) | json.loads(text_of(observation))
    return found


def below(root: Path, depth: int) -> list[Path]:
    """Return the folders that many levels below ``root``; one that another process removes meanwhile is left out."""
    found: list[Path] = []
    with contextlib.suppress(FileNotFoundError):
        folders = [path for path in root.iterdir() if path.is_dir()]
        found = folders if depth == 1 else [path for folder in folders for path in below(folder, depth - 1)]
    return found


@pytest.mark.walls
async def test_neither_workbench_nor_its_tasks_nor_its_packages_are_inside(wall: str, opened: Opener) -> None:
    own = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    private = [*own, *paths.private_roots(), paths.cache() / "tasks", Path(__file__).parents[1]]
    private += [path for root in paths.private_roots() for path in below(root, 3)]
    # the programs that raise the walls are shown to every kernel
    places = [path for path in private if path.exists() and not path.is_relative_to(INSIDE)]
    assert len(places) > 10
    found = await seen(opened, places)
    assert {path: listing for path, listing in found.items() if listing} == {}


@pytest.mark.walls
async def test_nothing_of_the_users_is_inside(wall: str, opened: Opener, tmp_path: Path) -> None:
    (tmp_path / "beside").write_text("not for agents")
    places = [Path.home(), tmp_path, tmp_path / "beside", Path("/etc/shadow"), Path("/var/log"), Path("/run"), Path("/srv"), Path("/mnt")]
    places += [Path.cwd(), Path("/etc/hostname"), Path("/etc/environment"), Path("/boot"), Path("/sys/class")]
    found = await seen(opened, places)
    # the folders above what is shown exist, with nothing else in them
    shown = {path: listing for path, listing in found.items() if listing and listing not in (["workspace-1"], [".cache"], [".pyenv"])}
    assert shown == {} or all(set(listing) <= {".cache", ".pyenv", ".local"} for listing in shown.values() if isinstance(listing, list))
    assert found[str(tmp_path / "beside")] is None


@pytest.mark.walls
async def test_the_environment_and_the_system_are_inside_and_cannot_be_written(wall: str, opened: Opener, minimal: Environment) -> None:
    found = await seen(opened, [minimal.site_packages, Path("/usr/bin"), Path("/etc/passwd"), Path("/etc/ssl/certs")])
    assert "ipykernel" in found[str(minimal.site_packages)]  # type: ignore[operator]
    assert found["/usr/bin"]
    assert found["/etc/passwd"]


@pytest.mark.walls
async def test_packages_a_task_hides_are_not_there(wall: str, opened: Opener, minimal: Environment) -> None:
    assert (minimal.site_packages / "pygments").is_dir()
    session = await opened(policy=Policy(hide=("wcwidth",)))
    assert (minimal.site_packages / "wcwidth").is_dir()
    code = f"import os\ntry: print(os.listdir({str(minimal.site_packages / 'wcwidth')!r}))\nexcept OSError: print([])"
    assert ast.literal_eval(text_of(await session.execute(code))) == []
    assert (await session.execute("import wcwidth\nwcwidth.wcwidth")).status == "error"


@pytest.mark.walls
async def test_no_variable_of_the_hosts_enters(wall: str, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "canary-of-the-user")
    session = await opened()
    code = """
import glob, os, subprocess
def environ(path):
    try:
        return open(path).read()
    except OSError as error:
        return type(error).__name__
print({path: environ(path) for path in {'/proc/1/environ', '/proc/self/environ', *glob.glob('/proc/[0-9]*/environ')}})
print(sorted(os.environ))
print(subprocess.run(['env'], capture_output=True, text=True).stdout)
"""
    observation = await session.execute(code)
    assert observation.status == "ok", told(observation)
    shown = text_of(observation)
    assert "canary-of-the-user" not in shown
    assert "SOME_API_KEY" not in shown
    known = set(inside_environ(session.environment, "/")) | {
        "JPY_PARENT_PID",
        "JPY_SESSION_NAME",
        "PAGER",
        "GIT_PAGER",
        "CLICOLOR",
        "CLICOLOR_FORCE",
    }
    known |= {"FORCE_COLOR", "LC_CTYPE", "MALLOC_ARENA_MAX", "PYDEVD_USE_FRAME_EVAL", "COLUMNS", "LINES"}
    # where packages that the kernel installs go, set by the program that makes the kernel
    known |= {"PYTHONPATH", *(f"PIP_{name}" for name in ("PYTHON", "NO_CACHE_DIR", "NO_INPUT", "RETRIES", "ROOT_USER_ACTION"))}
    known |= {"PIP_DISABLE_PIP_VERSION_CHECK"}
    listed = ast.literal_eval(shown.splitlines()[1])
    assert set(listed) <= known


@pytest.mark.walls
async def test_what_does_not_stand_is_said(wall: str, opened: Opener) -> None:
    session = await opened()
    assert any(wall in each for each in session.walls)
    if wall == "sandlock":
        assert "bubblewrap: not installed" in session.missing


async def test_there_is_no_fallback_to_no_walls(unprotected: None, opened: Opener) -> None:
    assert protection().kind == "none"
    with pytest.raises(SandboxError, match="gives no sandbox") as raised:
        await opened()
    assert "bubblewrap" in raised.value.hint


def test_a_bubblewrap_that_does_not_work_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess([], 1, "", "bwrap: No permissions to create new namespace\n")
    monkeypatch.setattr(walls.shutil, "which", lambda _: "/usr/bin/bwrap")
    monkeypatch.setattr(walls.subprocess, "run", lambda *_, **__: done)
    protection.cache_clear()
    try:
        given = protection()
    finally:
        monkeypatch.undo()
        protection.cache_clear()
    assert given.kind != "bubblewrap"
    assert "bubblewrap: bwrap: No permissions to create new namespace" in given.missing
    assert "install bubblewrap" in given.remedy


@pytest.mark.walls
def test_what_bubblewrap_is_tried_with_has_nothing_to_do_with_mounts_that_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    require_walls("bubblewrap")
    tried: list[list[str]] = []
    run = subprocess.run

    def record(argv: list[str], **options: object) -> object:
        tried.append(argv)
        return run(argv, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(walls.subprocess, "run", record)
    protection.cache_clear()
    assert protection().kind == "bubblewrap"
    (probe,) = tried
    shown = {source for option, source in itertools.pairwise(probe) if option == "--ro-bind"}
    assert shown and shown <= set(SYSTEM)
    assert not [option for option in probe if option in ("--bind", "--dev-bind")]


def test_another_platform_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walls.sys, "platform", "darwin")
    protection.cache_clear()
    try:
        given = protection()
    finally:
        monkeypatch.undo()
        protection.cache_clear()
    assert given.kind == "none"
    assert "darwin" in given.missing[0]


def test_what_is_to_be_shown_must_exist(minimal: Environment, tmp_path: Path) -> None:
    view = View(minimal, [Mount(tmp_path / "nothing", "/task")])
    with pytest.raises(SandboxError, match="does not exist"):
        enclose(INSIDE / "probe.py", [], view, Limits(), tmp_path)


def test_without_walls_the_host_paths_are_used_and_no_variable_is_passed(minimal: Environment, tmp_path: Path) -> None:
    view = View(minimal, [Mount(tmp_path, "/task")], cwd="/task/deep")
    found = enclose(INSIDE / "probe.py", ["/task/file", "/tasks", "/task"], view, Limits(), tmp_path, walled=False)
    config = json.loads(found.argv[-1])
    assert config["cwd"] == f"{tmp_path}/deep"
    assert config["arguments"] == [f"{tmp_path}/file", "/tasks", str(tmp_path)]
    assert found.environ == inside_environ(minimal, f"{tmp_path}/deep", str(tmp_path / "tmp"))
    assert found.walls == []
    assert found.missing


@pytest.fixture
def installation(tmp_path: Path, minimal: Environment, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment whose Python installation is a pretended one below ``tmp_path``."""
    base = tmp_path / "base"
    (base / "lib/python3.11/site-packages").mkdir(parents=True)
    monkeypatch.setattr(sys, "base_prefix", str(base))
    return replace(minimal, prefix=tmp_path / "environment")


def test_packages_beside_the_interpreter_are_masked(installation: Environment) -> None:
    assert installation.base_prefix / "lib/python3.11/site-packages" in masked(installation)


def test_private_folders_are_masked_where_they_would_be_shown(installation: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    within, elsewhere = installation.base_prefix / "share/tasks", installation.prefix.parent / "elsewhere"
    for path in (within, elsewhere):
        path.mkdir(parents=True)
    monkeypatch.setattr(paths, "private_roots", lambda: [within, elsewhere])
    assert within in masked(installation)
    assert elsewhere not in masked(installation)


def test_other_environments_of_the_same_installation_are_masked(installation: Environment) -> None:
    # conda keeps them within the base installation, packages and all
    other = installation.base_prefix / "envs/other/lib/python3.11/site-packages"
    other.mkdir(parents=True)
    assert any(other.is_relative_to(path) for path in masked(installation))


def test_prepared_tasks_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    hidden = tmp_path / "tasks" / "one" / "hidden"
    assert any(hidden.is_relative_to(root) for root in paths.private_roots())


def test_an_environment_is_never_masked_away(installation: Environment) -> None:
    within = replace(installation, prefix=installation.base_prefix / "lib/python3.11/site-packages/environment")
    assert not any(within.prefix.is_relative_to(path) for path in masked(within))


def test_limits_become_the_kernels_own(minimal: Environment) -> None:
    assert rlimits(Limits(memory=1, processes=2, file_bytes=3, open_files=4)) == {
        "RLIMIT_DATA": 1,
        "RLIMIT_NPROC": 2,
        "RLIMIT_FSIZE": 3,
        "RLIMIT_NOFILE": 4,
        "RLIMIT_CORE": 0,
        "RLIMIT_SIGPENDING": 1024,
        "RLIMIT_MSGQUEUE": 102_400,
        "RLIMIT_MEMLOCK": 65_536,
    }


def test_what_is_let_read_can_be_read_and_links_are_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir(mode=0o700)
    (root / "file").write_text("x")
    (root / "file").chmod(0o600)
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o600)
    (root / "link").symlink_to(outside)
    walls.let_read(root)
    assert root.stat().st_mode & 0o777 == 0o755
    assert (root / "file").stat().st_mode & 0o777 == 0o644
    assert outside.stat().st_mode & 0o777 == 0o600


def test_protection_is_tried_once() -> None:
    assert isinstance(protection(), Protection)
    assert protection() is protection()


@pytest.mark.walls
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
async def test_the_workspace_belongs_to_a_user_nobody_has_and_what_links_point_to_does_not(opened: Opener, tmp_path: Path) -> None:
    require_walls("bubblewrap")
    outside = tmp_path / "outside"
    outside.write_text("x")
    session = await opened()
    (session.workspace / "link").symlink_to(outside)
    (session.workspace / "folder").symlink_to(tmp_path, target_is_directory=True)
    await session.restart()
    assert session.workspace.stat().st_uid >= 0x40000000
    assert (outside.stat().st_uid, tmp_path.stat().st_uid) == (os.geteuid(), os.geteuid())
