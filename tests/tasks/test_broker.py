"""Tools and environments: called outside the kernel, within a budget, and out of the agent's reach."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tasks.conftest import MakeTask
from workbench import branches, checks, runner
from workbench.errors import TaskError
from workbench.models.scripted import Scripted
from workbench.result import RunResult
from workbench.storage.store import Store
from workbench.tasks.folder import TaskFolder

pytestmark = pytest.mark.walls

LAB = """
from pathlib import Path

GOLD = (3, 2)


class Lab:
    def __init__(self):
        self.made = 0

    def experiment(self, x: float) -> dict:
        '''Measure y at a place.'''
        self.made += 1
        if abs(x) > 100:
            raise ValueError("x must lie between -100 and 100")
        return {"y": GOLD[0] * x + GOLD[1], "number": self.made}

    def _secret(self):
        return GOLD

    def die(self):
        import os
        os._exit(3)

    def unsendable(self):
        return {1, 2}
"""
GRADER = """
import json
from workbench_grading import Invalid, read_json

def grade(submission, hidden):
    episode = read_json(submission / "episode.json", ["calls", "queries", "answer"])
    try:
        slope, intercept = map(float, episode["answer"].split(","))
    except ValueError:
        raise Invalid("the answer must be two numbers with a comma between them") from None
    return {"metrics": {"m": float((slope, intercept) == (3, 2))}, "invalid": None, "details": {"queries": episode["queries"]}}
"""
SUBMISSION = '[submission]\nkind = "episode"\n'
MORE = '[interaction]\nmode = "environment"\nenvironment = "lab.py:Lab"\nmax_queries = 4\n'
SOLVE = """
a, b = experiment(0)["y"], experiment(x=1)["y"]
print(b - a, a)
"""


@pytest.fixture
def lab(make_task: MakeTask) -> TaskFolder:
    files: dict[str, str | bytes] = {
        "hidden/lab.py": LAB,
        "hidden/grader.py": GRADER,
        "solution/solution.py": SOLVE,
        "solution/answer.txt": "3, 2",
        "instruction.md": "Find slope and intercept; answer with both.",
    }
    return make_task(MORE, submission=SUBMISSION, files=files)


class Player(Scripted):
    """Plays cells, and keeps what it was told."""

    def __init__(self, *cells: str, answer: str = "1, 1") -> None:
        super().__init__("player", cells, answer)
        self.heard = ""

    async def reply(self, messages, **options):  # type: ignore[no-untyped-def]
        self.heard = "\n".join(message.text for message in messages)
        return await super().reply(messages, **options)


@pytest.fixture
def play(lab: TaskFolder, store_path: Path):  # type: ignore[no-untyped-def]
    def play(*cells: str, answer: str = "1, 1", task: TaskFolder = lab) -> tuple[RunResult, str]:
        player = Player(*cells, answer=answer)
        result = runner.run(task, model=player, store=store_path)
        return result, player.heard

    return play


async def test_a_task_with_an_environment_is_sound(lab: TaskFolder, store_path: Path) -> None:
    found = await checks.check(lab, store=Store(store_path))
    assert found.ok, [finding for finding in found.findings if not finding.ok]


def test_the_agent_is_told_its_functions_and_the_episode_is_recorded(play, store_path: Path) -> None:  # type: ignore[no-untyped-def]
    result, heard = play(SOLVE, "print(experiment.__doc__)", answer="3, 2")
    assert (result.error, result.success) == (None, True)
    assert "experiment(x: float) -> dict" in heard and "Measure y at a place." in heard and "4 times in all" in heard
    assert "_secret" not in heard
    assert "3 2" in heard
    (sent,) = Store(store_path).rows("SELECT data->>'artifact' AS artifact FROM events WHERE event = 'submission_frozen'")
    episode = json.loads(Store(store_path).artifact(sent["artifact"])[512:].split(b"\0")[0])
    assert episode["queries"] == 2 and episode["answer"] == "3, 2"
    assert [(call["args"], call["kwargs"], call["result"]["y"]) for call in episode["calls"]] == [([0], {}, 2), ([], {"x": 1}, 5)]


def test_mistakes_are_told_count_against_the_budget_and_end_with_it(play) -> None:  # type: ignore[no-untyped-def]
    tries = """
for x in (1000, "a", 1, 2, 3):
    try:
        print(experiment(x)["y"])
    except Exception as error:
        print(type(error).__name__, error)
"""
    result, heard = play(tries)
    assert (result.error, result.success) == (None, False)
    assert "ToolError ValueError: x must lie between -100 and 100" in heard
    assert "ToolError TypeError" in heard
    assert "the budget of 4 calls is used up" in heard


def test_what_is_no_call_is_answered_and_harms_nothing(play) -> None:  # type: ignore[no-untyped-def]
    odd = """
