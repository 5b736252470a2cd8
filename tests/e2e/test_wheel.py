"""The wheel brings the built-in tasks and environments, and works far from any checkout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]


@pytest.mark.walls
def test_a_wheel_install_runs_a_built_in_task(tmp_path, minimal, store_path):
    uv = find_uv_bin()
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", str(tmp_path / "dist"), str(ROOT)], check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv = tmp_path / "venv"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(venv)], check=True, capture_output=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python"), str(wheel)], check=True, capture_output=True)
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
