"""The wheel brings the built-in tasks and environments, and works far from any checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]


def uv(*arguments):
    done = subprocess.run([find_uv_bin(), "--quiet", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.walls
def test_a_wheel_install_runs_a_built_in_task(tmp_path, minimal, store_path):
    venv = tmp_path / "venv"
    uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(tmp_path / "dist"), str(ROOT))
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (notice,) = (name for name in archive.namelist() if name.endswith("/NOTICE"))
        assert archive.read(notice) == (ROOT / "NOTICE").read_bytes()
    uv("venv", "--python", sys.executable, str(venv))
    # with the versions of the lock, so that a package that came out today fails no test
    uv("pip", "install", "--python", str(venv / "bin" / "python"), "--constraint", str(ROOT / "requirements.lock"), str(wheel))
    command = str(venv / "bin" / "workbench")
    listed = subprocess.run([command, "tasks", "list", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert {task["id"] for task in json.loads(listed.stdout)} >= {"refactoring/mistune-rename-escape"}
    done = subprocess.run(
        [command, "run", "refactoring/mistune-rename-escape", "--model", "oracle", "--json", "--store", str(store_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["success"] is True
