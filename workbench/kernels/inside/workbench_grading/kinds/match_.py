"""The kind ``match``: an answer that is right when it is the expected one."""

import json
import math
from pathlib import Path

from workbench_grading.reading import read_text


def grade(submission: Path, hidden: Path, *, expected: str = "expected.json", tolerance: float = 0.0) -> dict:
    """Compare the answer with a JSON value, or with each of a list of values that are all right.

    Text is compared without regard to case, quotes and space around it; numbers within ``tolerance`` of the expected
    one, relative to it.

    Parameters
    ----------
    submission, hidden : Path
        As every grader is given them.
    expected : str
        The file with the value, relative to the hidden folder.
    tolerance : float
        For numbers, 0.01 is 1 per cent.

    Returns
    -------
    dict
        A report: ``correct`` is 1 or 0.
    """
    answer = read_text(submission / "answer.txt", 2**20)
    wanted = json.loads((hidden / expected).read_text(encoding="utf-8"))
    accepted = wanted["any_of"] if isinstance(wanted, dict) and "any_of" in wanted else [wanted]
    return {"metrics": {"correct": float(any(same(answer, each, tolerance) for each in accepted))}, "invalid": None, "details": {}}


def same(answer: str, wanted: object, tolerance: float) -> bool:
    """Say whether an answer, which is text, is the wanted value."""
    text = answer.strip().strip("'\"").strip()
    if isinstance(wanted, str):
        return text.casefold() == wanted.strip().casefold()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = {"true": True, "false": False, "none": None}.get(text.casefold(), text)
    return alike(found, wanted, tolerance)


def alike(found: object, wanted: object, tolerance: float) -> bool:
    """Say whether two JSON values are the same, numbers within a tolerance."""
    if isinstance(wanted, bool) or wanted is None or isinstance(found, bool):
        return found is wanted
    if isinstance(wanted, int | float):
        return isinstance(found, int | float) and math.isclose(found, wanted, rel_tol=tolerance, abs_tol=0.0)
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(alike, found, wanted, [tolerance] * len(wanted)))
    if isinstance(wanted, dict):
        return (
            isinstance(found, dict) and found.keys() == wanted.keys() and all(alike(found[key], wanted[key], tolerance) for key in wanted)
        )
    return isinstance(found, str) and found.strip() == str(wanted).strip()
