"""Compare the submitted features with the starter's, and the processor time of both.

Time is what the operating system says that everything the submitted code ever started has used. It is taken outside of it; so that machines
and their load matter little, starter and submission run in turn, and the factor is rounded to a power of two.
"""

import json
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np
from workbench_grading import Invalid, read_bytes, run_submitted

CALL = """
import json
import numpy as np

given = [np.load(f"{folder}/{{name}}.npy") for name in ("long", "odd")]
{module}
print("RESULT" + json.dumps([np.asarray(features(each), dtype=float).tolist() for each in given]))
"""
IMPORT = "from features import features"
NOTHING = "features = lambda signals: np.zeros((len(signals), 13))"
REPEATS = 3
MOST = 16
# Beneath this the clock's grain and the start of a process are all that is measured.
LEAST_SECONDS = 0.03


def measured(module: str, folder: str, timeout: float) -> tuple[float, str]:
    """Return the processor seconds of one run and what it printed."""
    done = run_submitted(CALL.format(folder=folder, module=module), submission=Path(folder), timeout=timeout, timed=True)
    if "RESULT" not in done.stdout:
        why = f"it took more than {timeout:.0f} s" if done.returncode == -9 else done.stderr.strip()[-300:]
        raise Invalid(f"features.py could not be used: {why or 'it printed no result'}")
    return done.cpu_seconds, done.stdout.rpartition("RESULT")[2]


def agreeing(printed: str, expected: list[np.ndarray]) -> float:
    """Return the share of signals whose features are all those of the starter."""
    try:
        arrays = [np.array(each, dtype=float) for each in json.loads(printed)]
    except (ValueError, TypeError, RecursionError, OverflowError):
        raise Invalid("features must return numbers") from None
    if [each.shape for each in arrays] != [each.shape for each in expected]:
        raise Invalid(f"features must return arrays of the shapes {[each.shape for each in expected]}")
    right = [np.isclose(a, b, rtol=1e-6, atol=1e-8).all(axis=1) for a, b in zip(arrays, expected, strict=True)]
    return float(np.concatenate(right).mean())


def grade(submission: Path, hidden: Path) -> dict:
    read_bytes(submission / "features.py", 100_000)
    shares, times = [], {"starter": [], "submitted": [], "nothing": []}
    with tempfile.TemporaryDirectory() as theirs, tempfile.TemporaryDirectory() as ours:
        for folder, module in ((theirs, submission / "features.py"), (ours, hidden / "starter_features.py")):
            shutil.copy(module, Path(folder) / "features.py")
            for name in ("long", "odd"):
                shutil.copy(hidden / f"{name}.npy", folder)
        for _ in range(REPEATS):
            times["nothing"].append(measured(NOTHING, ours, 60)[0])
            seconds, printed = measured(IMPORT, ours, 60)
            times["starter"].append(seconds)
            expected = [np.array(each) for each in json.loads(printed)]
            seconds, printed = measured(IMPORT, theirs, 60)
            times["submitted"].append(seconds)
            shares.append(agreeing(printed, expected))
    least = {name: min(each) for name, each in times.items()}
    factor = (least["starter"] - least["nothing"]) / max(least["submitted"] - least["nothing"], LEAST_SECONDS)
    speedup = min(MOST, 2.0 ** max(-4, round(math.log2(factor))))
    return {"metrics": {"speedup": speedup if min(shares) == 1 else 0.0, "agreement": min(shares)}, "invalid": None, "details": {}}
