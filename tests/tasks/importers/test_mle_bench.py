"""MLE-bench: what is found with and without prepared data, and the medal that a submission gets."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import pytest

import workbench as wb
from tests.tasks.importers.conftest import complain
from workbench.errors import TaskError
from workbench.models.scripted import Scripted
from workbench.tasks import suites
from workbench.tasks.checkout import Checkout
from workbench.tasks.folder import tree_hash
from workbench.tasks.importers import mle_bench

UTILS = """
import importlib

import pandas as pd


def read_csv(path):
    return pd.read_csv(path)


load_answers = read_csv


def import_fn(name):
    module, function = name.split(":")
    return getattr(importlib.import_module(module), function)
"""
HELPERS = """
from mlebench.utils import import_fn


class Grader:
    def __init__(self, name, grade_fn):
        self.name, self.grade_fn = name, import_fn(grade_fn)

    def __call__(self, submission, answers):
        return round(self.grade_fn(submission, answers), 5)

    def rank_score(self, score, leaderboard):
        bounds = dict(zip(("gold", "silver", "bronze", "median"), leaderboard["score"]))
        said = {f"{name}_threshold": float(bound) for name, bound in bounds.items()}
        gold, silver, bronze = (score >= bounds[name] for name in ("gold", "silver", "bronze"))
        said |= {"gold_medal": gold, "silver_medal": silver and not gold, "bronze_medal": bronze and not silver}
        return said | {"above_median": score > bounds["median"]}
"""
GRADE = """
def grade(submission, answers):
    if list(submission["id"]) != list(answers["id"]):
        raise ValueError("the ids are others")
    return float((submission["label"] == answers["label"]).mean())
"""
CONFIG = """
id: {name}
name: {name}
description: mlebench/competitions/{name}/description.md
dataset:
  answers: {name}/prepared/private/test.csv
  sample_submission: {name}/prepared/public/sample_submission.csv
grader:
  name: accuracy
  grade_fn: mlebench.competitions.{name}.grade:grade
"""
LEADERBOARD = "score\n1.0\n0.8\n0.6\n0.4\n"
ANSWERS = "id,label\n" + "".join(f"{number},{number % 2}\n" for number in range(10))
REAL = "WORKBENCH_TEST_MLE_BENCH"


@pytest.fixture(autouse=True)
def _no_data_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = platformdirs.user_cache_dir

    def elsewhere(name: str, **options: bool) -> str:
        return str(tmp_path / "mle-cache") if name == "mle-bench" else usual(name, **options)

    monkeypatch.setattr(platformdirs, "user_cache_dir", elsewhere)


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A look-alike of the checkout with two competitions, whose data are not there."""
    root = tmp_path / "checkout"
    written = {
        "mlebench/__init__.py": "",
        "mlebench/utils.py": UTILS,
        "mlebench/grade_helpers.py": HELPERS,
        "mlebench/metrics.py": "",
        "mlebench/competitions/__init__.py": "",
        "mlebench/competitions/utils.py": "",
        "experiments/splits/low.txt": "odd-or-even",
        "experiments/splits/medium.txt": "Other2",
        "experiments/splits/high.txt": "",
    }
    for name in ("odd-or-even", "Other2"):
        folder = f"mlebench/competitions/{name}"
        written |= {
            f"{folder}/config.yaml": CONFIG.format(name=name),
            f"{folder}/description.md": f"# {name}",
            f"{folder}/leaderboard.csv": LEADERBOARD,
            f"{folder}/grade.py": GRADE,
        }
    for name, text in written.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def prepare(data: Path, name: str = "odd-or-even") -> None:
    """Put data where upstream's preparation puts them."""
    for part, files in {"public": {"sample_submission.csv": "id,label\n", "train.csv": ANSWERS}, "private": {"test.csv": ANSWERS}}.items():
        folder = data / name / "prepared" / part
        folder.mkdir(parents=True)
        for file, text in files.items():
            (folder / file).write_text(text)


def test_without_data_all_are_listed_and_none_is_run(upstream: Path, tmp_path: Path) -> None:
    before = tree_hash(upstream)
    report = suites.import_("mle-bench", upstream)
    assert [each.task.id for each in report.found] == ["mle-bench/other2", "mle-bench/odd-or-even"]
    assert [each.task.difficulty for each in report.found] == ["medium", "easy"]
    (why,) = report.unavailable
    assert report.runnable == 0 and why == f"kaggle (mlebench prepare puts the data in {tmp_path / 'mle-cache' / 'data'})"
    assert tree_hash(upstream) == before


