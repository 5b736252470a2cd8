"""Compare what was found out about each report with what is true of it."""

import json
from collections import Counter
from pathlib import Path

from workbench_grading import number, predictions

COLUMNS = ["latitude", "longitude", "zone", "airport", "airport_km", "leg_km"]
DEGREES, KILOMETRES = 0.002, 1.0


def compare(identity: str, values: list[str], true: dict) -> dict[str, bool]:
    """Return which parts of one row are right."""
    found = dict(zip(COLUMNS, values, strict=True))
    for name in ("latitude", "longitude", "airport_km", "leg_km"):
        found[name] = number(found[name], f"report {identity}, {name}")
    # longitudes that differ by a whole turn are the same
    turned = abs((found["longitude"] - true["longitude"] + 180) % 360 - 180)
    return {
        "positions": abs(found["latitude"] - true["latitude"]) <= DEGREES and turned <= DEGREES,
        "zones": found["zone"] == true["zone"],
        "airports": found["airport"] == true["airport"] and abs(found["airport_km"] - true["airport_km"]) <= KILOMETRES,
        "legs": abs(found["leg_km"] - true["leg_km"]) <= KILOMETRES,
    }


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    rows = predictions(submission / "located.csv", list(expected), COLUMNS, id_column="report")
    checks = {identity: compare(identity, row, expected[identity]) for identity, row in zip(expected, rows, strict=True)}
    right = Counter(name for found in checks.values() for name, holds in found.items() if holds)
    metrics = {name: right[name] / len(checks) for name in ("positions", "zones", "airports", "legs")}
    metrics["score"] = sum(all(found.values()) for found in checks.values()) / len(checks)
    wrong = [identity for identity, found in checks.items() if not all(found.values())]
    return {"metrics": metrics, "invalid": None, "details": {"reports": len(checks), "first_wrong": wrong[:10]}}
