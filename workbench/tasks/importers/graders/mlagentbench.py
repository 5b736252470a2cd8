"""Grade MLAgentBench's ``vectorization``: what upstream's evaluation reads, and how fast the submitted layer is here."""

import importlib.util
import json
import math
import secrets
import time
from pathlib import Path

from workbench_grading import Invalid, run_submitted

ROUNDS, MOST_ROUNDS = 3, 9
CLOSE = 1.4
"""A speed-up up to this is timed in more rounds: on a busy machine the shortest of a few times is not the shortest possible."""
TOLERANCE = 1e-4
PATIENCE = 3
"""How many times as long as the starter a submission may take before it is stopped."""

# the layer and the batch of upstream's train.py; the sums in random directions are what only the whole output gives
_WORK = """
import json
import numpy as np
from train import Conv2DLayer

np.random.seed({seed})
batch = np.random.randn(32, 64, 64, 3)
layer = Conv2DLayer(3, 8, 3, 2, 2, "relu")
output = np.asarray(layer.forward(batch))
directions = np.random.RandomState({seed} + 1)
sums = [float((output * directions.randn(*output.shape)).mean()) for _ in range(4)]
print()
print(json.dumps({{"shape": output.shape, "sums": sums}}))
"""


def grade(submission: Path, hidden: Path) -> dict:
    """Return the speed-up that is measured here, and the submitted run time, as upstream reads it.

    The run time is self-reported: the submission writes it. Upstream reads the first line of ``submission.csv``, to
    which ``train.py`` appends a line each time it runs. So an agent that runs the starter without removing its line is
    judged by the starter's time.
    """
    seconds = _upstream(hidden).get_score(str(submission))
    if not math.isfinite(seconds) or seconds < 0:
        raise Invalid(f"submission.csv says {seconds}, which is no run time")
    speedup, said = _speedup(submission, hidden / "starter")
    return {
        "metrics": {"speedup": speedup, "self_reported_seconds": seconds},
        "invalid": None,
        "details": {**said, "lines": _lines(submission)},
    }


def _upstream(hidden: Path):
    spec = importlib.util.spec_from_file_location("upstream", hidden / "eval.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _lines(submission: Path) -> "list[str]":
    """Return the first lines of ``submission.csv``; upstream reads one of them."""
    try:
        text = (submission / "submission.csv").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line[:40] for line in text.splitlines()[:20]]


def _speedup(submission: Path, starter: Path) -> "tuple[float, dict]":
    """Time the same work with both, in turn, from outside the process it is done in; 0 where the submission's is not the same.

    Starting Python and numpy is part of both times, so that a very fast layer is faster than it is said to be.
    """
    starters, submitted = [], []
    while len(starters) < ROUNDS or (len(starters) < MOST_ROUNDS and 1 < min(starters) / min(submitted) < CLOSE):
        # unpredictable, so that no submission can prepare for it
        seed = secrets.randbelow(2**31)
        started = time.monotonic()
        took, wanted, why = _timed(starter, seed, 600)
        if wanted is None:
            raise RuntimeError(f"upstream's starter does not run here: {why}")
        starters.append(took)
        took, found, why = _timed(submission, seed, PATIENCE * (time.monotonic() - started) + 10)
        if found is None:
            return 0.0, {"speedup": f"the submitted train.py cannot be timed: {why}"}
        if not _same(found, wanted):
            return 0.0, {"speedup": "the submitted layer computes something else"}
        submitted.append(took)
    return min(starters) / min(submitted), {"starter_seconds": min(starters), "submitted_seconds": min(submitted)}


def _timed(folder: Path, seed: int, timeout: float) -> "tuple[float, dict | None, str]":
    # processor time of the process and all it started: a busy machine adds to the time on the clock, and little to this
    done = run_submitted(_WORK.format(seed=seed), submission=folder, timeout=timeout, timed=True)
    try:
        return done.cpu_seconds, json.loads(done.stdout.strip().splitlines()[-1]), ""
    except (ValueError, IndexError, RecursionError):
        return done.cpu_seconds, None, "it took too long" if done.returncode == -9 else done.stderr.strip()[-300:]


def _same(found: object, wanted: dict) -> bool:
    if not isinstance(found, dict) or found.get("shape") != wanted["shape"] or not isinstance(found.get("sums"), list):
        return False
    pairs = list(zip(found["sums"], wanted["sums"], strict=False))
    return len(found["sums"]) == len(pairs) == len(wanted["sums"]) and all(
        isinstance(ours, float) and math.isclose(ours, theirs, rel_tol=TOLERANCE, abs_tol=TOLERANCE * 0.01) for ours, theirs in pairs
    )
