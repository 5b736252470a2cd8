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

# Of layers, for gradients and optimiser: the module's own depth, and others.
SIZES = {"a": [2, 5, 4, 3], "b": [3, 4, 2], "c": [2, 3, 5, 4, 3]}
# Repaired it gets 0.987; with the one bug left that slows learning 0.85, with the one that spoils the gradients 0.62 (numpy 2.4.6).
ACCURACY = 0.95
# How long is trained to see that the network is what is trained, and the share of rows that must get the reference's class: a repaired one
# gives all of them that class, also where it computes in float32; with one of the bugs left, 0.998 or less get it after one epoch or six.
EPOCHS, SAME = [1, 6], 0.999

# Each part fails by itself, so that one broken function does not take the others with it.
CALL = """
import json
import numpy as np

given = np.load("{folder}/given.npz")
params = {{each: [given[name] for name in sorted(given) if name.startswith("p" + each)] for each in "abc"}}
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


def learned(decay):
    both = {{each: network.loss_and_gradients(params[each], given["x" + each], given["y" + each], decay) for each in "abc"}}
    return {{each: [float(loss), lists(gradients)] for each, (loss, gradients) in both.items()}}


@part("plain")
def _():
    return learned(0.0)


@part("decayed")
def _():
    return learned(0.05)


@part("adam")
def _():
    moved = {{}}
    for each, now in params.items():
        state = network.adam_start(now)
        for step in range(3):
            now, state = network.adam_step(now, [given[f"g{{step}}{{each}}{{i:02d}}"] for i in range(len(now))], state, 0.01)
        moved[each] = lists(now)
    return moved


@part("short")
def _():
    models = [network.train(given["train_x"].copy(), given["train_y"].copy(), seed={seeds}[0], epochs=epochs) for epochs in {epochs}]
    return [np.asarray(network.predict(model, given["test_x"].copy())).tolist() for model in models]


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
    made = {}
    for each, sizes in SIZES.items():
        made |= {f"x{each}": rng.normal(size=(9, sizes[0])), f"y{each}": rng.integers(0, sizes[-1], 9)}
        for i, shape in enumerate(shape for pair in pairwise(sizes) for shape in (pair, pair[1:])):
            made[f"p{each}{i:02d}"] = rng.normal(size=shape)
            for step in range(3):
                made[f"g{step}{each}{i:02d}"] = rng.normal(size=shape) * 10.0**-step
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


def judge_learned(found: object, params: dict[str, list[np.ndarray]], data: dict[str, np.ndarray], decay: float) -> bool:
    """Return whether the loss and its gradients are the reference's, for every shape."""
    for each, of in params.items():
        loss, gradients = reference.loss_and_gradients(of, data[f"x{each}"], data[f"y{each}"], decay)
        said = found.get(each) if isinstance(found, dict) else None
        if not (isinstance(said, list) and len(said) == 2 and near([said[0]], [np.asarray(loss)]) and near(said[1], gradients)):
            return False
    return True


def judge_adam(found: object, params: dict[str, list[np.ndarray]], data: dict[str, np.ndarray]) -> bool:
    steps = {each: [[data[f"g{step}{each}{i:02d}"] for i in range(len(of))] for step in range(3)] for each, of in params.items()}
    return isinstance(found, dict) and all(near(found.get(each), reference.adam(of, steps[each], 0.01)) for each, of in params.items())


def judge_short(found: object, data: dict[str, np.ndarray]) -> bool:
    """Return whether short trainings end where the reference's do."""
    if not isinstance(found, list) or len(found) != len(EPOCHS):
        return False
    for epochs, said in zip(EPOCHS, found, strict=True):
        wanted = reference.classes(data["train_x"], data["train_y"], data["test_x"], SEEDS[0], epochs).tolist()
        if not isinstance(said, list) or len(said) != len(wanted):
            return False
        if sum(a == b for a, b in zip(said, wanted, strict=True)) < SAME * len(wanted):
            return False
    return True


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
        done = run_submitted(CALL.format(folder=folder, seeds=SEEDS, epochs=EPOCHS), submission=Path(folder), timeout=90)
    try:
        result = json.loads(done.stdout.rpartition("RESULT")[2])
    except (ValueError, RecursionError):
        result = None
    if not isinstance(result, dict):
        raise Invalid(f"network.py could not be used: {done.stderr.strip()[-300:] or 'it printed no result in time'}")
    params = {each: [data[name] for name in sorted(data) if name.startswith(f"p{each}")] for each in SIZES}
    same, accuracy = judge_runs(result.get("runs"), np.load(hidden / "unseen.npz")["y"])
    checks = {
        "gradient_ok": judge_learned(result.get("plain"), params, data, 0.0),
        "decay_ok": judge_learned(result.get("decayed"), params, data, 0.05),
        "adam_ok": judge_adam(result.get("adam"), params, data),
        "training_ok": judge_short(result.get("short"), data),
        "predict_ok": same and accuracy > 0.5,
        "accuracy_ok": accuracy >= ACCURACY,
    }
    metrics = {"score": sum(checks.values()) / len(checks), "accuracy": round(accuracy, 4), **{k: float(v) for k, v in checks.items()}}
    return {"metrics": metrics, "invalid": None, "details": {"errors": str(result.get("errors"))[:1000]}}
