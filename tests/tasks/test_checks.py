"""Checking a task: a sound one is found sound, and what is wrong with another is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.conftest import ENVIRONMENT, METRIC, MakeTask
from workbench import checks
from workbench.storage.store import Store
from workbench.tasks.new import new

pytestmark = pytest.mark.walls

CAREFUL = """
from workbench_grading import read_text

def grade(submission, hidden):
    metrics = {"m": float(read_text(submission / "answer.txt") == "42"), "n": 0.5}
    return {"metrics": metrics, "invalid": None, "details": {}}
"""
SOLUTION: dict[str, str | bytes] = {
    "solution/solution.py": "open('answer.txt', 'w').write('42')",
    "instruction.md": "Write 42 into answer.txt.",
    "hidden/grader.py": CAREFUL,
}


@pytest.fixture
def store(store_path: Path) -> Store:
    return Store(store_path)


def bad(found: checks.TaskCheck) -> dict[str, str]:
    return {finding.name: finding.said for finding in found.findings if not finding.ok}


async def test_the_task_that_new_writes_is_sound(store: Store, tmp_path: Path) -> None:
    found = await checks.check(new("data-science/mine", tmp_path), store=store)
    assert (found.task, found.ok, bad(found)) == ("data-science/mine", True, {})
    assert [finding.name for finding in found.findings] == [
        *("instructions", "oracle", "limits", "nop", "cheat", "cheat:link", "cheat:hardlink", "cheat:enormous", "cheat:malformed"),
        *("control", "same grade", "hidden", "hidden from submissions"),
    ]


RANDOM = CAREFUL.replace("0.5", "__import__('random').random()")
GENEROUS = """
def grade(submission, hidden):
    return {"metrics": {"m": 1.0, "n": 0.0}, "invalid": None, "details": {}}
"""
HELPLESS = """
from workbench_grading import Invalid, read_text

def grade(submission, hidden):
    text = read_text(submission / "answer.txt")
    if text and not text.isdigit():
        raise Invalid("answer.txt must be a number")
    return {"metrics": {"m": float(int(text) == 42), "n": 0.5}, "invalid": None, "details": {}}
"""
UNSOUND: dict[str, dict[str, str | bytes]] = {
    "instructions": {"instruction.md": "Do it."},
    "oracle": {"solution/solution.py": "open('answer.txt', 'w').write('41')"},
    "nop": {"workspace/answer.txt": "42"},
    "cheat:malformed": {"hidden/grader.py": GENEROUS},
    "control": {"hidden/grader.py": HELPLESS},
    "same grade": {"hidden/grader.py": RANDOM},
    "hidden": {"hidden/labels.csv": "the labels of all the rows", "workspace/copy.csv": "the labels of all the rows"},
}


@pytest.mark.parametrize("name", UNSOUND)
async def test_what_is_wrong_is_named(name: str, make_task: MakeTask, store: Store) -> None:
    files = {**SOLUTION, **UNSOUND[name]}
    found = await checks.check(make_task(files=files, metric=METRIC + '[[metric]]\nname = "n"\n'), store=store)
    assert name in bad(found) and not found.ok
    if name in ("instructions", "control", "same grade", "hidden"):
        assert list(bad(found)) == [name]


async def test_what_a_task_hides_is_looked_for_where_submitted_code_runs(
    make_task: MakeTask, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(environment=f'{ENVIRONMENT}hide = ["tornado/test"]\n', files=SOLUTION, metric=METRIC + '[[metric]]\nname = "n"\n')
    assert bad(await checks.check(task, store=store)) == {}
    made = checks.Sandboxes
    monkeypatch.setattr(checks, "Sandboxes", lambda environment, limits, hide: made(environment, limits, []))
    found = bad(await checks.check(task, store=store))
    assert list(found) == ["hidden from submissions"] and "test.crt" in found["hidden from submissions"]


async def test_a_shortcut_is_played_and_must_fail(make_task: MakeTask, store: Store) -> None:
    files = {
        **SOLUTION,
        "shortcuts/guess.py": '"""Guess."""\nopen("answer.txt", "w").write("41")',
        "shortcuts/read.py": SOLUTION["solution/solution.py"],
    }
    found = await checks.check(make_task(files=files, metric=METRIC + '[[metric]]\nname = "n"\n'), store=store)
    assert [finding.name for finding in found.findings if finding.name.startswith("shortcut:")] == ["shortcut:guess", "shortcut:read"]
    assert list(bad(found)) == ["shortcut:read"]


async def test_a_shortcut_is_nowhere_in_the_kernel(make_task: MakeTask, store: Store) -> None:
    shortcut = '"""Copy the file that gives it away."""\n# it stands here in full\nopen("answer.txt", "w").write("40")\n'
    files = {**SOLUTION, "shortcuts/guess.py": shortcut, "workspace/notes.txt": shortcut}
    found = await checks.check(make_task(files=files, metric=METRIC + '[[metric]]\nname = "n"\n'), store=store)
    assert list(bad(found)) == ["hidden"] and "guess.py is at" in bad(found)["hidden"]


def test_a_task_with_one_more_shortcut_is_the_same_task(make_task: MakeTask) -> None:
    before = make_task(files=SOLUTION).hash()
    assert make_task(files={**SOLUTION, "shortcuts/guess.py": '"""Guess."""'}).hash() == before
    assert make_task(files={**SOLUTION, "notes/guess.py": '"""Guess."""'}).hash() != before


async def test_a_baseline_stands_between_nothing_and_the_solution(make_task: MakeTask, store: Store) -> None:
    recipe = '[recipe]\nname = "tabular"\noptions = {train = "nowhere.csv", test = "nowhere.csv"}\n'
    found = await checks.check(make_task(recipe, files=SOLUTION), store=store)
    assert list(bad(found)) == ["baseline"]
    (run,) = store.rows("SELECT run_id FROM runs WHERE model = 'baseline'")
    assert f"workbench runs show {run['run_id']}: ModuleNotFoundError: " in bad(found)["baseline"]


async def test_a_task_that_cannot_be_run_is_a_finding(make_task: MakeTask, store: Store) -> None:
    found = await checks.check(make_task("[prepare]\nneeds = ['kaggle']\n", files=SOLUTION), store=store)
    assert "unavailable here: it needs kaggle" in bad(found)["error"]


async def test_several_are_checked_and_told_as_they_are_done(make_task: MakeTask, store: Store) -> None:
    told: list[str] = []
    folders = [make_task(name=f"data-science/{name}", files=SOLUTION) for name in ("one", "two")]
    done = await checks.check_all(folders, store=store, jobs=2, on_check=lambda found: told.append(found.task))
    assert [each.task for each in done] == ["data-science/one", "data-science/two"] and sorted(told) == [each.task for each in done]
    assert all(each.ok for each in done)
