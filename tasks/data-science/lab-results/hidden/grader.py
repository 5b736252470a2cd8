"""Compare the joined table with the one that prepare.py drew before it made the mess."""

import json
from pathlib import Path

from workbench_grading import Invalid, number, predictions

COLUMNS = ["patient", "admitted_utc", "specimens", "creatinine_first", "glucose_max"]
TOLERANCE = 0.01


def holds(column: str, text: str, expected: object) -> bool:
    """Return whether a cell says what is expected."""
    if expected is None or text == "":
        return expected is None and text == ""
    if column == "admitted_utc":
        return text == expected
    if column == "patient":
        return text.removesuffix(".0") == str(expected)
    try:
        return abs(number(text, column) - float(str(expected))) <= (TOLERANCE if column in ("creatinine_first", "glucose_max") else 0)
    except Invalid:
        return False


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    handed_in = predictions(submission / "clean.csv", [row["stay"] for row in expected], COLUMNS, id_column="stay")
    right = [
        [holds(column, text, row[column]) for column, text in zip(COLUMNS, cells, strict=True)]
        for cells, row in zip(handed_in, expected, strict=True)
    ]
    shares = {column: sum(row[at] for row in right) / len(right) for at, column in enumerate(COLUMNS)}
    return {
        "metrics": {
            "cells": sum(map(sum, right)) / (len(COLUMNS) * len(right)),
            "rows": sum(map(all, right)) / len(right),
            "patients_ok": shares["patient"],
            "times_ok": shares["admitted_utc"],
            "results_ok": sum(all(row[2:]) for row in right) / len(right),
        },
        "invalid": None,
        "details": {"shares": shares},
    }
