"""RMSE of the submitted predictions on the held-out patients."""

import csv
import math
from pathlib import Path

from workbench_grading import number, predictions


def grade(submission: Path, hidden: Path) -> dict:
    with (hidden / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["id"]: float(row["progression"]) for row in csv.DictReader(file)}
    predicted = predictions(submission / "submission.csv", list(labels), ["progression"])
    errors = [number(text, f"id {identity}") - labels[identity] for identity, (text,) in zip(labels, predicted, strict=True)]
    # fsum: the same number whatever the order of the rows
    rmse = math.sqrt(math.fsum(error**2 for error in errors) / len(labels))
    return {"metrics": {"rmse": rmse}, "invalid": None, "details": {"rows": len(labels)}}
