"""Compare the submitted module's gradients, optimiser and predictions with a reference, and train it on other data."""

import json
import shutil
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from workbench_grading import Invalid, read_bytes, run_submitted

sys.path.insert(0, str(Path(__file__).parent))
import reference

SIZES = [2, 5, 4, 3]
# Repaired it gets 0.987; with the one bug left that slows learning 0.85, with the one that spoils the gradients 0.62 (numpy 2.4.6).
ACCURACY = 0.95

# Each part fails by itself, so that one broken function does not take the others with it.
CALL = """
import json
import numpy as np

given = np.load("{folder}/given.npz")
params = [given[name] for name in sorted(name for name in given if name.startswith("p"))]
count = len(params)
result = {{}}


def part(name):
    def run(function):
        try:
            result[name] = function()
        except Exception as error:
            result[name] = None
            result.setdefault("errors", {{}})[name] = f"{{type(error).__name__}}: {{error}}"[:200]
    return run


import network


def lists(arrays):
    return [np.asarray(array, dtype=float).tolist() for array in arrays]


@part("plain")
def _():
    return lists(network.loss_and_gradients(params, given["x"], given["y"], 0.0)[1])


@part("decayed")
def _():
    return lists(network.loss_and_gradients(params, given["x"], given["y"], 0.05)[1])


@part("adam")
def _():
    now, state = params, network.adam_start(params)
    for step in range(3):
        now, state = network.adam_step(now, [given[f"g{{step}}{{i:02d}}"] for i in range(count)], state, 0.01)
    return lists(now)


@part("runs")
def _():
    runs = []
    for seed in {seeds}:
        model = network.train(given["train_x"].copy(), given["train_y"].copy(), seed=seed)
        predicted = np.asarray(network.predict(model, given["test_x"].copy())).tolist()
        alone = [np.asarray(network.predict(model, given["test_x"][rows].copy())).tolist() for rows in ([0], [7, 8], range(40, 90))]
        runs.append([predicted, sum(alone, [])])
    return runs


print("RESULT" + json.dumps(result))
"""
ALONE = [0, 7, 8, *range(40, 90)]
SEEDS = [11, 47]


def given(hidden: Path) -> dict[str, np.ndarray]:
    """Return what is handed to the module: parameters and rows for one step, and data to train on."""
    rng = np.random.default_rng(58)
    made = {"x": rng.normal(size=(9, 2)), "y": rng.integers(0, 3, 9)}
    shapes = [shape for pair in pairwise(SIZES) for shape in (pair, pair[1:])]
    for i, shape in enumerate(shapes):
        made[f"p{i:02d}"] = rng.normal(size=shape)
        for step in range(3):
            made[f"g{step}{i:02d}"] = rng.normal(size=shape) * 10.0**-step
    train, test = np.load(hidden / "fit.npz"), np.load(hidden / "unseen.npz")
    return made | {"train_x": train["x"], "train_y": train["y"], "test_x": test["x"]}


def near(found: object, expected: list[np.ndarray]) -> bool:
    if not isinstance(found, list) or len(found) != len(expected):
        return False
    try:
        arrays = [np.asarray(each, dtype=float) for each in found]
    except (TypeError, ValueError, OverflowError):
        return False
    return all(a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-8) for a, b in zip(arrays, expected, strict=True))


def judge_runs(runs: object, labels: np.ndarray) -> tuple[bool, float]:
    """Return whether a row's class is the same whatever rows it is asked with, and the mean accuracy."""
    if not isinstance(runs, list) or len(runs) != len(SEEDS):
        return False, 0.0
    same, accuracies = True, []
    for run in runs:
        if not (isinstance(run, list) and len(run) == 2 and all(isinstance(part, list) for part in run)):
            return False, 0.0
        predicted, alone = run
        if len(predicted) != len(labels) or not all(type(each) is int for each in predicted):
            return False, 0.0
        same = same and alone == [predicted[row] for row in ALONE]
        accuracies.append(sum(a == b for a, b in zip(predicted, labels.tolist(), strict=True)) / len(labels))
    return same, sum(accuracies) / len(accuracies)


def grade(submission: Path, hidden: Path) -> dict:
    data = given(hidden)
    read_bytes(submission / "network.py", 100_000)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(submission / "network.py", folder)
        np.savez(Path(folder) / "given.npz", **data)
        done = run_submitted(CALL.format(folder=folder, seeds=SEEDS), submission=Path(folder), timeout=90)
    try:
        result = json.loads(done.stdout.rpartition("RESULT")[2])
    except (ValueError, RecursionError):
        result = None
    if not isinstance(result, dict):
        raise Invalid(f"network.py could not be used: {done.stderr.strip()[-300:] or 'it printed no result in time'}")
    params = [data[name] for name in sorted(data) if name.startswith("p")]
    steps = [[data[f"g{step}{i:02d}"] for i in range(len(params))] for step in range(3)]
    same, accuracy = judge_runs(result.get("runs"), np.load(hidden / "unseen.npz")["y"])
    checks = {
        "gradient_ok": near(result.get("plain"), reference.loss_and_gradients(params, data["x"], data["y"], 0.0)[1]),
        "decay_ok": near(result.get("decayed"), reference.loss_and_gradients(params, data["x"], data["y"], 0.05)[1]),
        "adam_ok": near(result.get("adam"), reference.adam(params, steps, 0.01)),
        "predict_ok": same and accuracy > 0.5,
        "accuracy_ok": accuracy >= ACCURACY,
    }
    metrics = {"score": sum(checks.values()) / len(checks), "accuracy": round(accuracy, 4), **{k: float(v) for k, v in checks.items()}}
    return {"metrics": metrics, "invalid": None, "details": {"errors": str(result.get("errors"))[:1000]}}
