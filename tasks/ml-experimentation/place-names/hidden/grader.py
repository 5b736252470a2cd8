"""Share of the held-out names whose country is right, over all and for the country that is found worst."""

import csv
from pathlib import Path

from workbench_grading import Invalid, predictions


def grade(submission: Path, hidden: Path) -> dict:
    with (hidden / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["id"]: row["country"] for row in csv.DictReader(file)}
    right: dict[str, list[bool]] = {country: [] for country in sorted(set(labels.values()))}
    for identity, (country,) in zip(labels, predictions(submission / "submission.csv", list(labels), ["country"]), strict=True):
        if country not in right:
            raise Invalid(f"id {identity}: {country[:40]!r} is not one of {', '.join(right)}")
        right[labels[identity]].append(country == labels[identity])
    shares = {country: sum(each) / len(each) for country, each in right.items()}
    metrics = {"accuracy": sum(map(sum, right.values())) / len(labels), "worst_country": min(shares.values())}
    return {"metrics": metrics, "invalid": None, "details": {"by_country": {country: round(share, 4) for country, share in shares.items()}}}
