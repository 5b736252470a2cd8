"""How well the submitted probabilities of ten digits fit the right ones: log loss, Brier score, calibration error."""

import csv
from pathlib import Path

import numpy as np
from workbench_grading import Invalid, number, predictions

COLUMNS = [f"p{digit}" for digit in range(10)]
SLACK = 0.001  # how far from 1 a row's sum may be
LEAST = 1e-7
BINS = 15


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the mean distance of confidence and accuracy in bins of equal width, weighted by how many rows they hold."""
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return float(sum(abs((right - confidence)[places == place].sum()) for place in range(BINS)) / len(right))


def log_loss(given: np.ndarray) -> float:
    """Return the mean of the negative logarithm of what was given to the right digits."""
    return float(-np.log(np.maximum(given, LEAST)).mean())


def grade(submission: Path, hidden: Path) -> dict:
    with (hidden / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    texts = predictions(submission / "submission.csv", [row["id"] for row in rows], COLUMNS)
    given = np.array([[number(text, f"id {row['id']}", 0, 1) for text in each] for row, each in zip(rows, texts, strict=True)])
    if (far := np.abs(given.sum(axis=1) - 1)).max() > SLACK:
        raise Invalid(f"id {rows[int(far.argmax())]['id']}: the probabilities must sum to 1")
    given /= given.sum(axis=1, keepdims=True)

    digits = np.array([int(row["digit"]) for row in rows])
    scanners = np.array([row["scanner"] for row in rows])
    of_right = given[np.arange(len(rows)), digits]
    right = given.argmax(axis=1) == digits
    metrics = {
        "log_loss": log_loss(of_right),
        "brier": float(((given - np.eye(10)[digits]) ** 2).sum(axis=1).mean()),
        "calibration_error": calibration_error(given.max(axis=1), right),
        "accuracy": float(right.mean()),
    }
    by_scanner = {scanner: round(log_loss(of_right[scanners == scanner]), 4) for scanner in "abc"}
    return {"metrics": metrics, "invalid": None, "details": {"log_loss_by_scanner": by_scanner}}
