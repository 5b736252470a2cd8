"""How well the submitted groups agree with the species."""

import csv
from pathlib import Path

from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from workbench_grading import Invalid, predictions

MOST_GROUPS = 50
LONGEST = 40


def grade(submission: Path, hidden: Path) -> dict:
    with (hidden / "labels.csv").open(newline="", encoding="utf-8") as file:
        species = {row["id"]: row["species"] for row in csv.DictReader(file)}
    groups = [group for (group,) in predictions(submission / "submission.csv", list(species), ["group"])]
    names = set(groups)
    if not all(0 < len(name) <= LONGEST for name in names):
        raise Invalid(f"a group must be a number or a word, of at most {LONGEST} characters, and not empty")
    if len(names) > MOST_GROUPS:
        raise Invalid(f"{len(names)} groups are more than {MOST_GROUPS}")
    known = list(species.values())
    metrics = {
        "adjusted_rand": float(adjusted_rand_score(known, groups)),
        "adjusted_mutual_information": float(adjusted_mutual_info_score(known, groups)),
        "groups": len(names),
    }
    return {"metrics": metrics, "invalid": None, "details": {"sizes": sorted(map(groups.count, names), reverse=True)}}
