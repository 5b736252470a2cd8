"""Compare the reported analysis with the reference analyses that prepare.py fitted."""

import json
from pathlib import Path

from workbench_grading import Invalid, number, read_json

NAME = "answer.json"
NUMBERS = ["rate_ratio", "ci_low", "ci_high", "share_without_visits"]
DISTRIBUTIONS = ["normal", "lognormal", "binomial", "poisson", "zero_inflated_poisson", "negative_binomial"]
# Wide enough for another optimiser, or a bootstrap over persons; too narrow for another model, other columns, or standard errors
# that take the rows for independent.
TOLERANCE = {"rate_ratio": 0.0006, "ci_low": 0.01, "ci_high": 0.01, "share_without_visits": 0.004}


def read_answer(path: Path) -> dict:
    """Return the submission with its fields checked."""
    answer = read_json(path, ["distribution", "covariates", *NUMBERS])
    checked: dict = {name: number(answer[name], name) for name in NUMBERS}
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
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    answer = read_answer(submission / NAME)
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
