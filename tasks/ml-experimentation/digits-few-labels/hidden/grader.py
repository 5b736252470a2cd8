"""Share of the held-out images whose digit is right, over all and for the digit that is read worst."""

import csv
from pathlib import Path

from workbench_grading import Invalid, predictions

DIGITS = list("0123456789")


def grade(submission: Path, hidden: Path) -> dict:
    with (hidden / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["id"]: row["digit"] for row in csv.DictReader(file)}
    right: dict[str, list[bool]] = {digit: [] for digit in DIGITS}
    for identity, (text,) in zip(labels, predictions(submission / "submission.csv", list(labels), ["digit"]), strict=True):
        if text.removesuffix(".0") not in DIGITS:
            raise Invalid(f"id {identity}: digit must be one of 0 to 9, not {text[:40]!r}")
        right[labels[identity]].append(text.removesuffix(".0") == labels[identity])
    shares = {digit: sum(each) / len(each) for digit, each in right.items()}
    metrics = {"accuracy": sum(map(sum, right.values())) / len(labels), "worst_digit": min(shares.values())}
    return {"metrics": metrics, "invalid": None, "details": {"by_digit": {digit: round(share, 4) for digit, share in shares.items()}}}
