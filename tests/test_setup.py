"""The scripts that set everything up on a fresh machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def venv(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    return subprocess.run(["sh", ROOT / ".ci" / "venv", folder], env=given | environ, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_python_that_is_named_is_taken(tmp_path: Path) -> None:
    assert venv(tmp_path / "v", PYTHON=sys.executable).returncode == 0
    asked = [tmp_path / "v" / "bin" / "python", "-c", "import sys; print(sys.base_prefix)"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() == sys.base_prefix


@pytest.mark.parametrize("named", ["/nowhere/python3.12", "old"])
def test_no_other_is_taken_in_its_place(tmp_path: Path, named: str) -> None:
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = venv(tmp_path / "v", PYTHON=str(tmp_path / named))
    assert done.returncode == 1
    assert f"PYTHON={tmp_path / named} is not a Python 3.11, 3.12 or 3.13" in done.stderr
    assert not (tmp_path / "v").exists()