@pytest.mark.parametrize("where", ["checkout/data", "mle-cache/data"])
def test_what_is_prepared_can_be_run(upstream: Path, tmp_path: Path, where: str) -> None:
    prepare(tmp_path / where)
    report = suites.import_("mle-bench", upstream)
    assert report.runnable == 1
    found = next(each for each in report.found if each.task.id == "mle-bench/odd-or-even")
    assert not any("private" in str(piece.source) or "test.csv" in piece.to for piece in found.pieces if piece.to.startswith("workspace"))
    assert found.instruction({}).endswith("# odd-or-even") and "/workspace/submission.csv" in found.instruction({})


def test_data_that_change_make_another_task(upstream: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "mle-cache" / "data")

    def digest() -> str:
        return mle_bench.tasks(Checkout(upstream))[1].hash()

    before = digest()
    assert digest() == before
    (tmp_path / "mle-cache" / "data" / "odd-or-even" / "prepared" / "public" / "more.csv").write_text("1")
    assert digest() != before


def test_a_leaderboard_that_was_not_fetched_is_asked_for(upstream: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "mle-cache" / "data")
    (upstream / "mlebench/competitions/odd-or-even/leaderboard.csv").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "files (git lfs pull fetches the leaderboard)" in suites.import_("mle-bench", upstream).unavailable


def test_lower_is_better_where_the_leaderboard_says_so(upstream: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "mle-cache" / "data")
    (upstream / "mlebench/competitions/odd-or-even/leaderboard.csv").write_text("teamId,score\na,0.1\nb,0.5\n")
    score = mle_bench.tasks(Checkout(upstream))[1].task.metrics[1]
    assert (score.name, score.direction) == ("score", "min")


@pytest.mark.parametrize("config", ["name: 1", "- a", "{", CONFIG.format(name="odd-or-even").replace("answers: ", "answers: ../../")])
def test_a_malformed_competition_is_refused(upstream: Path, config: str) -> None:
    (upstream / "mlebench/competitions/odd-or-even/config.yaml").write_text(config)
    with pytest.raises(TaskError, match=r"odd-or-even/config\.yaml does not describe a competition"):
        complain(mle_bench, upstream)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="does not exist"):
        mle_bench.tasks(Checkout(tmp_path))


@pytest.mark.walls
def test_a_submission_gets_its_medal(upstream: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "mle-cache" / "data")
    before = tree_hash(tmp_path / "mle-cache"), tree_hash(upstream)
    task = mle_bench.tasks(Checkout(upstream))[1]
    # the packages are for other competitions; building them takes a while
    task.task = task.task.model_copy(update={"environment": task.task.environment.model_copy(update={"packages": []})})

    def values(model: str | Scripted) -> dict[str, float | None]:
        result = wb.run(task, model=model)
        assert result.status == "completed", result
        return {metric.metric: metric.value for metric in result.metrics} | {"solved": result.success}

    def labels(wrong: int) -> Scripted:
        rows = "".join(f"{number},{number % 2 if number >= wrong else 2}\n" for number in range(10))
        return Scripted("labels", [f"open('submission.csv', 'w').write('id,label\\n' + {rows!r})"])

    assert values("oracle") == {"medal": 3, "score": 1, "above_median": 1, "solved": True}
    assert values(labels(4)) == {"medal": 1, "score": 0.6, "above_median": 1, "solved": True}
    assert values(labels(6)) == {"medal": 0, "score": 0.4, "above_median": 0, "solved": False}
    assert values("nop") == {"medal": 0, "score": None, "above_median": 0, "solved": False}
    others = wb.run(task, model=Scripted("others", ["open('submission.csv', 'w').write('id,label\\n1,1\\n')"]))
    assert others.invalid == "submission.csv cannot be graded: ValueError: the ids are others"
    assert (tree_hash(tmp_path / "mle-cache"), tree_hash(upstream)) == before


@pytest.mark.skipif(REAL not in os.environ, reason=f"REAL CHECKOUT: {REAL} names none")
def test_a_real_checkout() -> None:
    assert len(suites.import_("mle-bench", Path(os.environ[REAL])).found) == 82
