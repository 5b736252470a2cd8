"""The kind ``episode``: what a task's environment itself gave for what was done in it."""

import json
import math
from pathlib import Path

HOW = {"sum": math.fsum, "last": lambda values: values[-1], "max": max, "mean": lambda values: math.fsum(values) / len(values)}


def grade(submission: Path, hidden: Path, *, field: str = "reward", how: str = "sum") -> dict:
    """Take what the environment's answers say in ``field``, as in the environments of AgentGym and Gymnasium.

    The record is the broker's: no agent writes in it.

    Parameters
    ----------
    submission, hidden : Path
        As every grader is given them.
    field : str
        A number in the results that are objects; where results are numbers themselves they count too.
    how : str
        ``sum``, ``last``, ``max`` or ``mean`` of them; an episode without any has 0.

    Returns
    -------
    dict
        A report: ``reward``, and how many ``queries`` it took.
    """
    episode = json.loads((submission / "episode.json").read_text(encoding="utf-8"))
    results = [call["result"] for call in episode["calls"] if "result" in call]
    values = [value for value in (each.get(field) if isinstance(each, dict) else each for each in results) if type(value) in (int, float)]
    reward = float(HOW[how](values)) if values else 0.0
    return {"metrics": {"reward": reward, "queries": float(episode["queries"])}, "invalid": None, "details": {}}
