"""BLADE: every item is found, its key is right and stays out of the prompt, and analyses are judged as upstream does."""

from __future__ import annotations

import json
import os
import random
import sys
import types
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.tasks.importers import blade_judge, blade_upstream
from tests.tasks.importers.conftest import complain, grader_of, loaded
from tests.tasks.test_judging import answering
from workbench import runner
from workbench.errors import TaskError
from workbench.models.function import FunctionModel
from workbench.models.scripted import Scripted
from workbench.tasks import suites
from workbench.tasks.checkout import Checkout
from workbench.tasks.folder import tree_hash
from workbench.tasks.imported import Imported
from workbench.tasks.importers import blade, blade_analysis

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
            (folder / file).write_text("bees,rain\n1,0\n4,2\n")
    (root / "blade_bench/datasets/bees/mcq_dataset.json").write_text(json.dumps(ITEMS))
    blade_upstream.annotate(root / "blade_bench/datasets/bees/annotations.csv")
    blade_upstream.write(root / "blade_bench")
    return root


def test_found_and_unavailable(checkout: Path) -> None:
    before = tree_hash(checkout)
    report = suites.import_("blade", checkout)
    assert [each.task.id for each in report.found] == [
        *("blade/bees-variable-01", "blade/bees-transform-01", "blade/bees-transform-02", "blade/bees-analysis", "blade/far-analysis"),
    ]
    assert report.runnable == 3
    judge, files = report.unavailable
    assert report.unavailable[judge] == ["blade/bees-analysis"] and judge == "judge"
    assert report.unavailable[files] == ["blade/far-analysis"] and files.startswith("files, judge (blade_bench/datasets/far/data.csv is")
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


@pytest.fixture
def analysis(checkout: Path) -> Imported:
    """The analysis of bees; its packages are upstream's, which the look-alike does not need."""
    found = next(each for each in blade.tasks(Checkout(checkout)) if each.task.id == "blade/bees-analysis")
    found.task = found.task.model_copy(update={"environment": found.task.environment.model_copy(update={"packages": []})})
    return found


def test_the_analysis_says_what_to_hand_in(analysis: Imported) -> None:
    assert "/workspace/analysis.json" in analysis.instruction({})
    assert [piece.to for piece in analysis.pieces if piece.to.startswith("workspace")] == ["workspace/data.csv"]
    assert "twice" not in analysis.instruction({})


def test_the_reference_is_what_annotators_did(checkout: Path) -> None:
    path = checkout / "blade_bench/datasets/bees/annotations.csv"
    gold = blade_analysis.reference(Checkout(checkout), path)
    assert gold == {
        "cvars": {
            "dv": {"description": "bees", "columns": ["bees", "twice"]},
            "ivs": [{"description": "rain", "columns": ["rain"]}],
            "controls": [{"description": "wind", "columns": ["wind"], "is_moderator": True, "moderator_on": "rain"}],
        },
        "transform_code": "def transform(df):\n    df['twice'] = df['bees'] * 2\n"
        "    df['wind'] = df['twice'] - 1 if 'twice' in df else df['rain'] * 3\n    return df\n",
        "m_code": 'def model(df):\n    "Linear Regression, of rain, twice, wind"\n    model = fit(df)\n    return None\n',
    }
    path.write_text(path.read_text().replace("Linear", "Circular").replace("t-test", "t").replace('""t1""', '""t2""'))
    with pytest.raises(TaskError, match=r"annotations\.csv is not as BLADE writes it: .*cycle"):
        blade_analysis.reference(Checkout(checkout), path)


def test_upstreams_code_must_be_there(checkout: Path) -> None:
    (checkout / "blade_bench/parse_code.py").unlink()
    with pytest.raises(TaskError, match=r"parse_code\.py does not exist"):
        complain(blade, checkout)


UNITS = """Here they are:
```python
def double(df):
    df['twice'] = df['bees'] * 2
    return TransformDataReturn(df, {frozenset(['bees']): 'twice'}, 'derive')


def other(df):
    df['other'] = 7
    return TransformDataReturn(df[['bees', 'other']], {frozenset(['bees']): 'other'}, 'derive')


transform_funcs = [double, other]
```"""
MODEL = '{"m_spec": "OLS", "m_columns": ["twice", "rain"]}'
SAME = '{"A1-B1": {"rationale": "yes", "similarity": 9}, "A2-B2": {"rationale": "so so", "similarity": "6"}}'
LINEAR = '{"A1-B1": {"rationale": "yes"}}'


def handing_in(**parts: object) -> Scripted:
    said = {
        "cvars": {"dv": {"description": "bees"}, "ivs": [{"description": "wet"}], "controls": []},
        "transform_code": "df['twice'] = df['bees'] * 2",
        "m_code": "fit(df)",
        **parts,
    }
    return Scripted("analyst", [f"open('analysis.json', 'w').write({json.dumps(said)!r})"])


