"""Compare the reported analysis with the reference analyses that prepare.py fitted."""

import json
import math
import os
import stat
from pathlib import Path

NAME = "answer.json"
MAX_BYTES = 65_536
NUMBERS = ["rate_ratio", "ci_low", "ci_high", "share_without_visits"]
DISTRIBUTIONS = ["normal", "lognormal", "binomial", "poisson", "zero_inflated_poisson", "negative_binomial"]
# Wide enough for another optimiser, or a bootstrap over persons; too narrow for another model, other columns, or standard errors
# that take the rows for independent.
TOLERANCE = {"rate_ratio": 0.0006, "ci_low": 0.01, "ci_high": 0.01, "share_without_visits": 0.004}


class Invalid(Exception):
    """The submission can't be graded, for the reason given."""


def read_bytes(path: Path) -> bytes:
    """Return a submitted file's contents; links and special files are not followed, and no more than the bound is read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Invalid(f"{NAME} is missing") from None
    except OSError as error:
        why = "it is a symbolic link" if path.is_symlink() else error.strerror
        raise Invalid(f"{NAME} can't be read: {why}") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Invalid(f"{NAME} is not a plain file")
    with os.fdopen(handle, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Invalid(f"{NAME} is larger than {MAX_BYTES} bytes")
    return data


def no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid(f"{NAME} has a field twice")
    return found


def no_constant(name: str) -> None:
    raise Invalid(f"{NAME} has {name}, which is not a number")


def read_answer(path: Path) -> dict:
    """Return the submission with its fields checked."""
    data = read_bytes(path)
    try:
        answer = json.loads(data.decode("utf-8-sig"), object_pairs_hook=no_duplicates, parse_constant=no_constant)
    except RecursionError:
        raise Invalid(f"{NAME} is nested too deeply") from None
    except ValueError as error:
        raise Invalid(f"{NAME} is not JSON: {str(error)[:200]}") from None
    if not isinstance(answer, dict):
        raise Invalid(f"{NAME} must hold one JSON object")
    if missing := [name for name in ["distribution", "covariates", *NUMBERS] if name not in answer]:
        raise Invalid(f"{NAME} lacks {', '.join(missing)}")
    checked: dict = {}
    for name in NUMBERS:
        value = answer[name]
        # A bool is an int to Python. The bound comes first: an int may be too large to become a float.
        if not isinstance(value, int | float) or isinstance(value, bool) or not -1e9 < value < 1e9 or not math.isfinite(value):
            raise Invalid(f"{name} must be a finite number of sensible size")
        checked[name] = float(value)
    if answer["distribution"] not in DISTRIBUTIONS:
        raise Invalid(f"distribution must be one of {', '.join(DISTRIBUTIONS)}")
    checked["distribution"] = answer["distribution"]
    covariates = answer["covariates"]
    if not isinstance(covariates, list) or not all(isinstance(name, str) for name in covariates):
        raise Invalid("covariates must be a list of strings")
    if len(set(covariates)) != len(covariates):
        raise Invalid("covariates names a column twice")
    checked["covariates"] = covariates
    return checked


def compare(answer: dict, reference: dict) -> dict[str, bool]:
    """Return which of the numbers are those of one reference analysis."""
    near = {name: abs(answer[name] - reference[name]) <= TOLERANCE[name] for name in NUMBERS}
    return {
        "estimate_ok": near["rate_ratio"],
        "interval_ok": near["ci_low"] and near["ci_high"],
        "zeros_ok": near["share_without_visits"],
    }


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((Path(hidden) / "expected.json").read_text(encoding="utf-8"))
    try:
        answer = read_answer(Path(submission) / NAME)
    except Invalid as reason:
        return {"metrics": {}, "invalid": str(reason), "details": {}}
    # All numbers must come from one analysis, so the reference that fits best counts, not the best of each for every number.
    against = {name: compare(answer, reference) for name, reference in expected["references"].items()}
    closest = max(against, key=lambda name: sum(against[name].values()))
    checks = {
        "model_ok": answer["distribution"] == "negative_binomial",
        "variables_ok": set(answer["covariates"]) == set(expected["covariates"]),
        **against[closest],
    }
    metrics = {name: float(holds) for name, holds in checks.items()}
    metrics["score"] = sum(checks.values()) / len(checks)
    return {"metrics": metrics, "invalid": None, "details": {"compared_with": closest, "answer_numbers": {n: answer[n] for n in NUMBERS}}}
