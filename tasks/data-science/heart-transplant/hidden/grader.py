"""Compare the reported survival analysis with the one that prepare.py made."""

import json
from pathlib import Path

from workbench_grading import number, read_json

# Wide enough for another treatment of ties or another estimate of the variance; too narrow for patients sorted by what became of them
# later, and for a model without one of the columns.
TOLERANCE = {
    "median_days": 0.5,
    "mean_days": 1,
    "mean_low": 3,
    "mean_high": 3,
    "alive_without_transplant": 0.015,
    "hazard_ratio": 0.01,
    "ratio_low": 0.01,
    "ratio_high": 0.02,
}
CHECKS = {
    "median_ok": ["median_days"],
    "mean_ok": ["mean_days", "mean_low", "mean_high"],
    "waiting_ok": ["alive_without_transplant"],
    "ratio_ok": ["hazard_ratio"],
    "interval_ok": ["ratio_low", "ratio_high"],
}


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    answer = read_json(submission / "answer.json", list(TOLERANCE))
    found = {name: number(answer[name], name) for name in TOLERANCE}
    near = {name: abs(found[name] - expected[name]) <= most for name, most in TOLERANCE.items()}
    metrics = {check: float(all(near[name] for name in names)) for check, names in CHECKS.items()}
    metrics["score"] = sum(metrics.values()) / len(CHECKS)
    return {"metrics": metrics, "invalid": None, "details": {"answer": found}}
