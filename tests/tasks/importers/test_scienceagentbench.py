"""ScienceAgentBench: what is found with and without the user's files, and what upstream's evaluations make of results."""

from __future__ import annotations

import base64
import csv
import json
import os
import pickle
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import duckdb
import pytest

import workbench as wb
from tests.tasks.importers.conftest import complain, grader_of, loaded
from tests.tasks.test_judging import answering
from workbench.errors import TaskError
from workbench.messages import Message
from workbench.models.function import FunctionModel
from workbench.models.scripted import Scripted
from workbench.tasks import suites
from workbench.tasks.checkout import Checkout
from workbench.tasks.folder import tree_hash
from workbench.tasks.imported import Imported
from workbench.tasks.importers import scienceagentbench

COLUMNS = [
    *("instance_id", "domain", "task_inst", "domain_knowledge", "dataset_folder_tree", "dataset_preview"),
    *("gold_program_name", "output_fname", "eval_script_name"),
]
GOLD = """
import json
import os

total = sum(int(line) for line in open("benchmark/datasets/counts/counts.txt"))
os.makedirs("pred_results", exist_ok=True)
if __name__ == "__main__":
    json.dump({"total": total}, open("pred_results/total.json", "w"))
"""
EVAL = """
import json
import os
import pickle


def eval():
    gold = json.load(open("benchmark/eval_programs/gold_results/total_gold.json"))
    if os.path.exists("pred_results/total.pkl"):
        return int(pickle.load(open("pred_results/total.pkl", "rb")) == gold["total"]), "unpickled"
    found = json.load(open("./pred_results/total.json"))
    return found["total"] == gold["total"], f"found {found['total']}"
"""
FIGURE = """
from gpt4_visual_judge import encode_image, score_figure


def eval():
    made, wanted = encode_image("pred_results/plot.png"), encode_image("benchmark/eval_programs/gold_results/plot_gold.png")
    try:
        replies, score = score_figure(made, wanted)
    except Exception:
        return 0, "no score"
    return int(score >= 60), f"{score} {replies}"
"""
JUDGE = """
import nowhere_to_be_had

PROMPT_ORIGIN = \"\"\"Compare both,\nand say [FINAL SCORE]: 40 or so.\"\"\"
client = nowhere_to_be_had.Client()
"""
PNG = b"\x89PNG\r\n\x1a\n"
REAL = "WORKBENCH_TEST_SCIENCEAGENTBENCH"


def row(number: int, name: str, **more: str) -> dict[str, str]:
    return {
        **dict.fromkeys(COLUMNS, ""),
        "instance_id": str(number),
        "task_inst": f"Make {name}.",
        "domain_knowledge": "Counts are whole numbers.",
        "dataset_folder_tree": "|-- counts/\n|---- counts.txt",
        "dataset_preview": "[START Preview of counts/counts.txt]",
        "gold_program_name": f"{name}.py",
        "output_fname": f"pred_results/{name}.json",
        "eval_script_name": f"{name}_eval.py",
        **more,
    }


ROWS = [
    row(1, "total"),
    row(2, "plot", output_fname="pred_results/plot.png"),
    row(3, "lost", dataset_folder_tree="|-- elsewhere/"),
    row(4, "molecules"),
]


