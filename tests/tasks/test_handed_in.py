"""What is missing when an agent says that it is done, in workspaces of every kind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from workbench.errors import UsageError
from workbench.kernels import files
from workbench.tasks.handed_in import missing
from workbench.tasks.spec import Submission


class Looked:
    """The part of a kernel that looks at files."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace

    async def get(self, path: str) -> bytes:
        return files.get(self.workspace, path)

    async def entries(self, path: str = ".") -> list[files.Entry]:
        return files.entries(self.workspace, path)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    (folder / "src" / "deep").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("a = 1\n")
    (folder / "src" / "deep" / "b.py").write_text("b = 1\n")
    (folder / "notes.txt").write_text("read me\n")
    return folder


@pytest.fixture
def workspace(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "workspace"))


@pytest.mark.parametrize("path", ["out.csv", "out/deep/x.csv"])
@pytest.mark.parametrize("kind", ["file", "json"])
async def test_a_file_is_missing_until_it_is_there(base, workspace, kind, path):
    declared = Submission(kind=kind, path=path)
    assert await missing(Looked(workspace), declared, base) == f"the file {path} is graded, and it does not exist"
    (workspace / path).parent.mkdir(parents=True, exist_ok=True)
    (workspace / path).write_text("")
    assert await missing(Looked(workspace), declared, base) == ""


async def test_a_folder_behind_a_link_is_not_there(base, workspace, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.csv").write_text("")
    (workspace / "out").symlink_to(tmp_path / "elsewhere")
    assert await missing(Looked(workspace), Submission(kind="file", path="out/x.csv"), base)


def add(workspace: Path) -> None:
    (workspace / "src" / "c.py").write_text("")


def delete(workspace: Path) -> None:
    (workspace / "src" / "deep" / "b.py").unlink()


def grow(workspace: Path) -> None:
    (workspace / "src" / "a.py").write_text("a = 10\n")


def change(workspace: Path) -> None:
    (workspace / "src" / "deep" / "b.py").write_text("b = 2\n")


def replace(workspace: Path) -> None:
    (workspace / "src" / "a.py").unlink()
    (workspace / "src" / "a.py").symlink_to("deep/b.py")


@pytest.mark.parametrize("work", [add, delete, grow, change, replace])
@pytest.mark.parametrize("path", ["src", None])
async def test_a_tree_is_missing_until_something_in_it_differs(base, workspace, path, work):
    declared = Submission(kind="tree", path=path)
    for compiled in ("__pycache__", ".ipynb_checkpoints"):
        (workspace / "src" / compiled).mkdir()
    assert "none of them has changed" in await missing(Looked(workspace), declared, base)
    work(workspace)
    assert await missing(Looked(workspace), declared, base) == ""


async def test_only_what_is_graded_counts(base, workspace):
    (workspace / "notes.txt").write_text("changed\n")
    assert "src" in await missing(Looked(workspace), Submission(kind="tree", path="src"), base)


async def test_a_tree_that_is_gone_is_named(base, workspace):
    shutil.rmtree(workspace / "src")
    assert await missing(Looked(workspace), Submission(kind="tree", path="src"), base) == "the folder src is graded, and it does not exist"


async def test_a_file_that_cannot_be_read_is_an_error_and_no_claim(base, workspace):
    class Unreadable(Looked):
        async def get(self, path: str) -> bytes:
            raise UsageError(f"{path} cannot be read")

    with pytest.raises(UsageError):
        await missing(Unreadable(workspace), Submission(kind="tree", path="src"), base)
