"""What the submitted decisions cost for each held-out person."""

import csv
from pathlib import Path

from workbench_grading import Invalid, predictions

MISSED = 20
CALL = 1


def grade(submission: Path, hidden: Path) -> dict:
    with (hidden / "labels.csv").open(newline="", encoding="utf-8") as file:
        admitted = {row["id"]: row["admitted"] == "1" for row in csv.DictReader(file)}
    called = []
    for identity, (text,) in zip(admitted, predictions(submission / "submission.csv", list(admitted), ["call"]), strict=True):
        if text.removesuffix(".0") not in ("0", "1"):
            raise Invalid(f"id {identity}: call must be 0 or 1, not {text[:40]!r}")
        called.append(text.removesuffix(".0") == "1")
    pairs = list(zip(called, admitted.values(), strict=True))
    found = sum(call and ill for call, ill in pairs)
    calls, ill = sum(called), sum(admitted.values())
    metrics = {
        "cost": (CALL * calls + MISSED * (ill - found)) / len(pairs),
        "recall": found / ill,
        "precision": found / calls if calls else 0.0,
    }
    return {"metrics": metrics, "invalid": None, "details": {"people": len(pairs), "admitted": ill, "called": calls}}
