"""``workbench kernels``: documents on standard output, and nothing half done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_cli import workbench


@pytest.fixture
def jupyter(tmp_path: Path) -> dict[str, str]:
    """Variables that point Jupyter and live runs at folders of this test's own."""
    return {
        "JUPYTER_PATH": str(tmp_path / "share" / "jupyter"),
        **{f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")},
        "TMPDIR": str(tmp_path),
    }


def test_install_and_list(tmp_path: Path, jupyter: dict[str, str], minimal: object) -> None:
    limits = ["--memory", "512M", "--cpus", "0.5", "--processes", "64", "--disk", "100M"]
    options = ["--environment", "python-min", "--name", "tiny", *limits, "--network", "pypi.org", "--network", "*.python.org"]
    done = workbench("kernels", "install", *options, "--prefix", tmp_path, "--json", **jupyter)
    made = json.loads(done.stdout)
    assert done.returncode == 0
    assert "output is not sandboxed" in done.stderr
    assert made["policy"] == {
        "limits": {"memory": "512M", "cpus": 0.5, "processes": 64, "workspace_bytes": "100M"},
        "network": ["pypi.org", "*.python.org"],
    }
    listed = json.loads(workbench("kernels", "list", "--json", **jupyter).stdout)
    assert made in listed["installed"]
    assert listed["live"] == []
    shown = workbench("kernels", "list", **jupyter)
    assert "tiny" in shown.stdout
    assert "no kernel is alive" in shown.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--user", "--sys-prefix"], "exclude each other"),
        (["--memory", "lots"], "'lots' is not a size"),
        (["--sandbox", "moon"], "no sandbox 'moon'"),
        (["--workspace", "/no/such/folder"], "is no folder"),
    ],
    ids=["place", "size", "sandbox", "workspace"],
)
def test_what_cannot_be_is_bad_usage(tmp_path: Path, jupyter: dict[str, str], options: list[str], said: str) -> None:
    done = workbench("kernels", "install", "--environment", "python-min", *options, **jupyter)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "DATA").exists()


def test_gc_says_what_it_did(jupyter: dict[str, str]) -> None:
    done = workbench("kernels", "gc", **jupyter)
    assert done.returncode == 0
    assert "local: nothing was left" in done.stdout
    document = json.loads(workbench("kernels", "gc", "--json", **jupyter).stdout)
    assert document["removed"]["local"] == []
