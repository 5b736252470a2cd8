"""BLADE: every item is found, its key is right and stays out of the prompt, and analyses wait for a judge."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from workbench import runner
from workbench.errors import TaskError
from workbench.models.scripted import Scripted
from workbench.tasks import suites
from workbench.tasks.checkout import Checkout
from workbench.tasks.folder import tree_hash
from workbench.tasks.importers import blade

INFO = {"research_questions": ["Do bees like rain?"], "data_desc": {"fields": [{"column": "bees"}]}, "data_path": "/home/author/data.csv"}


def variable(text: str, rationale: str) -> dict[str, Any]:
    return {"cvar_str": text, "rationale": rationale, "is_llm_generated": rationale == "SECRET"}


def transform(code: str, rationale: str) -> dict[str, Any]:
    return {"code": code, "rationale": rationale, "is_llm_generated": rationale == "SECRET"}


# two choices that read alike: only what the annotator thought tells which is right
VARIABLES = [variable("Control: wind", "one"), variable("Control: moon", "two"), variable("Control: moon", "SECRET")]
CODES = [transform("df['a'] = 1", "SECRET"), transform("df['b'] = 2", "x"), transform("df['c'] = 3", "y"), transform("df['d'] = 4", "z")]
ITEMS: dict[str, Any] = {
    "mcqs_cvar": [{"mc_type": "select_neg", "options": VARIABLES, "correct_answer": VARIABLES[2]}],
    "mcqs_transform": {
        "Number of bees": [
            {"coneptual_var_str": "Number of bees", "mc_type": "select_pos", "options": CODES, "correct_answer": CODES[0]},
            {"coneptual_var_str": "Number of bees", "mc_type": "select_neg", "options": CODES[1:], "correct_answer": CODES[2]},
        ]
    },
}
KEYS = {"bees-variable-01": "C", "bees-transform-01": "A", "bees-transform-02": "B"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Three data sets: one complete, one whose data are to be had elsewhere, one that nobody annotated."""
    root = tmp_path / "BLADE"
    for name, files in {"bees": ("data.csv", "annotations.csv"), "far": ("annotations.csv",), "toy": ("data.csv",)}.items():
        folder = root / "blade_bench" / "datasets" / name
        folder.mkdir(parents=True)
        (folder / "info.json").write_text(json.dumps(INFO))
        for file in files:
            (folder / file).write_text("bees,rain\n1,0\n")
    (root / "blade_bench/datasets/bees/mcq_dataset.json").write_text(json.dumps(ITEMS))
    (root / "blade_bench/__init__.py").write_text("raise AssertionError('upstream is not to be imported')\n")
    return root


def test_found_and_unavailable(checkout: Path) -> None:
    before = tree_hash(checkout)
    report = suites.import_("blade", checkout)
    assert [each.task.id for each in report.found] == [
        *("blade/bees-variable-01", "blade/bees-transform-01", "blade/bees-transform-02", "blade/bees-analysis", "blade/far-analysis"),
    ]
    assert report.runnable == 3
    judge, files = report.unavailable
    assert report.unavailable[judge] == ["blade/bees-analysis"] and judge.startswith("judge (upstream")
    assert report.unavailable[files] == ["blade/far-analysis"] and "blade_bench/datasets/far/data.csv is not in the repository" in files
    assert tree_hash(checkout) == before


def test_keys_are_right_and_out_of_the_prompt(checkout: Path) -> None:
    found = {each.task.id.removeprefix("blade/"): each for each in blade.tasks(Checkout(checkout))}
    for name, key in KEYS.items():
        item = found[name]
        assert item.solution_answer() == key
        assert {piece.to: piece.source for piece in item.pieces} == {"hidden/key.txt": key}
        said = item.instruction({})
        assert "Do bees like rain?" in said and '"column": "bees"' in said
        for secret in ("SECRET", "rationale", "is_llm_generated", "/home/author", "correct"):
            assert secret not in said
    assert "LEAST" in found["bees-variable-01"].instruction({}) and "C. Control: moon" in found["bees-variable-01"].instruction({})
    assert "MOST" in found["bees-transform-01"].instruction({}) and "one of A, B, C, D" in found["bees-transform-01"].instruction({})
    assert "one of A, B, C." in found["bees-transform-02"].instruction({})


def test_the_analysis_says_what_to_hand_in(checkout: Path) -> None:
    analysis = next(each for each in blade.tasks(Checkout(checkout)) if each.task.id == "blade/bees-analysis")
    assert "/workspace/analysis.json" in analysis.instruction({})
    assert [piece.to for piece in analysis.pieces] == ["workspace/data.csv"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("mcq_dataset.json", "{}", "mcq_dataset.json is not as BLADE writes it: mcqs_cvar"),
        ("mcq_dataset.json", "no json", "mcq_dataset.json is not as BLADE writes it"),
        (
            "mcq_dataset.json",
            json.dumps({**ITEMS, "mcqs_cvar": [{**ITEMS["mcqs_cvar"][0], "correct_answer": variable("other", "x")}]}),
            "mcqs_cvar.0: Value error, the answer is none of the choices",
        ),
        ("info.json", '{"research_questions": [], "data_desc": {}}', "info.json is not as BLADE writes it: research_questions"),
        ("info.json", None, "info.json does not exist"),
    ],
    ids=["no field", "no json", "no such choice", "no question", "no description"],
)
def test_a_malformed_checkout_is_said(checkout: Path, file: str, text: str | None, said: str) -> None:
    path = checkout / "blade_bench/datasets/bees" / file
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(TaskError, match=said) as caught:
        blade.tasks(Checkout(checkout))
    assert caught.value.hint


def test_another_folder_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="blade_bench/datasets does not exist"):
        suites.import_("blade", tmp_path)
    (tmp_path / "blade_bench/datasets/empty").mkdir(parents=True)
    with pytest.raises(TaskError, match="holds no annotated data set"):
        suites.import_("blade", tmp_path)


@pytest.mark.walls
async def test_gold_solves_and_anything_else_does_not(checkout: Path, store_path: Path) -> None:
    suites.import_("blade", checkout)
    task = "blade/bees-variable-01"
    result = await runner.run_async(task, model="oracle", store=store_path)
    assert (result.error, result.success, result.metrics[0].normalised) == (None, True, 1)
    # it reads like the right one, and upstream counts it as wrong
    result = await runner.run_async(task, model=Scripted("other", [], "B"), store=store_path)
    assert (result.error, result.success, result.metrics[0].normalised) == (None, False, pytest.approx(-0.5))
    result = await runner.run_async(task, model="nop", store=store_path)
    assert result.success is False and result.metrics[0].value == 0


@pytest.mark.skipif(
    not os.environ.get("WORKBENCH_TEST_BLADE"), reason="BLADE ITSELF IS NOT TRIED: WORKBENCH_TEST_BLADE names no checkout of it"
)
def test_the_real_one() -> None:
    report = suites.import_("blade", Path(os.environ["WORKBENCH_TEST_BLADE"]))
    items = [each for each in report.found if not each.task.id.endswith("-analysis")]
    assert (len(items), report.runnable, len(report.found) - len(items)) == (188, 188, 12)
    assert all(each.solution_answer() in "ABCD" for each in items)
