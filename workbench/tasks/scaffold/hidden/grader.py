"""Compare the submitted means with the true ones."""

import json
from pathlib import Path

from workbench_grading import number, read_json


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "means.json").read_text())
    answer = read_json(submission / "means.json", list(expected))
    right = {group: abs(number(answer[group], group) - mean) < 0.001 for group, mean in expected.items()}
    wrong = sorted(group for group, holds in right.items() if not holds)
    return {"metrics": {"share": sum(right.values()) / len(right)}, "invalid": None, "details": {"wrong": wrong}}
