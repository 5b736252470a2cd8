"""A task's folder is not trusted: whatever it names, nothing outside it is read, and nothing hidden is handed out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SmallDisk
from tests.tasks.conftest import MakeTask
from workbench import runner
from workbench.errors import HostError, TaskError
from workbench.kernels import environments
from workbench.kernels.environments import Environment
from workbench.storage.store import Store
from workbench.tasks import registry
from workbench.tasks.folder import TaskFolder, copy_tree
from workbench.tasks.staging import Prepared, environment_of, prepare, stage

COPY = "[[workspace.copy]]\nfrom = 'data'\n"
GRADER_COPY = "[[grader.copy]]\nfrom = 'data'\n"
PREPARE = "[prepare]\nscript = 'prepare.py'\n"
Ask = Callable[[TaskFolder, Environment], Any]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "private" / "secret.txt"
    path.parent.mkdir()
    path.write_text("SECRET")
    path.chmod(0o600)
    return path


@pytest.fixture
def unbuilt() -> Environment:
    """An environment that need not exist, for tasks that prepare nothing."""
    return environments.find("python-min")


async def instruct(folder: TaskFolder, _environment: Environment) -> str:
    return folder.instruction({axis: values[-1] for axis, values in folder.task.prompt.axes.items()})


async def solve(folder: TaskFolder, _environment: Environment) -> list[str]:
    return [*folder.solution(), folder.solution_answer() or ""]


async def resolve(folder: TaskFolder, _environment: Environment) -> Environment:
    return environment_of(folder)


async def load(folder: TaskFolder, _environment: Environment) -> TaskFolder:
    return TaskFolder.load(folder.root)


async def make(folder: TaskFolder, environment: Environment) -> Prepared:
    return await prepare(folder, environment, walled=False)


VARIANTS = "[prompt]\naxes = {level = ['a', 'b']}\nfiles = {'level=b' = 'texts/b.md'}\n"
FIELDS: dict[str, tuple[str, str, Ask, str]] = {
    # what the task file says, the path that is replaced, who asks for it, and what the error names
    "task.toml": ("", "task.toml", load, "task.toml"),
    "instruction": ("", "instruction.md", instruct, "prompt.file of task.toml"),
    "variant": (VARIANTS, "texts/b.md", instruct, "prompt.files of task.toml"),
    "folder of a variant": (VARIANTS, "texts", instruct, "prompt.files of task.toml"),
    "workspace": ("", "workspace", make, "the task's workspace/"),
    "file of the workspace": ("", "workspace/x", make, "the task's workspace/"),
    "folder of the workspace": ("", "workspace/deep/er", make, "the task's workspace/"),
    "copy": (COPY, "data", make, "[[workspace.copy]] of task.toml"),
    "file of a copy": (COPY, "data/x", make, "[[workspace.copy]] of task.toml"),
    "hidden": ("", "hidden", make, "the task's hidden/"),
    "grader": ("", "hidden/grader.py", make, "the task's hidden/"),
    "grader's copy": (GRADER_COPY, "data", make, "[[grader.copy]] of task.toml"),
    "file of a grader's copy": (GRADER_COPY, "data/x", make, "[[grader.copy]] of task.toml"),
    "script": (PREPARE, "prepare.py", make, "prepare.script of task.toml"),
    "solution": ("", "solution", solve, "the task's solution/"),
    "file of the solution": ("", "solution/solution.py", solve, "the task's solution/"),
    "answer": ("", "solution/answer.txt", solve, "the task's"),
}


def replaced(folder: TaskFolder, path: str, secret: Path) -> Path:
    """Remove what a task has at a path; what lies outside is a file or a folder, as that was."""
    there = folder.root / path
    there.parent.mkdir(parents=True, exist_ok=True)
    outside = secret.parent if there.is_dir() or there.name in ("er", "data") else secret
    if there.is_dir():
        there.rename(folder.root.parent / "was")
    else:
        there.unlink(missing_ok=True)
    return outside


def links(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def relative_links(path: Path, outside: Path) -> None:
    path.symlink_to(os.path.relpath(outside, path.parent))


def dangling_links(path: Path, _outside: Path) -> None:
    path.symlink_to("nowhere")


def pipes(path: Path, _outside: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize(
    ("replace", "said"),
    [
        (links, "is a symbolic link that leads outside its folder"),
        (relative_links, "is a symbolic link that leads outside its folder"),
        (dangling_links, "is a symbolic link that leads nowhere"),
        (pipes, "is neither a file nor a folder, but a named pipe"),
    ],
    ids=["link", "relative link", "dangling link", "pipe"],
)
async def test_nothing_outside_is_read_and_the_file_and_field_are_named(
    make_task: MakeTask,
    cache: Path,
    unbuilt: Environment,
    secret: Path,
    name: str,
    replace: Callable[[Path, Path], None],
    said: str,
) -> None:
    table, path, ask, field = FIELDS[name]
    files = {"workspace/a": "", "prepare.py": "", "solution/solution.py": "1", "texts/b.md": "b", "hidden/secret": "x"}
    folder = make_task(table, files={**files, "data/y": ""})
    replace(folder.root / path, replaced(folder, path, secret))
    with pytest.raises(TaskError) as caught:
        await ask(folder, unbuilt)
    assert str(folder.root / path) in caught.value.message and field in caught.value.message
    assert said in caught.value.message or "neither a file nor a folder" in said
    assert caught.value.kind == "task" and "SECRET" not in str(caught.value)
    left = [each for each in (cache / "tasks").glob("*") if each.suffix != ".lock"] if cache.exists() else []
    assert left == []


@pytest.mark.parametrize(
    "table",
    [
        "[grader]\nentry = '../../x.py:grade'\n",
        "[grader]\nentry = '/x.py:grade'\n",
        "[grader]\nentry = 'grader.py'\n",
        "[interaction]\nmode = 'tools'\ntools = '../x.py:tools'\n",
        "[interaction]\nmode = 'environment'\nenvironment = '../x.py:Lab'\n",
        "[prompt]\nfile = '../x.md'\n",
        '[prompt]\nfile = "a\\u0000b"\n',
        "[prepare]\nscript = '/x.py'\n",
        "[[workspace.copy]]\nfrom = '../..'\n",
        "[[workspace.copy]]\nfrom = 'data'\nto = '../up'\n",
        "[[workspace.copy]]\nfrom = 'data'\nto = '/tmp/x'\n",
        "[[grader.copy]]\nfrom = '/etc'\n",
        f"[[workspace.copy]]\nfrom = 'pypi:x==1'\nsha256 = '{'/..' * 20}/etc'\n",
        f"[[workspace.copy]]\nfrom = \"pypi:x==1\\n-r /etc/passwd\"\nsha256 = '{'0' * 64}'\n",
        f"[[workspace.copy]]\nfrom = 'pypi:x @ file:///etc/x==1'\nsha256 = '{'0' * 64}'\n",
        f"[[workspace.copy]]\nfrom = 'pypi:x==1'\nsubdir = '..'\nsha256 = '{'0' * 64}'\n",
    ],
)
def test_a_path_that_leads_outside_is_no_task(make_task: MakeTask, table: str) -> None:
    with pytest.raises(TaskError, match=r"task\.toml: "):
        make_task(table)


@pytest.mark.parametrize("path", ["..", ".", "../x", "/x"])
def test_what_is_cleared_is_in_the_workspace(make_task: MakeTask, path: str) -> None:
    with pytest.raises(TaskError, match="clear_before_run"):
        make_task(submission=f"[submission]\nkind = 'answer'\nclear_before_run = ['{path}']\n")


@pytest.mark.parametrize("name", ["../envs/geo", "/etc/", "geo/../../x", "link/"])
def test_an_environment_by_path_lies_in_the_tasks_folder(make_task: MakeTask, secret: Path, name: str) -> None:
    folder = make_task(environment=f"[environment]\nname = '{name}'\n")
    (folder.root / "geo").mkdir()
    (folder.root / "link").symlink_to(secret.parent)
    with pytest.raises(TaskError, match=r"no environment is called .*outside its folder; environment\.name of task\.toml"):
        environment_of(folder)


def test_a_file_of_an_environment_that_leads_outside_is_told(make_task: MakeTask, secret: Path) -> None:
    folder = make_task(environment="[environment]\nname = './geo'\n", files={"geo/x": ""})
    (folder.root / "geo" / "environment.toml").symlink_to(secret)
    with pytest.raises(TaskError, match=r"environment\.toml is a symbolic link that leads outside"):
        environment_of(folder)


@pytest.mark.parametrize(
    ("table", "path", "target"),
    [
        ("", "workspace/x", "../hidden/grader.py"),
        ("", "workspace/x", "../hidden"),
        ("", "workspace/x", "../solution/solution.py"),
        ("", "workspace", "hidden"),
        ("", "instruction.md", "hidden/grader.py"),
        ("", "instruction.md", "solution/solution.py"),
        (COPY, "data", "hidden"),
        (COPY, "data", "solution/solution.py"),
        (COPY, "data", "."),
        (COPY.replace("data", "."), "unused", "x"),
        (COPY.replace("data", "hidden"), "unused", "x"),
        (COPY.replace("data", "hidden/grader.py"), "unused", "x"),
        (COPY.replace("data", "a/../hidden"), "unused", "x"),
        ("[prompt]\nfile = 'solution/solution.py'\n", "unused", "x"),
    ],
)
async def test_what_is_private_is_handed_out_by_no_name(
    make_task: MakeTask, cache: Path, unbuilt: Environment, table: str, path: str, target: str
) -> None:
    if "'a/../hidden'" in table:
        with pytest.raises(TaskError, match=r"without '\.\.'"):
            make_task(table)
        return
    folder = make_task(table, files={"solution/solution.py": "SOLVED"})
    (folder.root / path).unlink(missing_ok=True)
    (folder.root / path).parent.mkdir(exist_ok=True)
    (folder.root / path).symlink_to(target)
    with pytest.raises(TaskError, match=r"which no agent may see|leads outside its folder"):
        folder.instruction({})
        await prepare(folder, unbuilt)


async def test_links_that_stay_inside_stay_links(make_task: MakeTask, cache: Path, unbuilt: Environment, tmp_path: Path) -> None:
    folder = make_task(COPY, files={"workspace/a.txt": "a", "workspace/deep/b": "b", "texts/base.md": "Do that.", "shared/c": "c"})
    (folder.root / "workspace" / "deep" / "up").symlink_to("../a.txt")
    (folder.root / "workspace" / "all").symlink_to("deep")
    (folder.root / "data").symlink_to("shared")
    (folder.root / "shared" / "d").symlink_to("c")
    (folder.root / "instruction.md").unlink()
    (folder.root / "instruction.md").symlink_to("texts/base.md")
    os.link(folder.root / "shared" / "c", folder.root / "workspace" / "hard")
    prepared = await prepare(folder, unbuilt)
    (tmp_path / "w").mkdir()
    stage(folder, prepared, tmp_path / "w")
    found = {str(path.relative_to(tmp_path / "w")): path for path in (tmp_path / "w").rglob("*")}
    assert {name: str(path.readlink()) for name, path in found.items() if path.is_symlink()} == {
        "deep/up": "../a.txt",
        "all": "deep",
        "d": "c",
    }
    assert (found["c"].read_text(), found["hard"].read_text(), folder.instruction({})) == ("c", "c", "Do that.")


async def test_a_task_that_is_changed_while_it_is_copied_is_not_kept(
    make_task: MakeTask, cache: Path, unbuilt: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_task(files={"workspace/a": "1"})
    real = TaskFolder.lay

    def lay(self: TaskFolder, making: Path) -> None:
        real(self, making)
        (self.root / "workspace" / "a").write_text("2")

    monkeypatch.setattr(TaskFolder, "lay", lay)
    with pytest.raises(TaskError, match="were changed after they were looked at"):
        await prepare(folder, unbuilt)
    monkeypatch.setattr(TaskFolder, "lay", real)
    assert ((await prepare(folder, unbuilt)).workspace / "a").read_text() == "2"


@pytest.mark.parametrize("name", ["workspace/huge", "hidden/huge", "huge"])
async def test_a_huge_file_is_told_at_once(make_task: MakeTask, cache: Path, unbuilt: Environment, name: str) -> None:
    folder = make_task(files={"workspace/a": ""})
    with (folder.root / name).open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(TaskError, match="huge goes beyond the"):
        await prepare(folder, unbuilt)


def test_a_huge_task_file_is_told(make_task: MakeTask) -> None:
    folder = make_task()
    with (folder.root / "task.toml").open("ab") as file:
        file.truncate(2**40)
    with pytest.raises(TaskError, match=r"task\.toml is larger than"):
        TaskFolder.load(folder.root)
    (folder.root / "task.toml").write_text("x = " + "[" * 100_000)
    with pytest.raises(TaskError, match=r"task\.toml is not TOML"):
        TaskFolder.load(folder.root)


def test_a_folder_of_tasks_with_a_pipe_is_told(make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_task()
    monkeypatch.setenv("WORKBENCH_TASKS", str(tmp_path / "tasks"))
    assert registry.find("data-science/made").root == folder.root
    (folder.root / "task.toml").unlink()
    os.mkfifo(folder.root / "task.toml")
    with pytest.raises(TaskError, match=r"task\.toml is neither a file nor a folder, but a named pipe"):
        registry.find("data-science/made")


@pytest.mark.parametrize("path", ["instruction.md", "hidden/huge"])
def test_a_run_of_a_task_that_cannot_be_read_is_in_the_record(make_task: MakeTask, store_path: Path, path: str) -> None:
    folder = make_task()
    (folder.root / path).unlink(missing_ok=True)
    if path == "instruction.md":
        os.mkfifo(folder.root / path)
    else:
        (folder.root / path).touch()
        os.truncate(folder.root / path, 2**40)
    result = runner.run(folder, model="nop", store=store_path)
    assert result.status == "error" and result.error is not None
    assert result.error.kind == "task" and str(folder.root / path) in result.error.message
    assert Store(store_path).rows("SELECT run_id, status, error_kind, success FROM runs") == [
        {"run_id": result.run_id, "status": "error", "error_kind": "task", "success": None}
    ]


class TestClear:
    async def test_removes_links_and_not_what_they_lead_to(
        self, make_task: MakeTask, cache: Path, unbuilt: Environment, tmp_path: Path
    ) -> None:
        submission = "[submission]\nkind = 'answer'\nclear_before_run = ['link', 'folder', 'file', 'nope', 'no/pe']\n"
        folder = make_task(submission=submission, files={"workspace/kept/x": "", "workspace/folder/y": "", "workspace/file": ""})
        (folder.root / "workspace" / "link").symlink_to("kept")
        prepared = await prepare(folder, unbuilt)
        (tmp_path / "w").mkdir()
        stage(folder, prepared, tmp_path / "w")
        assert {str(path.relative_to(tmp_path / "w")) for path in (tmp_path / "w").rglob("*")} == {"kept", "kept/x"}

    async def test_removes_nothing_behind_a_link(
        self, make_task: MakeTask, cache: Path, unbuilt: Environment, tmp_path: Path, secret: Path
    ) -> None:
        folder = make_task(submission="[submission]\nkind = 'answer'\nclear_before_run = ['link/secret.txt']\n", files={"workspace/a": ""})
        prepared = await prepare(folder, unbuilt)
        (prepared.workspace / "link").symlink_to(secret.parent)
        (tmp_path / "w").mkdir()
        with pytest.raises(TaskError, match=r"behind a symbolic link; submission\.clear_before_run of task\.toml"):
            stage(folder, prepared, tmp_path / "w")
        assert secret.read_text() == "SECRET"


class TestGit:
    @pytest.mark.parametrize("path", [".git/config", "deep/.git/config", "deep/.GIT"])
    async def test_a_repository_that_a_task_brings_is_not_obeyed(
        self, make_task: MakeTask, cache: Path, unbuilt: Environment, path: str
    ) -> None:
        folder = make_task("[workspace]\ngit = true\n", files={f"workspace/{path}": "[core]\nhooksPath = hooks\n"})
        with pytest.raises(TaskError, match=r"has .*(?i:git).*, and workspace\.git of task\.toml makes a repository of it"):
            await prepare(folder, unbuilt)

    async def test_nothing_of_the_workspace_runs(
        self, make_task: MakeTask, cache: Path, unbuilt: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ran = tmp_path / "ran"
        program = f"#!/bin/sh\ntouch {ran}\n"
        evil = f'[core]\n\thooksPath = hooks\n\tfsmonitor = "touch {ran}"\n[filter "x"]\n\tclean = touch {ran}\n'
        files = {
            "workspace/.gitattributes": "* filter=x diff=x\n",
            "workspace/.gitmodules": '[submodule "s"]\n\tpath = s\n\turl = ./s\n\tupdate = !touch ran\n',
            # what looks like a bare repository
            **{"workspace/HEAD": "ref: refs/heads/main\n", "workspace/config": evil, "workspace/objects/x": "", "workspace/refs/x": ""},
            **{f"workspace/hooks/{name}": program for name in ("pre-commit", "post-commit", "post-index-change", "reference-transaction")},
        }
        folder = make_task("[workspace]\ngit = true\n", files=files)
        for path in (folder.root / "workspace" / "hooks").iterdir():
            path.chmod(0o755)
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
        prepared = await prepare(folder, unbuilt)
        workspace = tmp_path / "w"
        workspace.mkdir()
        stage(folder, prepared, workspace)
        assert not ran.exists() and not (tmp_path / "elsewhere").exists()
        assert (workspace / ".git" / "refs" / "heads" / "main").is_file()
        assert str(workspace) not in (workspace / ".git" / "config").read_text()


async def test_exclusion_removes_a_link_and_not_what_it_leads_to(make_task: MakeTask, cache: Path, unbuilt: Environment) -> None:
    folder = make_task("[workspace]\nexclude = ['out']\n", files={"workspace/kept/x": ""})
    (folder.root / "workspace" / "out").symlink_to("kept")
    prepared = await prepare(folder, unbuilt)
    assert {path.name for path in prepared.workspace.rglob("*")} == {"kept", "x"}


PRODUCTS = {
    "link outside": ("os.symlink('/etc/passwd', 'workspace/x')", "made workspace/x, which is a symbolic link that leads outside"),
    "link to hidden": ("os.symlink('../hidden', 'workspace/x')", "made workspace/x, which is a symbolic link that leads outside"),
    "workspace is hidden": (
        "os.rmdir('workspace'); os.symlink('hidden', 'workspace')",
        "made workspace, which is neither a file nor a folder",
    ),
    "dangling link": ("os.symlink('nope', 'workspace/x')", "made workspace/x, which is a symbolic link that leads nowhere"),
    "pipe": ("os.mkfifo('hidden/x')", "made hidden/x, which is neither a file nor a folder, but a named pipe"),
    "socket": (
        "import socket; os.chdir('hidden'); socket.socket(socket.AF_UNIX).bind('x')",
        "made hidden/x, which is neither a file nor a folder, but a socket",
    ),
    "deep": ("[(os.mkdir('d'), os.chdir('d')) for _ in range(200)]", "is nested deeper than 100 folders"),
}


@pytest.mark.parametrize("name", PRODUCTS)
async def test_what_a_preparation_makes_is_not_trusted(make_task: MakeTask, cache: Path, minimal: Environment, name: str) -> None:
    code, said = PRODUCTS[name]
    script = f"import os\nos.mkdir('workspace'); os.mkdir('hidden')\n{code}\n"
    folder = make_task(PREPARE, files={"prepare.py": script, "workspace/a": ""})
    with pytest.raises(TaskError) as caught:
        await prepare(folder, minimal, walled=False)
    assert said in caught.value.message
    assert [path for path in (cache / "tasks").iterdir() if path.suffix != ".lock"] == []


async def test_links_of_a_preparation_that_stay_inside_stay_links(make_task: MakeTask, cache: Path, minimal: Environment) -> None:
    script = "import os\nos.mkdir('workspace')\nopen('workspace/a', 'w').close()\nos.symlink('a', 'workspace/b')\n"
    prepared = await prepare(make_task(PREPARE, files={"prepare.py": script}), minimal, walled=False)
    assert (prepared.workspace / "b").readlink() == Path("a")


def test_a_copy_for_which_there_is_no_room_is_no_fault_of_the_tasks(tmp_path: Path, small_disk: SmallDisk) -> None:
    source, target = tmp_path / "source", small_disk.root / "target"
    source.mkdir()
    (source / "data.txt").write_text("data")
    target.mkdir()
    small_disk.fill()
    with pytest.raises(HostError, match="No space left on device"):
        copy_tree(source, target)
