"""Pinball loss of the submitted quantiles on the two weeks that followed."""

import csv
import math
from pathlib import Path

from workbench_grading import Invalid, number, predictions

LEVELS = {"q025": 0.025, "q10": 0.1, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q90": 0.9, "q975": 0.975}


def read(path: Path, ids: list[str]) -> list[dict[str, float]]:
    """Return the quantiles of each hour by column, checked."""
    found = []
    for identity, values in zip(ids, predictions(path, ids, list(LEVELS)), strict=True):
        row = {name: number(text, f"id {identity}, {name}") for name, text in zip(LEVELS, values, strict=True)}
        if list(row.values()) != sorted(row.values()):
            raise Invalid(f"id {identity}: the quantiles must not fall from left to right")
        found.append(row)
    return found


def mean(values: list[float]) -> float:
    # fsum: the same number whatever the order of the rows
    return math.fsum(values) / len(values)


def grade(submission: Path, hidden: Path) -> dict:
    with (hidden / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["id"]: float(row["demand"]) for row in csv.DictReader(file)}
    hours = list(zip(labels.values(), read(submission / "forecast.csv", list(labels)), strict=True))
    metrics = {
        "pinball": mean([max(p * (y - row[name]), (p - 1) * (y - row[name])) for y, row in hours for name, p in LEVELS.items()]),
        "mae": mean([abs(y - row["q50"]) for y, row in hours]),
        "coverage_95": mean([float(row["q025"] <= y <= row["q975"]) for y, row in hours]),
        "coverage_50": mean([float(row["q25"] <= y <= row["q75"]) for y, row in hours]),
        "width_95": mean([row["q975"] - row["q025"] for _, row in hours]),
    }
    below = {name: mean([float(y <= row[name]) for y, row in hours]) for name in LEVELS}
    return {"metrics": metrics, "invalid": None, "details": {"share_below": below}}
