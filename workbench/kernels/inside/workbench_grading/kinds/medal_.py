"""The kind ``medal``: the medal that a score would have won in a competition, by Kaggle's rules."""

import csv
import math
import statistics
from collections.abc import Callable
from pathlib import Path

GOLD, SILVER, BRONZE = 3.0, 2.0, 1.0


def grade(submission: Path, hidden: Path, *, score: "Callable[[Path, Path], dict]", leaderboard: str = "leaderboard.csv") -> dict:
    """Return the medal for what the task's own function scores.

    Parameters
    ----------
    submission, hidden : Path
        As every grader is given them.
    score : callable
        The task's ``entry``; its report has a metric ``score``.
    leaderboard : str
        A CSV file of the hidden folder with a column ``score``: the teams of the competition, the best first.

    Returns
    -------
    dict
        The function's report, and ``medal`` (3 gold, 2 silver, 1 bronze, 0 none) and ``above_median``.
    """
    with (hidden / leaderboard).open(encoding="utf-8", newline="") as file:
        teams = [float(row["score"]) for row in csv.DictReader(file)]
    report = score(submission, hidden)
    if report.get("invalid") is not None:
        return report
    sign = -1 if teams[0] < teams[-1] else 1
    ahead = sum(team * sign > report["metrics"]["score"] * sign for team in teams)
    won = next((medal for medal, places in zip((GOLD, SILVER, BRONZE), places_of(len(teams)), strict=True) if ahead < places), 0.0)
    above = float(report["metrics"]["score"] * sign > statistics.median(teams) * sign)
    return {**report, "metrics": {**report["metrics"], "medal": won, "above_median": above}}


def places_of(teams: int) -> "tuple[int, int, int]":
    """Return how many places win gold, at least silver, and at least bronze.

    The rules are kaggle.com/progression's, as Chan et al. (2025), arXiv 2410.07095, give them in their table 1.
    """
    if teams < 100:
        return _part(teams, 0.1), _part(teams, 0.2), _part(teams, 0.4)
    if teams < 250:
        return 10, _part(teams, 0.2), _part(teams, 0.4)
    gold = 10 + math.floor(teams * 0.002)
    return (gold, 50, 100) if teams < 1000 else (gold, _part(teams, 0.05), _part(teams, 0.1))


def _part(teams: int, share: float) -> int:
    return max(1, math.floor(teams * share))
