"""Small tasks that tests make for themselves, in the smallest environment."""

from __future__ import annotations

from pathlib import Path

TASK = """
schema = 1
id = "data-science/made"
family = "data-science"
suite = "tests"
licence = "CC0-1.0"
source = "made by a test"
summary = "Write 42."

[interaction]
max_steps = 6

[environment]
name = "python-min"
memory = "1G"
cell_seconds = 30

[submission]
kind = "file"
path = "answer.txt"
clear_before_run = ["answer.txt"]

[[metric]]
name = "correct"
primary = true
range = [0, 1]
invalid = 0

[metric.success]
rule = "eq"
value = 1
"""

GRADER = """
def grade(submission, hidden):
    secret = (hidden / "secret.txt").read_text().strip()
    return {"metrics": {"correct": float((submission / "answer.txt").read_text().strip() == secret)}, "invalid": None, "details": {}}
"""

SOLVED = "```python\nopen('answer.txt', 'w').write('42')\n```"


def make_task(root: Path, *, task: str = TASK, grader: str = GRADER) -> Path:
    """Write a task folder: hand in ``answer.txt`` that says 42."""
    folder = root / "data-science" / "made"
    for part in ("workspace", "hidden", "solution"):
        (folder / part).mkdir(parents=True)
    (folder / "task.toml").write_text(task)
    (folder / "instruction.md").write_text("Write the answer to everything into answer.txt.")
    (folder / "hidden" / "grader.py").write_text(grader)
    (folder / "hidden" / "secret.txt").write_text("42")
    (folder / "workspace" / "notes.txt").write_text("nothing here")
    (folder / "solution" / "solution.py").write_text("open('answer.txt', 'w').write('42')\n")
    return folder


def playing(*replies: str):
    """Return a model function that gives ``replies`` in order, the last one for ever."""
    waiting = list(replies)

    def reply(_messages):
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return reply
