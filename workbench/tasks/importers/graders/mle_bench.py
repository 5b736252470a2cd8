"""Grade a competition of MLE-bench: upstream's grade function, and the medal that upstream's leaderboard gives the score.

These are the steps of upstream's ``grade_csv``, with upstream's own pieces; the module it is in needs Kaggle's client.
"""

import json
import math
import sys
from pathlib import Path

from workbench_grading import Invalid

MEDALS = {"gold_medal": 3.0, "silver_medal": 2.0, "bronze_medal": 1.0}


def grade(submission: Path, hidden: Path) -> dict:
    """Return the medal (3 gold, 2 silver, 1 bronze), the competition's score, and whether it is above the median."""
    told = json.loads((hidden / "task.json").read_text(encoding="utf-8"))
    sys.path.insert(0, str(hidden))
    import pandas as pd
    from mlebench.grade_helpers import Grader
    from mlebench.utils import load_answers, read_csv

    grader = Grader(told["name"], told["grade_fn"])
    leaderboard = pd.read_csv(hidden / "mlebench" / "competitions" / told["competition"] / "leaderboard.csv")
    answers = load_answers(hidden / told["answers"])
    try:
        handed_in = read_csv(submission / "submission.csv")
        # as upstream's check for agents does: its grader itself would not say why
        grader.grade_fn(handed_in.copy(), answers.copy())
    except ImportError:
        raise
    except Exception as error:
        raise Invalid(f"submission.csv cannot be graded: {type(error).__name__}: {str(error)[:1000]}") from None
    score = grader(handed_in, answers)
    if score is None or not math.isfinite(score):
        raise Invalid(f"submission.csv scores {score}, which is no number")
    rank = grader.rank_score(float(score), leaderboard)
    medal = max((value for name, value in MEDALS.items() if rank[name]), default=0.0)
    return {
        "metrics": {"medal": medal, "score": float(score), "above_median": float(rank["above_median"])},
        "invalid": None,
        "details": {name: value for name, value in rank.items() if name.endswith("_threshold")},
    }