import json
ask = get_ipython().kernel.raw_input
secret = json.dumps({"tool": "_secret", "args": [], "kwargs": {}})
for question in ("", "[" * 100000, "null", secret, json.dumps({"tool": ["x"]}), "x" * 2**21):
    print(json.loads(ask(question)))
print(repr(input("who are you?")))
try:
    experiment(float("nan"))
except Exception as error:
    print(error)
try:
    unsendable()
except Exception as error:
    print(error)
print(experiment(1)["number"])
"""
    result, heard = play(odd)
    assert result.error is None
    assert heard.count("'error':") == 6 and "nobody is here to answer" in heard and "there is no such function" in heard
    assert "not JSON serializable" in heard and "NaN is not a number that can be sent" in heard
    assert "\n1\n" in heard


def test_gold_is_not_in_the_kernel_and_functions_survive_its_end(play) -> None:  # type: ignore[no-untyped-def]
    hunt = """
import gc, os
print("GOLD", any("GO" + "LD" in each for each in gc.get_objects() if type(each) is dict))
print(os.path.exists("/grading"), experiment.__closure__[0].cell_contents)
"""
    result, heard = play(hunt, "os._exit(1)", "print(experiment(1))")
    assert result.error is None
    assert "GOLD False" in heard and "False experiment" in heard
    assert "{'y': 5, 'number': 1}" in heard


def test_a_branch_asks_a_fresh_environment_what_its_parent_had_asked(lab: TaskFolder, store_path: Path) -> None:
    cells = ["first = experiment(0)", "second = experiment(1)", "print(first['number'], second['number'])"]
    short = runner.run(lab, model=Scripted("short", cells[:2]), max_steps=2, store=store_path)
    branch = branches.branch(
        short.run_id, 1, model=Scripted("other", [*cells[1:], "third = experiment(2)"], "3, 2"), task=lab, store=store_path
    )
    assert (branch.success, branch.parent_step, branch.diverged_steps) == (True, 1, [])
    rows = Store(store_path).rows("SELECT details FROM scores WHERE run_id = ?", [branch.run_id])
    assert json.loads(rows[0]["details"]) == {"queries": 3}


def test_tools_that_die_are_nobodys_score(play) -> None:  # type: ignore[no-untyped-def]
    result, _ = play("die()")
    assert (result.status, result.success) == ("error", None) and result.error is not None
    assert result.error.kind == "sandbox" and "do not answer" in result.error.message


@pytest.mark.parametrize(
    ("lab", "said"),
    [("raise OSError('no')", "OSError: no"), ("class Other: pass", "has no attribute 'Lab'"), ("import os\nos._exit(4)", "exit code 4")],
)
def test_tools_that_cannot_be_loaded_are_the_tasks_fault(make_task: MakeTask, store_path: Path, lab: str, said: str) -> None:
    files: dict[str, str | bytes] = {"hidden/lab.py": lab, "hidden/grader.py": GRADER}
    result = runner.run(make_task(MORE, submission=SUBMISSION, files=files), model="nop", store=store_path)
    assert result.error is not None and result.error.kind == "task" and said in result.error.message


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[interaction]\nmode = "tools"\n', "tools = 'FILE:NAME' goes with mode = 'tools'"),
        ('[interaction]\nenvironment = "lab.py:Lab"\n', "goes with mode = 'environment'"),
        ("[interaction]\nmax_queries = 3\n", "max_queries goes with mode"),
        ('[interaction]\nmode = "tools"\ntools = "lab.py"\n', "must be FILE:NAME"),
        ('[interaction]\nmode = "tools"\ntools = "../lab.py:x"\n', "without '..'"),
        ("", "goes with interaction.mode"),
    ],
)
def test_a_task_file_that_makes_no_sense_says_so(make_task: MakeTask, more: str, said: str) -> None:
    with pytest.raises(TaskError, match=r"task\.toml") as caught:
        make_task(more, submission=SUBMISSION)
    assert said in caught.value.message


def test_tools_that_ask_for_the_variant_are_told_it(make_task: MakeTask, store_path: Path) -> None:
    lab = """
class Lab:
    def __init__(self, level):
        self._level = level

    def level(self):
        return self._level
"""
    more = f'{MORE}\n[prompt]\naxes = {{ level = ["base", "lazy"], length = ["short"] }}\n'
    task = make_task(more, submission=SUBMISSION, files={"hidden/lab.py": lab, "hidden/grader.py": GRADER, "instruction.md": "Answer."})
    player = Player("print('level:', level())")
    runner.run(task, model=player, variant={"level": "lazy"}, store=store_path)
    assert "level: lazy" in player.heard
