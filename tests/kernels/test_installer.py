"""uv: its failure is an error of ours that says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import SandboxError
from workbench.kernels import installer


def test_the_installers_last_words_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="uv pip sync failed") as raised:
        installer.uv("pip", "sync", str(tmp_path / "no-such.lock"))
    assert "no-such.lock" in raised.value.message


def test_an_active_environment_has_no_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    active = tmp_path / "active"
    installer.uv("venv", "--quiet", str(active))
    monkeypatch.setenv("VIRTUAL_ENV", str(active))
    done = installer.run("python", "find", cwd="/")
    assert done.returncode == 0 and str(active) not in done.stdout


def test_it_runs_where_it_is_told_to(tmp_path: Path) -> None:
    done = installer.run("venv", "--quiet", "made", cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made" / "pyvenv.cfg").is_file()
