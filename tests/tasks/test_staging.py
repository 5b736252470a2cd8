"""Staging: prepared once and whole, and every run starts from the same files."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tasks.conftest import MakeTask
from workbench.errors import SandboxError, TaskError
from workbench.kernels import environments, locks
from workbench.kernels.environments import Environment
from workbench.tasks import staging
from workbench.tasks.folder import TaskFolder
from workbench.tasks.staging import Prepared, check_environment, environment_of, limits_of, prepare, stage

PREPARE = "[prepare]\nscript = 'prepare.py'\n"
MAKES = """
from pathlib import Path
for folder in ("workspace", "hidden"):
    Path(folder).mkdir()
    Path(folder, "made.txt").write_text(folder)
Path("hidden", "shut.txt").write_text("x")
Path("hidden", "shut.txt").chmod(0o600)
"""


@pytest.fixture
def unbuilt() -> Environment:
    """An environment that need not exist, for tasks that prepare nothing."""
    return environments.find("python-min")


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def staged(folder: TaskFolder, prepared: Prepared, to: Path) -> dict[str, bytes]:
    to.mkdir()
    stage(folder, prepared, to)
    return tree(to)


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "tasks").iterdir() if not path.name.endswith(".lock"))


class TestEnvironmentOf:
    def test_is_the_one_the_task_names(self, make_task: MakeTask, unbuilt: Environment) -> None:
        assert environment_of(make_task()) == unbuilt

    def test_holds_the_packages_the_task_adds(self, make_task: MakeTask, unbuilt: Environment) -> None:
        folder = make_task(environment="[environment]\nname = 'python-min'\npackages = ['six<1.17']\n")
        extended = environment_of(folder)
        assert (extended.name, extended.packages[-1]) == ("python-min", "six<1.17")
        assert extended.prefix != unbuilt.prefix

    def test_may_be_a_folder_of_the_task(self, make_task: MakeTask, unbuilt: Environment) -> None:
        folder = make_task(environment="[environment]\nname = './geo'\n")
        shutil.copytree(unbuilt.definition, folder.root / "geo")
        toml = folder.root / "geo" / "environment.toml"
        toml.write_text(toml.read_text().replace("python-min", "geo"))
        found = environment_of(folder)
        assert (found.name, found.definition, found.hash) == ("geo", folder.root / "geo", unbuilt.hash)

    @pytest.mark.parametrize(
        ("table", "says"),
        [
            ("name = 'python-xs'", "no environment is called 'python-xs'"),
            ("name = '../python-min'", "no environment is called"),
            ("packages = ['six-of-one>1']\nname = 'python-min'", r"six-of-one>1 in environment python-min cannot be resolved: .*not found"),
        ],
    )
    def test_what_cannot_be_is_an_error_that_names_the_task(self, make_task: MakeTask, table: str, says: str) -> None:
        with pytest.raises(TaskError, match=rf"task data-science/made: .*{says}"):
            environment_of(make_task(environment=f"[environment]\n{table}\n"))

    def test_an_index_that_cannot_be_asked_is_not_the_tasks_fault(self, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
        def resolve(*_: object, **__: object) -> None:
            raise SandboxError("no network", hint="plug it in")

        monkeypatch.setattr(locks, "resolve", resolve)
        folder = make_task(environment="[environment]\nname = 'python-min'\npackages = ['never-resolved']\n")
        with pytest.raises(SandboxError, match="task data-science/made: no network") as raised:
            environment_of(folder)
        assert raised.value.hint == "plug it in"


class TestLimitsOf:
    def test_are_the_environments_where_the_task_says_nothing(self, make_task: MakeTask, unbuilt: Environment) -> None:
        environment = replace(unbuilt, limits=replace(unbuilt.limits, memory=5 * 2**30, processes=77, open_files=99))
        said = make_task(environment="[environment]\nname = 'python-min'\nmemory = '1G'\n").task
        assert limits_of(said, environment) == replace(environment.limits, memory=2**30)
        said = make_task(environment="[environment]\nprocesses = 5\ncpus = 0.5\n").task
        assert limits_of(said, environment) == replace(environment.limits, processes=5, cpus=0.5)


class TestCheckEnvironment:
    @pytest.fixture
    def pretended(self, unbuilt: Environment, tmp_path: Path) -> Environment:
        """An environment that holds one package."""
        environment = replace(unbuilt, prefix=tmp_path / "prefix", packages=("six>=1",), preload=("six",))
        metadata = environment.site_packages / "six-1.16.0.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text("Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\n")
        (environment.site_packages / "six.py").touch()
        (environment.site_packages / "data").mkdir()
        return environment

    def test_all_is_there(self, make_task: MakeTask, pretended: Environment) -> None:
        check_environment(make_task(environment="[environment]\nhide = ['data']\n").task, pretended)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"packages": ("six>=1", "polars")}, "lacks polars"),
            ({"packages": ("six>=1.17",)}, r"lacks six>=1\.17 \(it has 1\.16\.0\)"),
            ({"preload": ("six", "six.moves.nothing")}, r"lacks six\.moves\.nothing"),
        ],
    )
    def test_what_is_not_there_is_named(
        self, make_task: MakeTask, pretended: Environment, change: dict[str, tuple[str, ...]], says: str
    ) -> None:
        with pytest.raises(SandboxError, match=f"task data-science/made: environment python-min {says}"):
            check_environment(make_task().task, replace(pretended, **change))

    def test_a_folder_to_hide_must_exist(self, make_task: MakeTask, pretended: Environment) -> None:
        with pytest.raises(TaskError, match="hides datum, which environment python-min does not have"):
            check_environment(make_task(environment="[environment]\nhide = ['datum']\n").task, pretended)


class TestPrepare:
    async def test_lays_the_tasks_folders_out(self, make_task: MakeTask, cache: Path, unbuilt: Environment, tmp_path: Path) -> None:
        folder = make_task(files={"workspace/a/b.txt": "b", "workspace/__pycache__/x.pyc": "x", "solution/s.py": "secret"})
        prepared = await prepare(folder, unbuilt)
        assert tree(prepared.workspace) == {"a/b.txt": b"b"}
        assert set(tree(prepared.hidden)) == {"grader.py"}
        assert staged(folder, prepared, tmp_path / "w") == {"a/b.txt": b"b"}
        assert prepared.grader_hash == folder.grader_hash(unbuilt.hash)

    async def test_happens_once(self, make_task: MakeTask, cache: Path, unbuilt: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = make_task(files={"workspace/a": "1"})
        first = await prepare(folder, unbuilt)
        monkeypatch.setattr(staging, "_make", None)
        assert await prepare(folder, unbuilt) == first

    async def test_happens_again_when_the_task_has_changed(self, make_task: MakeTask, cache: Path, unbuilt: Environment) -> None:
        folder = make_task(files={"workspace/a": "1"})
        first = await prepare(folder, unbuilt)
        (folder.root / "workspace" / "a").write_text("2")
        second = await prepare(folder, unbuilt)
        assert (tree(first.workspace), tree(second.workspace)) == ({"a": b"1"}, {"a": b"2"})
        assert len(left_in(cache)) == 2

    async def test_by_two_at_once_on_one_loop_makes_one(
        self, make_task: MakeTask, cache: Path, unbuilt: Environment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # two runs of a sweep: the second asks while the first is in the middle of it
        folder = make_task(files={"workspace/a": "1"})
        made, real, begun = [], staging._make, asyncio.Event()

        async def make(*arguments: object) -> None:
            made.append(1)
            begun.set()
            await asyncio.sleep(0)
            await real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(staging, "_make", make)
        first = asyncio.create_task(prepare(folder, unbuilt))
        await begun.wait()
        second = await prepare(folder, unbuilt)
        assert await first == second
        assert made == [1]
        assert len(left_in(cache)) == 1

    async def test_by_many_threads_makes_one(
        self, make_task: MakeTask, cache: Path, unbuilt: Environment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = make_task(files={"workspace/a": "1"})
        made, real = [], staging._make

        async def make(*arguments: object) -> None:
            made.append(1)
            await real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(staging, "_make", make)
        found = await asyncio.gather(*(asyncio.to_thread(lambda: asyncio.run(prepare(folder, unbuilt))) for _ in range(4)))
        assert found == [found[0]] * 4
        assert made == [1]

    async def test_that_is_cancelled_leaves_nothing(
        self, make_task: MakeTask, cache: Path, unbuilt: Environment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = make_task()
        begun = asyncio.Event()

        async def make(_folder: object, _environment: object, making: Path, _walled: object) -> None:
            (making / "made").mkdir(parents=True)
            begun.set()
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(staging, "_make", make)
            task = asyncio.create_task(prepare(folder, unbuilt))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert left_in(cache) == []
        assert (await prepare(folder, unbuilt)).hidden.is_dir()

    async def test_without_what_it_copies_says_so(self, make_task: MakeTask, cache: Path, unbuilt: Environment) -> None:
        folder = make_task("[[workspace.copy]]\nfrom = 'nope'\n")
        with pytest.raises(TaskError, match=r"data-science/made copies .*nope, which does not exist"):
            await prepare(folder, unbuilt)
        assert left_in(cache) == []

    async def test_copies_files_and_folders(self, make_task: MakeTask, cache: Path, unbuilt: Environment) -> None:
        copies = "[[workspace.copy]]\nfrom = 'data'\nto = 'in/data'\n[[workspace.copy]]\nfrom = 'one.txt'\nto = 'deep/er/two.txt'\n"
        folder = make_task(copies, files={"data/x": "x", "data/y/z": "z", "one.txt": "1", "workspace/in/data/kept": "k"})
        prepared = await prepare(folder, unbuilt)
        assert tree(prepared.workspace) == {"in/data/kept": b"k", "in/data/x": b"x", "in/data/y/z": b"z", "deep/er/two.txt": b"1"}

    async def test_leaves_out_what_is_excluded(self, make_task: MakeTask, cache: Path, unbuilt: Environment) -> None:
        files = {f"workspace/{name}": "" for name in ("a.py", "a.pyc", "d/b.pyc", "tests/t.py", "tests/deep/t.py", "kept/tests.py")}
        folder = make_task("[workspace]\nexclude = ['*.pyc', 'tests']\n", files=files)
        prepared = await prepare(folder, unbuilt)
        assert set(tree(prepared.workspace)) == {"a.py", "kept/tests.py"}


@pytest.mark.walls
class TestScript:
    async def test_fills_both_folders_beside_the_tasks_own(self, make_task: MakeTask, cache: Path, minimal: Environment) -> None:
        folder = make_task(PREPARE, files={"prepare.py": MAKES, "workspace/own.txt": "own"})
        prepared = await prepare(folder, minimal)
        assert tree(prepared.workspace) == {"own.txt": b"own", "made.txt": b"workspace"}
        assert set(tree(prepared.hidden)) == {"grader.py", "made.txt", "shut.txt"}
        assert all(path.stat().st_mode & 0o004 for path in prepared.hidden.rglob("*"))

    @pytest.mark.parametrize(
        ("script", "reason"),
        [
            ("raise ValueError('no such data')", "ValueError: no such data"),
            ("import sys; sys.exit(3)", "exit code 3"),
            ("def (", "SyntaxError"),
            ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
            ("import os; os.symlink('/etc/passwd', 'link')", "made link, which is neither a file nor a folder"),
            ("import os; os.mkdir('hidden'); os.mkfifo('hidden/pipe')", "made hidden/pipe, which is neither a file nor a folder"),
            ("import socket; socket.create_connection(('192.0.2.1', 80), 5)", "unreachable"),
        ],
        ids=["raises", "exits", "syntax", "killed", "link", "pipe", "network"],
    )
    async def test_that_fails_says_why_and_leaves_nothing(
        self, make_task: MakeTask, cache: Path, minimal: Environment, script: str, reason: str
    ) -> None:
        half = "from pathlib import Path\nPath('workspace').mkdir()\nPath('workspace/half').touch()\n"
        folder = make_task(PREPARE, files={"prepare.py": half + script})
        with pytest.raises(TaskError) as caught:
            await prepare(folder, minimal)
        assert reason in caught.value.message
        assert left_in(cache) == []

    async def test_that_takes_too_long_is_stopped(
        self, make_task: MakeTask, cache: Path, minimal: Environment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(staging, "_PREPARE_SECONDS", 0.1)
        folder = make_task(PREPARE, files={"prepare.py": "import threading; threading.Event().wait()"})
        with pytest.raises(TaskError, match=r"time limit of 0\.1 s"):
            await prepare(folder, minimal)
        assert left_in(cache) == []

    async def test_that_is_missing_is_named(self, make_task: MakeTask, cache: Path, minimal: Environment) -> None:
        folder = make_task(PREPARE)
        with pytest.raises(TaskError, match=r"prepare\.py does not exist"):
            await prepare(folder, minimal)


def wheel(folder: Path, files: dict[str, str]) -> str:
    """Write a wheel of ``made 1.0`` and return its hash."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "made-1.0-py3-none-any.whl"
    listed = {
        **files,
        "made-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: made\nVersion: 1.0\n",
        "made-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*listed, "made-1.0.dist-info/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**listed, "made-1.0.dist-info/RECORD": record}.items():
            archive.writestr(name, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


class TestWheel:
    @pytest.fixture
    def index(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> str:
        """A package index without a network; returns the hash of its only wheel."""
        folder = tmp_path / "wheels"
        monkeypatch.setenv("UV_FIND_LINKS", str(folder))
        monkeypatch.setenv("UV_NO_INDEX", "1")
        monkeypatch.setenv("UV_OFFLINE", "1")
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
        return wheel(folder, {"made/__init__.py": "x = 1\n", "made/sub/data.txt": "data"})

    def copy(self, sha256: str, more: str = "") -> str:
        return f"[[workspace.copy]]\nfrom = 'pypi:made==1.0'\nsha256 = '{sha256}'\n{more}\n"

    async def test_is_unpacked_without_its_packaging(self, make_task: MakeTask, index: str, unbuilt: Environment) -> None:
        prepared = await prepare(make_task(self.copy(index)), unbuilt)
        assert tree(prepared.workspace) == {"made/__init__.py": b"x = 1\n", "made/sub/data.txt": b"data"}

    async def test_may_be_taken_in_part(self, make_task: MakeTask, index: str, unbuilt: Environment) -> None:
        prepared = await prepare(make_task(self.copy(index, "subdir = 'made/sub'\nto = 'here'")), unbuilt)
        assert tree(prepared.workspace) == {"here/data.txt": b"data"}

    async def test_is_fetched_once(
        self, make_task: MakeTask, index: str, unbuilt: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await prepare(make_task(self.copy(index), root=tmp_path / "one"), unbuilt)
        monkeypatch.setattr(staging, "uv", None)
        prepared = await prepare(make_task(self.copy(index, "to = 'again'"), root=tmp_path / "two"), unbuilt)
        assert "again/made/__init__.py" in tree(prepared.workspace)

    async def test_of_another_hash_is_refused_and_leaves_nothing(
        self, make_task: MakeTask, index: str, unbuilt: Environment, cache: Path
    ) -> None:
        wrong = hashlib.sha256(b"another").hexdigest()
        with pytest.raises(TaskError, match=r"package made==1\.0 cannot be fetched") as caught:
            await prepare(make_task(self.copy(wrong)), unbuilt)
        assert wrong in caught.value.message and index in caught.value.message
        assert left_in(cache) == []
        assert [path.name for path in (cache / "packages").iterdir() if path.suffix != ".lock"] == []

    async def test_without_the_folder_that_is_asked_for_is_refused(self, make_task: MakeTask, index: str, unbuilt: Environment) -> None:
        with pytest.raises(TaskError, match=r"package made==1\.0 has no folder nope"):
            await prepare(make_task(self.copy(index, "subdir = 'nope'")), unbuilt)


class TestStage:
    async def test_clears_what_must_not_be_there(self, make_task: MakeTask, cache: Path, unbuilt: Environment, tmp_path: Path) -> None:
        submission = "[submission]\nkind = 'file'\npath = 'answer.txt'\nclear_before_run = ['answer.txt', 'out', 'never.there']\n"
        folder = make_task(submission=submission, files={f"workspace/{name}": "" for name in ("answer.txt", "out/a/b", "kept")})
        prepared = await prepare(folder, unbuilt)
        assert set(staged(folder, prepared, tmp_path / "w")) == {"kept"}
        assert set(tree(prepared.workspace)) == {"answer.txt", "out/a/b", "kept"}

    async def test_gives_every_run_files_of_its_own(self, make_task: MakeTask, cache: Path, unbuilt: Environment, tmp_path: Path) -> None:
        folder = make_task(files={"workspace/a": "before"})
        prepared = await prepare(folder, unbuilt)
        staged(folder, prepared, tmp_path / "one")
        (tmp_path / "one" / "a").write_text("after")
        assert staged(folder, prepared, tmp_path / "two") == {"a": b"before"}

    @pytest.mark.parametrize("files", [{"workspace/a b": "1", "workspace/.gitignore": "ignored\n"}, {}], ids=["files", "empty"])
    async def test_starts_a_repository_with_one_commit(
        self, make_task: MakeTask, cache: Path, unbuilt: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
    ) -> None:
        # whatever the user's own settings say, and whichever repository the user is in
        home = tmp_path / "home"
        hooks = home / "hooks"
        hooks.mkdir(parents=True)
        (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
        (hooks / "pre-commit").chmod(0o755)
        (home / "ignored").write_text("*\n")
        settings = f"[commit]\n gpgsign = true\n[gpg]\n program = false\n[core]\n hooksPath = {hooks}\n excludesFile = {home / 'ignored'}\n"
        (home / ".gitconfig").write_text(settings)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
        folder = make_task("[workspace]\ngit = true\n", files=files)
        stage_to = tmp_path / "w"
        staged(folder, await prepare(folder, unbuilt), stage_to)
        monkeypatch.delenv("GIT_DIR")
        (home / ".gitconfig").unlink()

        def git(*arguments: str) -> str:
            said = subprocess.run(
                ["git", "-c", f"safe.directory={stage_to}", *arguments], cwd=stage_to, capture_output=True, text=True, check=True
            )
            return said.stdout.strip()

        assert git("log", "--format=%an %ae %s") == "workbench workbench@localhost start"
        assert git("branch", "--show-current") == "main"
        assert git("status", "--porcelain") == ""
        assert sorted(filter(None, git("ls-files", "-z").split("\0"))) == sorted(name.removeprefix("workspace/") for name in files)

    async def test_without_git_says_so(
        self, make_task: MakeTask, cache: Path, unbuilt: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = make_task("[workspace]\ngit = true\n", files={"workspace/a": "1"})
        prepared = await prepare(folder, unbuilt)
        monkeypatch.setenv("PATH", str(cache / "nowhere"))
        with pytest.raises(TaskError) as caught:
            staged(folder, prepared, tmp_path / "w")
        assert caught.value.hint == "is git installed?"