async def test_an_analysis_needs_a_judge(analysis: Imported) -> None:
    with pytest.raises(TaskError, match="needs judge"):
        await runner.run_async(analysis, model="nop")


@pytest.mark.walls
async def test_an_analysis_is_judged_with_upstreams_questions_and_counted(analysis: Imported, store_path: Path, checkout: Path) -> None:
    before = tree_hash(checkout)
    judge, sent = answering(UNITS, MODEL, SAME, LINEAR)
    result = await runner.run_async(analysis, model=handing_in(), judge=judge, store=store_path)
    assert result.error is None, result.error
    found = {each.metric: each.value for each in result.metrics}
    assert (found["precision_cvar"], found["coverage_cvar"], found["f1_cvar"]) == pytest.approx((1 / 2, 1 / 3, 0.4))
    assert (found["precision_model"], found["coverage_model"], found["f1_model"]) == (1, 1, 1)
    assert (found["precision_transform_value"], found["coverage_transform_value"]) == (0.5, 0.5)
    assert (found["f1_transform_graph"], found["f1_model_cvar"]) == (0, 0)
    # three variables, one model, one model with its variables, two transformations: 3, 1, 1 and 2 of 7
    assert found["f1"] == pytest.approx((3 * 0.4 + 1 + 0 + 1 * 0 + 1 * 0.5) / 7)
    assert result.success is False
    assert [each.question for each in result.judgements] == ["ToTransforms", "ToModel", "Variables", "Models"]
    assert [each.scores for each in result.judgements] == [{"units": 2}, {"columns": 2}, {"pairs": 2}, {"pairs": 1}]
    said = [messages[0].text for messages in sent]
    assert said[0].startswith("Divide [code: see below] into units.") and "=\ndf['twice'] = df['bees'] * 2\n=" in said[0]
    assert said[2].startswith('You match.\n\nMatch variables: {"1": "DV: bees", "2": "IV: rain", "3": "Control: wind"} with [variables_b')
    assert '=\n{"1": "DV: bees", "2": "IV: wet"}\n=' in said[2]
    assert tree_hash(checkout) == before


@pytest.mark.walls
async def test_the_annotators_own_analysis_is_solved(analysis: Imported, store_path: Path) -> None:
    same = json.dumps({f"A{number}-B{number}": {"rationale": "the same", "similarity": 10} for number in (1, 2, 3)})
    judge, _ = answering(UNITS, MODEL, same, LINEAR)
    result = await runner.run_async(analysis, model="oracle", judge=judge, store=store_path)
    assert (result.error, result.success) == (None, True)
    result = await runner.run_async(analysis, model="nop", judge=answering()[0], store=store_path)
    assert (result.success, result.judgements) == (False, [])


@pytest.mark.walls
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (["I cannot."], "replies to 'ToTransforms' cannot be read, 3 times"),
        ([UNITS.replace("[double, other]", "[double] * 3")], "3 unit transformations of 2 functions"),
        ([UNITS, MODEL, SAME, "None match."], "replies to 'Models' cannot be read, 3 times"),
    ],
    ids=["no code", "no function each", "no object"],
)
async def test_a_reply_that_cannot_be_used_is_no_zero(analysis: Imported, store_path: Path, bad: list[str], said: str) -> None:
    # a grading that failed is repeated
    judge, _ = answering(*[*bad[:-1], *[bad[-1]] * 3] * 2)
    result = await runner.run_async(analysis, model=handing_in(), judge=judge, store=store_path)
    assert (result.success, result.error and result.error.kind) == (None, "grader")
    assert said in str(result.error)


class Asker:
    """As much of upstream's as reads a reply."""

    def match_json(self, reply: str) -> Any:
        return json.loads(reply)


@pytest.fixture(scope="module")
def grader() -> ModuleType:
    return grader_of("blade")


@pytest.mark.parametrize(
    ("asked", "reply", "said"),
    [
        ({"code_snippet": ""}, '{"m_spec": "OLS"}', "no m_spec, or no m_columns"),
        ({"code_snippet": ""}, '{"m_spec": "OLS", "m_columns": [1]}', "no m_spec, or no m_columns"),
        ({"models_a": '{"1": "a"}', "models_b": '{"1": "a"}'}, '{"A1-B2": {"rationale": ""}}', "A1-B2 is no pair"),
        ({"models_a": '{"1": "a"}', "models_b": '{"1": "a"}'}, '{"A0-B1": {"rationale": ""}}', "A0-B1 is no pair"),
        ({"models_a": '{"1": "a"}', "models_b": '{"1": "a"}'}, '{"A1": {"rationale": ""}}', "A1 is no pair"),
        ({"models_a": '{"1": "a"}', "models_b": '{"1": "a"}'}, '{"A1-B1": "same"}', "A1-B1 has no rationale"),
        ({"models_a": '{"1": "a"}', "models_b": '{"1": "a"}'}, '["A1-B1"]', "not an object"),
        ({"variables_a": '{"1": "a"}', "variables_b": '{"1": "a"}'}, '{"A1-B1": {"rationale": ""}}', "no similarity"),
        ({"variables_a": '{"1": "a"}', "variables_b": '{"1": "a"}'}, '{"A1-B1": {"rationale": "", "similarity": "much"}}', "A1-B1"),
    ],
)
def test_what_upstream_would_pass_over_in_a_reply_is_asked_for_again(grader: Any, asked: dict[str, str], reply: str, said: str) -> None:
    upstream = grader.Upstream.__new__(grader.Upstream)
    with pytest.raises(ValueError, match=said):
        upstream._usable(Asker(), asked, reply)


