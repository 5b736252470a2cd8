"""Compare the facts read from the reports with those they were written from."""

import json
from pathlib import Path

from workbench_grading import Invalid, number, predictions

TOLERANCE = {"temperature_c": 0.5}


def holds(column: str, text: str, expected: object) -> bool:
    """Return whether a cell says what is expected."""
    if isinstance(expected, str):
        return text == expected
    try:
        return abs(number(text, column) - float(str(expected))) <= TOLERANCE.get(column, 1e-6)
    except Invalid:
        return False


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    columns = list(next(iter(expected.values())))
    handed_in = predictions(submission / "facts.csv", list(expected), columns, id_column="report")
    right = [
        [holds(column, text, facts[column]) for column, text in zip(columns, cells, strict=True)]
        for cells, facts in zip(handed_in, expected.values(), strict=True)
    ]
    shares = {column: sum(row[at] for row in right) / len(right) for at, column in enumerate(columns)}
    return {
        "metrics": {
            "cells": sum(map(sum, right)) / (len(columns) * len(right)),
            "reports": sum(map(all, right)) / len(right),
            "worst_column": min(shares.values()),
        },
        "invalid": None,
        "details": {"shares": shares},
    }
