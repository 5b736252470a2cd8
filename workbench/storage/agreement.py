"""How far judges agree with themselves: what they gave when they were asked the same again."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.storage.store import Store

_JUDGED = """
SELECT judge, prompt_hash, question, run_id, shown, scores FROM judgements
WHERE scores IS NOT NULL ORDER BY run_id, position
"""


@dataclass(frozen=True)
class Agreement:
    """How far several replies to the same agree, over everything one judge scored by one prompt.

    Attributes
    ----------
    judge, prompt_hash, question, score : str
        Who was asked, by which instructions, which question, and which number of the replies this is about.
    items : int
        How many things were judged more than once.
    replies : int
        How many replies there were to them.
    mean : float
        Of all these replies.
    spread : float
        Standard deviation of the replies to one thing, pooled over all, in the score's own unit.
    exact : float
        Share of the pairs of replies to one thing that give the same.
    alpha : float or None
        Krippendorff's alpha for interval data: 1 is perfect, 0 no better than chance. None where fewer than two things were
        judged, or all replies are the same, so that there is nothing to agree about.

    References
    ----------
    Hayes, A. F. and Krippendorff, K. (2007), Answering the call for a standard reliability measure for coding data.
    """

    judge: str
    prompt_hash: str
    question: str
    score: str
    items: int
    replies: int
    mean: float
    spread: float
    exact: float
    alpha: float | None


def agreement(store: Store) -> list[Agreement]:
    """Return how far each judge of ``store`` agrees with itself, by prompt, question and score.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     agreement(Store(f"{folder}/runs.duckdb"))
    []
    """
    given: dict[tuple[str, str, str, str], dict[tuple[str, str], list[float]]] = {}
    for row in store.rows(_JUDGED):
        for name, value in json.loads(row["scores"]).items():
            of = given.setdefault((row["judge"], row["prompt_hash"], row["question"], name), {})
            of.setdefault((row["run_id"], row["shown"]), []).append(value)
    repeated = {key: [values for values in things.values() if len(values) > 1] for key, things in sorted(given.items())}
    return [Agreement(*key, **statistics_of(things)) for key, things in repeated.items() if things]


def statistics_of(things: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return the numbers of an :class:`Agreement` for replies by thing, at least two each.

    Examples
    --------
    >>> found = statistics_of([[1.0, 1.0], [0.0, 0.5]])
    >>> found["items"], found["mean"], found["exact"]
    (2, 0.625, 0.5)
    """
    replies = [value for values in things for value in values]
    freedom = sum(len(values) - 1 for values in things)
    pairs = [first == second for values in things for first, second in itertools.combinations(values, 2)]
    return {
        "items": len(things),
        "replies": len(replies),
        "mean": statistics.fmean(replies),
        "spread": math.sqrt(sum(statistics.variance(values) * (len(values) - 1) for values in things) / freedom),
        "exact": sum(pairs) / len(pairs),
        "alpha": _alpha(things),
    }


def _alpha(things: Sequence[Sequence[float]]) -> float | None:
    if len(things) < 2 or len({value for values in things for value in values}) < 2:
        return None
    import krippendorff
    import numpy as np

    most = max(map(len, things))
    ratings = np.array([[*values, *[math.nan] * (most - len(values))] for values in things], dtype=float).T
    return float(krippendorff.alpha(reliability_data=ratings, level_of_measurement="interval"))
