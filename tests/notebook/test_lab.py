"""``make lab``: the notebooks that ship with the project, in JupyterLab."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.kernels.jupyter import Server, folders, text

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LAB = ("sh", str(ROOT / ".ci" / "lab"))


def lab(folder: Path) -> list[str]:
    """Run the script behind ``make lab`` with a program in place of Python that prints what it is asked for; return its words."""
    done = subprocess.run([*LAB, "echo", str(folder), "--no-browser"], capture_output=True, text=True, check=True)
    return done.stdout.split()


def folder_of_copies() -> str:
    done = subprocess.run(["make", "--dry-run", "lab"], cwd=ROOT, capture_output=True, text=True, check=True)
    (command,) = (line.split() for line in done.stdout.splitlines() if ".ci/lab" in line)
    return command[3]


def test_copies_are_opened_and_an_edited_one_stays(tmp_path: Path) -> None:
    copies = tmp_path / "a folder" / "copies"
    assert lab(copies)
    assert {path.name: path.read_bytes() for path in copies.iterdir()} == {path.name: path.read_bytes() for path in NOTEBOOKS}
    (copies / NOTEBOOKS[0].name).write_text("edited")
    assert lab(copies)
    assert (copies / NOTEBOOKS[0].name).read_text() == "edited"


def test_root_is_let_in(tmp_path: Path) -> None:
    assert ("--allow-root" in lab(tmp_path)) is (os.geteuid() == 0)


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="not a git checkout")
def test_git_sees_nothing_of_the_copies() -> None:
    copy = f"{folder_of_copies()}/{NOTEBOOKS[0].name}"
    assert subprocess.run(["git", "check-ignore", "--quiet", copy], cwd=ROOT, check=False).returncode == 0


def test_notebooks_are_committed_without_outputs() -> None:
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        assert not any(cell.get("outputs") for cell in nbformat.read(path, as_version=4).cells), path.name


@pytest.mark.walls
async def test_every_notebook_runs_in_jupyterlab_with_this_python(ds: object, minimal: object) -> None:
    with folders() as server:
        del server.environ["JUPYTER_NO_CONFIG"]
        # somebody else's kernel of the same name is not what the notebooks get
        other = server.kernelspecs / "python3"
        other.mkdir()
        (other / "kernel.json").write_text(json.dumps({"argv": ["false"], "display_name": "Python 3", "language": "python"}))
        await server.start(*LAB, sys.executable, str(server.root / "copies"))
        assert (await server.ask("GET", "status"))["kernels"] == 0
        for path in NOTEBOOKS:
            await run(server, path.name)


async def run(server: Server, name: str) -> None:
    opened = (await server.ask("GET", f"contents/{name}"))["content"]
    assert opened["metadata"]["kernelspec"]["name"] == "python3"
    async with server.kernel("python3") as kernel:
        assert text(await kernel.run("import sys\nsys.executable")) == repr(sys.executable)
        for cell in opened["cells"]:
            if cell["cell_type"] == "code":
                shown = await kernel.run(cell["source"])
                assert not any(message["msg_type"] == "error" for message in shown), text(shown)
