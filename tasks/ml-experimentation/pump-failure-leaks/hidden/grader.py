"""Which leaks were found, how well the predictions rank the new rows, and whether their quality was foretold."""

import csv
from pathlib import Path

import numpy as np
from scipy.stats import rankdata
from workbench_grading import Invalid, number, predictions, read_json

COLUMNS = {"crew_hours", "parts_cost"}
STEPS = {"step_5", "step_6", "step_7", "step_8", "step_9"}
# Measured with scikit-learn 1.9.1: boosting with the leaking columns 0.81, without them 0.86, with courses of the past 0.88.
GOOD_AUC = 0.858
# An honest cross-validation is off by less than 0.005; the guesses of somebody who made none, 0.8, 0.85 and 0.9, by 0.02 and more.
MOST_OFF = 0.02


def named(findings: dict, field: str) -> set[str]:
    found = findings[field]
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found) or len(found) > 200:
        raise Invalid(f"findings.json: {field} must be a list of strings")
    return set(found)


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    ranks, positive = rankdata(scores), labels == 1
    count = positive.sum()
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(labels) - count)))


def overlap(found: set[str], wanted: set[str]) -> float:
    return len(found & wanted) / len(found | wanted)


def grade(submission: Path, hidden: Path) -> dict:
    with (hidden / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["id"]: int(row["fails"]) for row in csv.DictReader(file)}
    rows = predictions(submission / "handin/predictions.csv", list(labels), ["probability"])
    scores = np.array([number(text, f"id {identity}") for identity, (text,) in zip(labels, rows, strict=True)])
    reached = round(auc(scores, np.array(list(labels.values()))), 4)
    columns = steps = foretold = 0.0
    if (submission / "handin/findings.json").exists():
        findings = read_json(submission / "handin/findings.json", ["leaking_columns", "leaking_steps", "expected_auc"])
        columns, steps = overlap(named(findings, "leaking_columns"), COLUMNS), overlap(named(findings, "leaking_steps"), STEPS)
        # Guessing 0.5 for a coin foretells nothing.
        off = abs(number(findings["expected_auc"], "expected_auc", 0, 1) - reached)
        foretold = float(off <= MOST_OFF and reached >= GOOD_AUC)
    ranking = min(1.0, max(0.0, (reached - 0.5) / (GOOD_AUC - 0.5)))
    score = (columns + steps + foretold + ranking) / 4
    metrics = {"score": score, "columns": columns, "steps": steps, "foretold": foretold, "auc": reached}
    return {"metrics": metrics, "invalid": None, "details": {"rows": len(labels)}}
