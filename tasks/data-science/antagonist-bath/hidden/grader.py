"""Compare the five constants of the answer with those of the tissue."""

import math
import sys
from pathlib import Path

from workbench_grading import Invalid, number, read_json

NAMES = ("basal", "top", "log10(EC50)", "n", "log10(KB)")
TOLERANCES = (4, 4, 0.05, 0.5, 0.07)
NOTHING = 3
"""So many tolerances away a constant counts nothing."""


def closeness(error: float, tolerance: float) -> float:
    """Return 1 within the tolerance, 0 from three times that on, and in proportion between."""
    return min(1.0, max(0.0, (NOTHING - error / tolerance) / (NOTHING - 1)))


def grade(submission: Path, hidden: Path) -> dict:
    sys.path.insert(0, str(hidden))
    from tissue_constants import BASAL, EC50, HILL, KB, TOP

    episode = read_json(submission / "episode.json", ["answer"], 16 * 2**20)
    parts = episode["answer"].strip().strip("`").split(",")
    if len(parts) != len(NAMES):
        raise Invalid(f"the answer must be {len(NAMES)} numbers with commas between them: {', '.join(NAMES)}")
    given = [number(part.strip(), name) for part, name in zip(parts, NAMES, strict=True)]
    errors = [abs(a - b) for a, b in zip(given, (BASAL, TOP, math.log10(EC50), HILL, math.log10(KB)), strict=True)]
    near = [closeness(error, tolerance) for error, tolerance in zip(errors, TOLERANCES, strict=True)]
    metrics = {"score": sum(near) / len(near), "constants_ok": near.count(1.0), "ec50_error": errors[2], "kb_error": errors[4]}
    return {
        "metrics": metrics,
        "invalid": None,
        "details": {"queries": episode["queries"], "closeness": dict(zip(NAMES, near, strict=True))},
    }
