"""Compare the reported tests and effects with those of every sound method that make_expected.py knows."""

import json
import math
from pathlib import Path

from workbench_grading import Invalid, number, read_json

FIELDS = ["p_value", "estimate", "ci_low", "ci_high"]
P_FACTOR = 1.1
ESTIMATE_SHARE = 0.005
INTERVAL_SHARE = 0.03
# One check may fail, but not this one.
DECISIONS_WEIGHT = 2


def read_question(answer: dict, name: str) -> dict[str, float]:
    found = answer[name]
    if not isinstance(found, dict):
        raise Invalid(f"{name} must be an object")
    if missing := [field for field in FIELDS if field not in found]:
        raise Invalid(f"{name} lacks {', '.join(missing)}")
    return {field: number(found[field], f"{name}: {field}") for field in FIELDS}


def read_names(value: object, known: list[str]) -> set[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name in known for name in value):
        raise Invalid(f"significant must be a list of some of {', '.join(known)}")
    return set(value)


def is_near(low: float, high: float, reference: list[float]) -> bool:
    room = INTERVAL_SHARE * (reference[1] - reference[0])
    return abs(low - reference[0]) <= room and abs(high - reference[1]) <= room


def compare(found: dict[str, float], sound: dict) -> dict[str, bool]:
    p_value = found["p_value"]
    return {
        "test": p_value > 0 and any(abs(math.log(p_value / other)) <= math.log(P_FACTOR) for other in sound["p_values"]),
        "estimate": abs(found["estimate"] - sound["estimate"]) <= ESTIMATE_SHARE * abs(sound["estimate"]),
        "interval": any(is_near(found["ci_low"], found["ci_high"], other) for other in sound["intervals"]),
    }


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    questions = expected["questions"]
    answer = read_json(submission / "answer.json", [*questions, "significant"])
    checks = {name: compare(read_question(answer, name), sound) for name, sound in questions.items()}
    decided = read_names(answer["significant"], list(questions)) == set(expected["significant"])
    sums = {part: sum(check[part] for check in checks.values()) for part in ("test", "estimate", "interval")}
    metrics = {f"{part}s_ok": float(count) for part, count in sums.items()}
    metrics["decisions_ok"] = float(decided)
    metrics["score"] = (sum(sums.values()) + DECISIONS_WEIGHT * decided) / (3 * len(questions) + DECISIONS_WEIGHT)
    return {"metrics": metrics, "invalid": None, "details": {"checks": checks}}
