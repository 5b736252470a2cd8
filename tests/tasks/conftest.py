"""Small task folders, made as a test needs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.tasks.folder import TaskFolder

HEAD = """
schema = 1
id = "{id}"
family = "data-science"
suite = "tests"
licence = "CC0-1.0"
source = "made by a test"
summary = "A task of a test."
"""
ENVIRONMENT = """
[environment]
name = "python-min"
memory = "1G"
"""
SUBMISSION = """
[submission]
kind = "file"
path = "answer.txt"
"""
METRIC = """
[[metric]]
name = "m"
primary = true
range = [0, 1]
invalid = 0
success = {rule = "eq", value = 1}
"""
GRADER = """
def grade(submission, hidden):
    return {"metrics": {"m": float((submission / "answer.txt").read_text() == "42")}, "invalid": None, "details": {}}
"""

MakeTask = Callable[..., TaskFolder]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; environments that are built already stay where they are."""
    path = tmp_path / "cache"
    monkeypatch.setenv("WORKBENCH_CACHE", str(path))
    return path


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    """Write a task folder and load it."""

    def make(
        more: str = "",
        *,
        name: str = "data-science/made",
        root: Path | None = None,
        environment: str = ENVIRONMENT,
        submission: str = SUBMISSION,
        metric: str = METRIC,
        files: dict[str, str | bytes] | None = None,
    ) -> TaskFolder:
        folder = (root or tmp_path / "tasks") / name
        written: dict[str, str | bytes] = {
            "task.toml": HEAD.format(id=name) + more + environment + submission + metric,
            "instruction.md": "Do it.",
            "hidden/grader.py": GRADER,
            **(files or {}),
        }
        for path, content in written.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return TaskFolder.load(folder)

    return make