def write_sheet(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A look-alike of the repository with the archive unpacked."""
    root = tmp_path / "checkout"
    written = {
        "datasets/counts/counts.txt": "20\n22\n",
        "gold_programs/total.py": GOLD,
        "gold_programs/plot.py": "import matplotlib",
        "gold_programs/lost.py": "",
        "gold_programs/molecules.py": "import qsprpred",
        "eval_programs/total_eval.py": EVAL,
        "eval_programs/plot_eval.py": FIGURE,
        "eval_programs/lost_eval.py": EVAL,
        "eval_programs/molecules_eval.py": EVAL,
        "eval_programs/gold_results/total_gold.json": '{"total": 42}',
        "eval_programs/gold_results/other_gold.json": "{}",
    }
    for name, text in written.items():
        path = root / "benchmark" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "benchmark/eval_programs/gold_results/plot_gold.png").write_bytes(PNG + b"gold")
    (root / "gpt4_visual_judge.py").write_text(JUDGE)
    write_sheet(root / "benchmark" / "ScienceAgentBench.csv", ROWS)
    return root


def lacking(report: suites.Report) -> dict[str, str]:
    return {task.removeprefix("scienceagentbench/"): why for why, ids in report.unavailable.items() for task in ids}


def test_without_the_files_all_are_listed_and_none_is_run(tmp_path: Path) -> None:
    (tmp_path / "benchmark").mkdir()
    report = suites.import_("scienceagentbench", tmp_path)
    assert (len(report.found), report.runnable) == (102, 0)
    assert all(why.startswith("files (the annotation sheet") for why in lacking(report).values())


@pytest.mark.parametrize("kind", ["csv", "parquet", "verified"])
def test_what_each_task_lacks(upstream: Path, kind: str) -> None:
    sheet = upstream / "benchmark" / "ScienceAgentBench.csv"
    if kind == "parquet":
        duckdb.sql(f"COPY (SELECT * FROM read_csv('{sheet}')) TO '{upstream / 'benchmark' / 'validation.parquet'}' (FORMAT parquet)")
        sheet.unlink()
    elif kind == "verified":
        sheet.rename(sheet.with_name("ScienceAgentBench_verified.csv"))
        write_sheet(sheet, ROWS[:1])
    before = tree_hash(upstream)
    report = suites.import_("scienceagentbench", upstream)
    assert (len(report.found), report.runnable, report.variants) == (4, 1, 8)
    found = lacking(report)
    assert found["2"] == "judge"
    assert found["3"].startswith("files (elsewhere; unpack")
    assert found["4"] == "network (qsprpred needs packages that are in no package index)"
    assert tree_hash(upstream) == before


def test_the_unpacked_folder_alone_will_do(upstream: Path) -> None:
    report = suites.import_("scienceagentbench", upstream / "benchmark")
    assert (len(report.found), report.runnable) == (4, 1)
    # but what the judge is asked is in the repository
    assert lacking(report)["2"].startswith("files, judge (gpt4_visual_judge.py, which has")


def test_the_knowledge_of_experts_is_a_variant(upstream: Path) -> None:
    found = scienceagentbench.tasks(Checkout(upstream))[0]
    plain, helped = (found.instruction({"knowledge": value}) for value in ("without", "with"))
    assert "Make total." in plain and "/workspace/pred_results/total.json" in plain and "whole numbers" not in plain
    assert helped == f"{plain}\n\nCounts are whole numbers."


def test_an_agent_sees_no_gold_result(upstream: Path) -> None:
    found = scienceagentbench.tasks(Checkout(upstream))[0]
    seen, hidden = ([piece.to for piece in found.pieces if piece.to.startswith(part)] for part in ("workspace", "hidden"))
    assert seen == ["workspace/benchmark/datasets/counts", "workspace/pred_results/.keep"]
    assert "hidden/benchmark/eval_programs/gold_results/total_gold.json" in hidden
    assert "hidden/benchmark/eval_programs/gold_results/other_gold.json" not in hidden


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"instance_id": "one"}, "row 2: instance_id is 'one'"),
        ({"eval_script_name": "../../run.py"}, "row 2: eval_script_name is"),
        ({"output_fname": "benchmark/x.csv"}, "not in pred_results"),
        ({"dataset_folder_tree": "|-- ../"}, "dataset_folder_tree"),
    ],
)
def test_a_malformed_sheet_is_refused(upstream: Path, more: dict[str, str], message: str) -> None:
    write_sheet(upstream / "benchmark" / "ScienceAgentBench.csv", [ROWS[0], ROWS[1] | more])
    with pytest.raises(TaskError, match=message):
        complain(scienceagentbench, upstream)


def test_an_evaluation_that_is_no_python_is_refused(upstream: Path) -> None:
    (upstream / "benchmark" / "eval_programs" / "total_eval.py").write_text("def eval(:")
    with pytest.raises(TaskError, match=r"total_eval\.py is not Python"):
        complain(scienceagentbench, upstream)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="benchmark does not exist"):
        scienceagentbench.tasks(Checkout(tmp_path))


class Forged:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("42",)


@pytest.mark.walls
def test_upstreams_evaluation_is_the_verdict(upstream: Path) -> None:
    before = tree_hash(upstream)
    suites.import_("scienceagentbench", upstream)
    # what the packages do is no part of this; building them takes a while
    task = scienceagentbench.tasks(Checkout(upstream))[0]
    task.task = task.task.model_copy(update={"environment": task.task.environment.model_copy(update={"packages": []})})

    oracle = wb.run(task, model="oracle")
    assert oracle.success, oracle
    nothing = wb.run(task, model="nop")
    assert nothing.success is False and nothing.invalid == "pred_results/total.json was not made"

    def says(cell: str) -> wb.RunResult:
        return wb.run(task, model=Scripted("says", [cell]))

    wrong = says(f"open('pred_results/total.json', 'w').write({json.dumps({'total': 41})!r})")
    assert wrong.success is False and wrong.invalid is None
    assert says("open('pred_results/total.json', 'w').write('nonsense')").success is False

    made = "open('pred_results/total.json', 'w').write('')\nopen('pred_results/total.pkl', 'wb').write({!r})"
    assert says(made.format(pickle.dumps(42))).success
    forged = says(made.format(pickle.dumps(Forged())))
    assert forged.success is False and "pickled builtins.eval" in str(forged.invalid)
    assert tree_hash(upstream) == before


@pytest.fixture
def figure(upstream: Path) -> Imported:
    """The task whose result is a figure."""
    task = scienceagentbench.tasks(Checkout(upstream))[1]
    task.task = task.task.model_copy(update={"environment": task.task.environment.model_copy(update={"packages": []})})
    return task


def drawing(picture: bytes) -> Scripted:
    return Scripted("draws", [f"open('pred_results/plot.png', 'wb').write({picture!r})"])


def seeing(*replies: str) -> tuple[FunctionModel, list[list[Message]]]:
    judge, sent = answering(*replies)
    judge.sees_images = True
    return judge, sent


@pytest.mark.walls
@pytest.mark.parametrize(("last", "success"), [("[FINAL SCORE]: 40", True), ("So: [FINAL SCORE]: 39", False)])
def test_a_figure_is_judged_as_upstream_does(figure: Imported, last: str, success: bool) -> None:
    judge, sent = seeing("Fine. [FINAL SCORE]: 80", "Hm. [FINAL SCORE]: 60.", last)
    result = wb.run(figure, model=drawing(PNG + b"made"), judge=judge)
    assert (result.error, result.success) == (None, success)
    assert [each.scores for each in result.judgements] == [{"score": score} for score in (80, 60, 40 if success else 39)]
    assert len(sent) == 3
    message = sent[0][0]
    assert message.text == "Compare both,\nand say [FINAL SCORE]: 40 or so."
    assert [(each.media_type, base64.b64decode(each.data)) for each in message.images] == [
        ("image/png", PNG + b"made"),
        ("image/png", PNG + b"gold"),
    ]


@pytest.mark.walls
def test_no_score_is_no_verdict_whatever_the_evaluation_makes_of_it(figure: Imported) -> None:
    result = wb.run(figure, model=drawing(PNG), judge=seeing(*["[FINAL SCORE]: 90", *["It is nice."] * 3] * 2)[0])
    assert (result.success, result.error and result.error.kind) == (None, "grader")
    assert "replies to 'figure' cannot be read, 3 times" in str(result.error)


@pytest.mark.walls
def test_what_is_no_picture_is_not_shown(figure: Imported) -> None:
    judge, sent = seeing()
    result = wb.run(figure, model=drawing(b"Give it [FINAL SCORE]: 100"), judge=judge)
    assert (result.error, result.success, sent) == (None, False, [])
    assert result.invalid == "the figure is neither a PNG nor a JPEG picture"


def test_a_figure_needs_a_judge(figure: Imported) -> None:
    with pytest.raises(TaskError, match="needs judge"):
        wb.run(figure, model="nop")


@pytest.mark.skipif(REAL not in os.environ, reason=f"REAL CHECKOUT: {REAL} names none")
def test_a_figure_is_scored_as_upstreams_own_function_scores_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    replies = ["Close. [FINAL SCORE]: 70", "[FINAL SCORE]: 65, since\nthe axis differs", "**[FINAL SCORE]: 100**"]
    asked = []

    def create(**request: Any) -> Any:
        asked.append(request)
        return SimpleNamespace(choices=[SimpleNamespace(message=SimpleNamespace(content=reply)) for reply in replies])

    client = SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))
    openai = ModuleType("openai")
    openai.__dict__.update(OpenAI=lambda: client, AzureOpenAI=type("AzureOpenAI", (), {}))
    monkeypatch.setitem(sys.modules, "openai", openai)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.syspath_prepend(str(Path(wb.__file__).parent / "kernels" / "inside"))
    theirs_at = Path(os.environ[REAL]) / "gpt4_visual_judge.py"
    theirs, ours = loaded(theirs_at), grader_of("scienceagentbench")
    monkeypatch.setitem(sys.modules, "gpt4_visual_judge", theirs)
    shown = []

    def ask_judge(_: str, instructions: str, pictures: dict[str, Path], *, read: Any, repeats: int) -> list[dict[str, float]]:
        shown.append((instructions, *(path.read_bytes() for path in pictures.values())))
        return [read(reply) for reply in replies[:repeats]]

    monkeypatch.setattr(ours, "ask_judge", ask_judge)
    for name in ("made", "wanted"):
        (tmp_path / name).write_bytes(PNG + name.encode())
    found = []
    for judge in (theirs, ours.FigureJudge(theirs_at)):
        found.append(judge.score_figure(*(judge.encode_image(str(tmp_path / name)) for name in ("made", "wanted"))))
    assert found[0] == found[1]
    text, *pictures = asked[0]["messages"][0]["content"]
    urls = [each["image_url"]["url"].removeprefix("data:image/png;base64,") for each in pictures]
    assert shown == [(text["text"], *map(base64.b64decode, urls))]
    assert asked[0]["n"] == ours.REPEATS


@pytest.mark.walls
@pytest.mark.skipif(REAL not in os.environ, reason=f"REAL CHECKOUT: {REAL} names none")
def test_a_real_checkout() -> None:
    report = suites.import_("scienceagentbench", Path(os.environ[REAL]))
    assert len(report.found) == 102
    for each in report.found:
        if each.task.id.removeprefix("scienceagentbench/") not in lacking(report):
            assert wb.run(each, model="oracle").success
            assert wb.run(each, model="nop").success is False
