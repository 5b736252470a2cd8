"""Train with the submitted settings, by the task's own trainer, with seeds of the grader's, and measure the error on other poses."""

import math
import sys
from pathlib import Path

import numpy as np
from workbench_grading import Invalid, read_json

SEEDS = [90_210, 5_773, 31_999]


def grade(submission: Path, hidden: Path) -> dict:
    sys.path.insert(0, str(hidden))
    import own_trainer as trainer

    config = read_json(submission / "config.json", most=10_000)
    poses = np.load(hidden / "poses.npz")
    train, test = poses["train"], poses["test"]
    x, y = train[:, :-1], train[:, -1]
    try:
        trainer.check(config)
        spent = trainer.cost(config, *x.shape)
        errors = [trainer.score(config, x, y, test[:, :-1], test[:, -1], seed) for seed in SEEDS]
    except (ValueError, TypeError) as error:
        raise Invalid(f"config.json: {str(error)[:300]}") from None
    # The last digits of a training depend on the machine's linear algebra.
    rmse = round(math.fsum(errors) / len(errors), 4)
    metrics = {"rmse": rmse, "worst_rmse": round(max(errors), 4), "spent": round(spent / trainer.BUDGET, 4)}
    return {"metrics": metrics, "invalid": None, "details": {"config": config}}
