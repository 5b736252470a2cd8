"""MLAgentBench: which tasks are found, and what `vectorization` makes of a script that appends to its submission."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import workbench as wb
from tests.tasks.importers.conftest import complain
from workbench.errors import TaskError
from workbench.models.scripted import Scripted
from workbench.result import RunResult
from workbench.tasks import suites
from workbench.tasks.checkout import Checkout
from workbench.tasks.folder import tree_hash
from workbench.tasks.importers import mlagentbench

STARTER = '''
import time

import numpy as np


def relu(x):
    return x * (x > 0)


def add_padding(x, size):
    return np.pad(x, ((0, 0), (size, size), (size, size), (0, 0)))


class Conv2DLayer:
    def __init__(self, channels, filters, size, stride, padding, activation):
        self.kernel_matrices = np.random.randn(size, size, channels, filters)
        self.biases = np.random.randn(1, 1, 1, filters)
        self.stride, self.padding, self.activation = stride, padding, activation

    def forward(self, batch):
        """One window after another."""
        padded, size, step = add_padding(batch, self.padding), self.kernel_matrices.shape[0], self.stride
        count = (padded.shape[1] - size) // step + 1
        output = np.zeros([len(batch), count, count, self.kernel_matrices.shape[3]])
        for image in range(len(batch)):
            for y in range(count):
                for x in range(count):
                    window = padded[image, y * step : y * step + size, x * step : x * step + size]
                    output[image, y, x] = (window[..., None] * self.kernel_matrices).sum((0, 1, 2)) + self.biases[0, 0, 0]
        return relu(output)


if __name__ == "__main__":
    started = time.time()
    Conv2DLayer(3, 8, 3, 2, 2, "relu").forward(np.random.randn(32, 64, 64, 3))
    with open("submission.csv", "a") as file:
        file.write(f"{time.time() - started}\\n")
'''
EVAL = """
import os


def get_score(folder):
    try:
        return float(open(os.path.join(folder, "submission.csv")).readline())
    except OSError:
        return 1e10
"""
REAL = "WORKBENCH_TEST_MLAGENTBENCH"


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A look-alike of the checkout."""
    root = tmp_path / "checkout"
    for published in mlagentbench._TASKS.values():
        folder = root / "MLAgentBench" / "benchmarks" / published.folder
        for part in ("env", "scripts"):
            (folder / part).mkdir(parents=True)
        (folder / "scripts" / "research_problem.txt").write_text(f"Improve {published.folder}.")
        (folder / "env" / "train.py").write_text(STARTER)
        (folder / "scripts" / "eval.py").write_text(EVAL)
    return root


def values(result: RunResult) -> dict[str, float | None]:
    return {metric.metric: metric.value for metric in result.metrics}


def solved(result: RunResult) -> dict[str, bool | None]:
    return {metric.metric: metric.success for metric in result.metrics}


def test_what_cannot_be_run_is_listed_with_what_it_lacks(upstream: Path) -> None:
    before = tree_hash(upstream)
    report = suites.import_("mlagentbench", upstream)
    assert (len(report.found), report.runnable) == (13, 1)
    lacking = {task: why for why, ids in report.unavailable.items() for task in ids}
    assert "mlagentbench/vectorization" not in lacking
    assert lacking["mlagentbench/house-price"] == "kaggle (data of the competition home-data-for-ml-course)"
    assert lacking["mlagentbench/cifar10"].startswith("network (")
    assert tree_hash(upstream) == before


def test_the_instruction_is_upstreams(upstream: Path) -> None:
    found = {each.task.id: each for each in mlagentbench.tasks(Checkout(upstream))}
    said = found["mlagentbench/parkinsons-disease"].instruction({})
    assert said.startswith("Improve amp-parkinsons-disease-progression-prediction.") and "/workspace" in said


@pytest.mark.parametrize("missing", ["imdb", "vectorization/scripts/eval.py", "CLRS/scripts/research_problem.txt"])
def test_a_checkout_that_is_not_whole_is_refused(upstream: Path, missing: str) -> None:
    path = upstream / "MLAgentBench" / "benchmarks" / missing
    path.rename(upstream / "elsewhere")
    with pytest.raises(TaskError, match=Path(missing).name) as caught:
        complain(mlagentbench, upstream)
    assert "complete checkout" in str(caught.value.hint)


@pytest.mark.walls
def test_the_first_line_counts_and_the_layer_is_timed_again(upstream: Path) -> None:
    before = tree_hash(upstream)
    suites.import_("mlagentbench", upstream)
    name = "mlagentbench/vectorization"
    change, run = mlagentbench._CELLS

    oracle = wb.run(name, model="oracle")
    assert oracle.success and solved(oracle) == {"speedup": True, "self_reported_seconds": True}, oracle

    nothing = wb.run(name, model="nop")
    assert values(nothing)["self_reported_seconds"] == 1e10 and nothing.success is False
    assert 0 < (values(nothing)["speedup"] or 0) < (values(oracle)["speedup"] or 0)

    # a slow run before the change, whose line stays: upstream judges that one, the time that is taken again does not
    slow = "open('submission.csv', 'w').write('1000\\n')"
    appended = wb.run(name, model=Scripted("appends", [slow, change, _without_removing(run)]))
    assert values(appended)["self_reported_seconds"] == 1000
    assert appended.success and solved(appended) == {"speedup": True, "self_reported_seconds": False}

    # a time that nobody measured, and a layer that is fast because it is wrong
    forged = "text = open('train.py').read()\nopen('train.py', 'w').write(text.replace('in range(len(batch))', 'in range(1)'))\n"
    wrong = wb.run(name, model=Scripted("forges", [forged + "open('submission.csv', 'w').write('0.001\\n')"]))
    assert not wrong.success and solved(wrong) == {"speedup": False, "self_reported_seconds": True} and values(wrong)["speedup"] == 0

    nonsense = wb.run(name, model=Scripted("nonsense", ["open('submission.csv', 'w').write('-1\\n')"]))
    assert nonsense.success is False and "no run time" in str(nonsense.invalid)
    assert tree_hash(upstream) == before


def _without_removing(run: str) -> str:
    kept = [line for line in run.splitlines() if "unlink" not in line]
    assert len(kept) == len(run.splitlines()) - 1
    return "\n".join(kept)


@pytest.mark.walls
@pytest.mark.skipif(REAL not in os.environ, reason=f"REAL CHECKOUT: {REAL} names none")
def test_a_real_checkout() -> None:
    report = suites.import_("mlagentbench", Path(os.environ[REAL]))
    assert (len(report.found), report.runnable) == (13, 1)
    assert wb.run("mlagentbench/vectorization", model="oracle").success
    assert wb.run("mlagentbench/vectorization", model="nop").success is False
