"""Compare the equation found with the true one, and the predicted motions with the true ones."""

import json
import math
from pathlib import Path

from workbench_grading import Invalid, number, read_json

DEGREE = 3
TOLERANCE = 0.1
MOST_ERROR = 0.05


def read_terms(terms: object) -> dict[tuple[int, int], float]:
    """Return the submitted coefficients by exponents, checked."""
    if not isinstance(terms, list) or not all(isinstance(term, dict) for term in terms):
        raise Invalid("terms must be a list of objects")
    found = {}
    for position, term in enumerate(terms):
        powers = tuple(number(term.get(name), f"terms[{position}], {name}", 0, DEGREE) for name in "xv")
        if any(power != int(power) for power in powers) or sum(powers) > DEGREE:
            raise Invalid(f"terms[{position}]: exponents must be whole and at most {DEGREE} together")
        if powers in found:
            raise Invalid(f"terms[{position}]: the exponents occurred before")
        found[powers] = number(term.get("coefficient"), f"terms[{position}], coefficient")
    return found


def read_predictions(predictions: object, starts: int, times: int) -> list[list[float]]:
    """Return the submitted positions of each start, checked."""
    if not isinstance(predictions, dict) or predictions.keys() != {str(start) for start in range(starts)}:
        raise Invalid(f"predictions must be an object with the fields 0 to {starts - 1}")
    rows = [predictions[str(start)] for start in range(starts)]
    for start, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != times:
            raise Invalid(f"predictions, {start}: must be a list of {times} numbers")
    return [[number(value, f"predictions, {start}") for value in row] for start, row in enumerate(rows)]


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    true = {(term["x"], term["v"]): term["coefficient"] for term in expected["terms"]}
    motions = expected["predictions"]
    answer = read_json(submission / "answer.json", ["terms", "predictions"])
    found = read_terms(answer["terms"])
    predicted = read_predictions(answer["predictions"], len(motions), len(motions[0]))

    errors = []
    for mine, theirs in zip(predicted, motions, strict=True):
        errors.append(math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(mine, theirs, strict=True)) / len(mine)))
    close = [powers for powers, value in true.items() if abs(found.get(powers, 0) - value) <= TOLERANCE * abs(value)]
    metrics = {
        "terms": 2 * len(true.keys() & found.keys()) / (len(true) + len(found)),
        "coefficients": len(close) / len(true),
        "predictions": sum(error <= MOST_ERROR for error in errors) / len(errors),
    }
    metrics["score"] = math.fsum(metrics.values()) / len(metrics)
    details = {
        "missed": len(true.keys() - found.keys()),
        "too_many": len(found.keys() - true.keys()),
        "median_error": sorted(errors)[len(errors) // 2],
    }
    return {"metrics": metrics, "invalid": None, "details": details}