@pytest.mark.walls
async def test_what_was_handed_in_sees_the_data_and_nothing_else(analysis: Imported, store_path: Path) -> None:
    code = (
        "hidden = '/grading/hidden/upstream/blade_bench/datasets/bees/annotations.csv'\n"
        "try:\n    open(hidden)\nexcept OSError:\n    df['twice'] = df['bees'] * 2\nelse:\n    raise AssertionError(hidden)"
    )
    judge, _ = answering(UNITS, MODEL, SAME, LINEAR)
    result = await runner.run_async(analysis, model=handing_in(transform_code=code), judge=judge, store=store_path)
    assert result.error is None, result.error
    assert {each.metric: each.value for each in result.metrics}["precision_transform_value"] == 0.5


@pytest.mark.walls
async def test_a_transformation_that_fails_matches_nothing(analysis: Imported, store_path: Path) -> None:
    judge, _ = answering(MODEL, SAME, LINEAR)
    result = await runner.run_async(analysis, model=handing_in(transform_code="df = nothing"), judge=judge, store=store_path)
    found = {each.metric: each.value for each in result.metrics}
    assert (result.error, found["f1_transform_value"], found["f1_model"]) == (None, 0, 1)


@pytest.mark.walls
@pytest.mark.parametrize(
    "parts", [{"cvars": {}}, {"transform_code": 7}, {"m_code": "'\ud800'"}], ids=["no outcome", "no text", "no source"]
)
async def test_what_is_no_analysis_is_invalid(analysis: Imported, store_path: Path, parts: dict[str, object]) -> None:
    result = await runner.run_async(analysis, model=handing_in(**parts), judge=answering()[0], store=store_path)
    assert (result.error, result.success) == (None, False)
    assert "analysis.json is not an analysis as upstream reads it" in str(result.invalid)


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
        complain(blade, checkout)
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


REAL = "WORKBENCH_TEST_BLADE"
real = pytest.mark.skipif(REAL not in os.environ, reason=f"BLADE ITSELF IS NOT TRIED: {REAL} names no checkout of it")


@real
def test_the_real_one() -> None:
    report = suites.import_("blade", Path(os.environ[REAL]))
    items = [each for each in report.found if not each.task.id.endswith("-analysis")]
    assert (len(items), report.runnable, len(report.found) - len(items)) == (188, 188, 12)
    assert all(each.solution_answer() in "ABCD" for each in items)
    assert [each.task.id for each in report.found if each not in items and not each.solution()] == ["blade/soccer-analysis"]


@real
def test_a_run_is_scored_as_upstream_scores_a_set_of_one(grader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    typing = types.ModuleType("blade_bench.eval.datamodel.run")
    typing.__dict__["SingleRunMetrics"] = object
    monkeypatch.setitem(sys.modules, typing.__name__, typing)
    path = Path(os.environ[REAL]) / "blade_bench/eval/metrics/final_metrics.py"
    upstream = loaded(path)
    draw = random.Random(0)
    for _ in range(50):
        run = types.SimpleNamespace()
        for wanted, matched, precise in grader.KINDS.values():
            setattr(run, wanted, draw.randint(1, 20))
            setattr(run, matched, [f"decision {number}" for number in range(1 if "model" in matched else draw.randint(1, 20))])
            setattr(run, precise, 1.0 if "model" in matched else draw.uniform(0.1, 1))
        theirs, _ = upstream.calculate_analysis_scores(1, {"bees": [run]})
        assert grader.score(run)["f1"] == pytest.approx(theirs)


@real
@pytest.mark.walls
async def test_a_real_analysis(store_path: Path) -> None:
    suites.import_("blade", Path(os.environ[REAL]))
    judge = FunctionModel(blade_judge.reply, name="same words")
    result = await runner.run_async("blade/hurricane-analysis", model="oracle", judge=judge, store=store_path)
    assert (result.error, result.success) == (None, True)
    found = {each.metric: each.value for each in result.metrics}
    assert {name: value for name, value in found.items() if value != 1} == {
        **{"coverage_transform_value": pytest.approx(2 / 3), "f1_transform_value": pytest.approx(0.8)},
        **{"f1": pytest.approx(0.95)},
    }
