"""Tools and environments: called outside the kernel, within a budget, and out of the agent's reach."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.conftest import ENVIRONMENT, MakeTask
from workbench import branches, checks, runner
from workbench.errors import TaskError
from workbench.models.scripted import Scripted
from workbench.result import RunResult
from workbench.storage.store import Store
from workbench.tasks import broker
from workbench.tasks.folder import TaskFolder

pytestmark = pytest.mark.walls

LAB = """
import os
import sys
import time
from pathlib import Path

GOLD = (3, 2)
GO = Path(__file__).with_name("go")


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

    def step(self, cost: int) -> dict:
        while cost >= 100 and not GO.exists():
            time.sleep(0.01)
        self.made += 1
        return {"cost": cost, "number": self.made}

    def give(self, what: str):
        return eval(what)

    def forge(self):
        for descriptor in range(3, 30):
            try:
                os.write(descriptor, b"7 {}\\n")
            except OSError:
                pass

    def die(self):
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


def go(cache: Path) -> None:
    """Let a costly ``step`` end."""
    (lab,) = cache.rglob("lab.py")
    lab.with_name("go").touch()


class Releasing(Player):
    """Lets a costly ``step`` end before its second reply, when the first cell is over."""

    def __init__(self, cache: Path, *cells: str, answer: str = "3, 2") -> None:
        super().__init__(*cells, answer=answer)
        self.cache, self.asked = cache, 0

    async def reply(self, messages, **options):  # type: ignore[no-untyped-def]
        self.asked += 1
        if self.asked > 1:
            go(self.cache)
        return await super().reply(messages, **options)


def calls_of(store: Path) -> list[dict[str, Any]]:
    """Return the calls of the only run, as the record has them."""
    return [json.loads(row["data"]) for row in Store(store).rows("SELECT data FROM events WHERE event = 'tool_called' ORDER BY seq")]


def graded_calls(store: Path) -> list[dict[str, Any]]:
    """Return the calls of the only run, as its grader was given them."""
    (sent,) = Store(store).rows("SELECT data->>'artifact' AS artifact FROM events WHERE event = 'submission_frozen'")
    episode = json.loads(Store(store).artifact(sent["artifact"])[512:].split(b"\0")[0])
    assert episode["queries"] == len(episode["calls"])
    return list(episode["calls"])


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
numbered = ["1 " + each for each in ("[" * 100000, "null", secret, json.dumps({"tool": ["x"]}), "x" * 2**21)]
for question in ("", "2", *numbered):
    print(ask(question))
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
    assert heard.count('"error":') == 8 and "nobody is here to answer" in heard and "there is no such function" in heard
    assert "not JSON serializable" in heard and "the number NaN, which cannot be sent" in heard
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


def test_what_the_task_hides_is_hidden_from_submitted_code_that_its_functions_run(make_task: MakeTask, store_path: Path) -> None:
    tools = """
from pathlib import Path
import tempfile
import ipykernel
from workbench_grading import run_submitted

CODE = f"import os; print(os.listdir({str(Path(ipykernel.__file__).parent / 'inprocess')!r}))"


class Lab:
    def experiment(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            return run_submitted(CODE, submission=Path(folder)).stdout
"""
    task = make_task(
        MORE,
        submission=SUBMISSION,
        environment=f'{ENVIRONMENT}hide = ["ipykernel/inprocess"]\n',
        files={"hidden/lab.py": tools, "hidden/grader.py": GRADER},
    )
    runner.run(task, model=Player("experiment()"), store=store_path)
    assert [call["result"] for call in calls_of(store_path)] == ["[]\n"]


def test_a_branch_asks_a_fresh_environment_what_its_parent_had_asked(lab: TaskFolder, store_path: Path) -> None:
    cells = ["first = experiment(0)", "second = experiment(1)", "print(first['number'], second['number'])"]
    short = runner.run(lab, model=Scripted("short", cells[:2]), max_steps=2, store=store_path)
    branch = branches.branch(
        short.run_id, 1, model=Scripted("other", [*cells[1:], "third = experiment(2)"], "3, 2"), task=lab, store=store_path
    )
    assert (branch.success, branch.parent_step, branch.diverged_steps) == (True, 1, [])
    rows = Store(store_path).rows("SELECT details FROM scores WHERE run_id = ?", [branch.run_id])
    assert json.loads(rows[0]["details"]) == {"queries": 3}


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


ABANDON = """
import os, threading, time, workbench_tools

def once_asked(do):
    def wait():
        while workbench_tools._asking is None:
            time.sleep(0.01)
        do()
    threading.Thread(target=wait).start()
"""


@pytest.mark.parametrize(
    "leave",
    [
        pytest.param("once_asked(__import__('_thread').interrupt_main)\nstep(100)", id="interrupted"),
        pytest.param("once_asked(lambda: os._exit(1))\nstep(100)", id="kernel killed"),
        pytest.param("once_asked(lambda: None)\nworker = threading.Thread(target=step, args=(100,))\nworker.start()", id="in a thread"),
    ],
)
def test_a_call_whose_cell_has_ended_is_recorded_and_its_answer_is_no_other_calls(
    lab: TaskFolder, cache: Path, store_path: Path, leave: str
) -> None:
    player = Releasing(cache, ABANDON + leave, "print('heard', step(1))")
    result = runner.run(lab, model=player, store=store_path)
    assert (result.error, result.success) == (None, True)
    assert "heard {'cost': 1, 'number': 2}" in player.heard
    for calls in (calls_of(store_path), graded_calls(store_path)):
        assert [(call["args"], call["result"]) for call in calls] == [([100], {"cost": 100, "number": 1}), ([1], {"cost": 1, "number": 2})]


def test_a_call_that_is_given_up_within_a_cell_is_not_answered_to_the_next(lab: TaskFolder, cache: Path, store_path: Path) -> None:
    cell = f"""{ABANDON}
once_asked(__import__('_thread').interrupt_main)
try:
    step(100)
except KeyboardInterrupt:
    print("given up", flush=True)
print("heard", step(1), step(2))
"""
    player = Player(cell, answer="3, 2")
    result = runner.run(lab, model=player, store=store_path, on_output=lambda output: go(cache) if "given up" in str(output.data) else None)
    assert (result.error, result.success) == (None, True)
    assert "heard {'cost': 1, 'number': 2} {'cost': 2, 'number': 3}" in player.heard
    assert [call["args"] for call in calls_of(store_path)] == [[100], [1], [2]]


def test_a_call_that_is_going_on_when_the_agent_is_done_is_waited_for(lab: TaskFolder, cache: Path, store_path: Path) -> None:
    cell = f"{ABANDON}\nworker = threading.Thread(target=step, args=(100,))\nworker.start()\nonce_asked(lambda: print('asked'))"
    result = runner.run(lab, model=Releasing(cache, cell), store=store_path)
    assert result.error is None
    assert [call["result"] for call in graded_calls(store_path)] == [{"cost": 100, "number": 1}]


async def test_a_run_that_is_cancelled_during_a_call_says_so_of_the_call(lab: TaskFolder, store_path: Path) -> None:
    asked = asyncio.Event()
    cell = f"{ABANDON}\nonce_asked(lambda: print('asked', flush=True))\nstep(100)"
    running = asyncio.create_task(runner.run_async(lab, model=Player(cell), store=store_path, on_output=lambda _: asked.set()))
    await asked.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    (call,) = calls_of(store_path)
    assert (call["tool"], call["args"], call["result"]) == ("step", [100], None)
    assert "stopped before there was an answer" in call["error"]


def test_each_thread_and_each_task_hears_its_own_answer(make_task: MakeTask, store_path: Path) -> None:
    cell = """
import asyncio, concurrent.futures, os
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print("threads", [each["cost"] for each in pool.map(step, range(20))] == list(range(20)))
print("tasks", [each["cost"] for each in await asyncio.gather(*(asyncio.to_thread(step, cost) for cost in range(8)))] == list(range(8)))
"""
    more = MORE.replace("max_queries = 4", "")
    task = make_task(more, submission=SUBMISSION, files={"hidden/lab.py": LAB, "hidden/grader.py": GRADER})
    player = Player(cell, answer="3, 2")
    result = runner.run(task, model=player, store=store_path)
    assert result.error is None
    assert "threads True" in player.heard and "tasks True" in player.heard
    assert [call["result"]["number"] for call in calls_of(store_path)] == list(range(1, 29))


def test_who_cannot_be_answered_is_refused(lab: TaskFolder, cache: Path, store_path: Path) -> None:
    cell = f"""{ABANDON}
import signal

child = os.fork()
if child == 0:
    try:
        step(1)
    except Exception as error:
        os.write(1, f"in a child: {{error}}\\n".encode())
    os._exit(0)
os.waitpid(child, 0)

def again(*_):
    try:
        step(1)
    except Exception as error:
        print("in a handler:", error, flush=True)

signal.signal(signal.SIGALRM, again)
once_asked(lambda: os.kill(os.getpid(), signal.SIGALRM))
print("heard", step(100))
"""
    player = Player(cell)
    result = runner.run(
        lab, model=player, store=store_path, on_output=lambda output: go(cache) if "in a handler" in str(output.data) else None
    )
    assert result.error is None
    assert "in a handler: this thread is waiting" in player.heard
    assert "in the kernel's own process only" in player.heard
    assert "heard {'cost': 100, 'number': 1}" in player.heard


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("eval('[' * 90 + ']' * 90)", "nested deeper than 64 levels"),
        ("(lambda f: f(f, 900))(lambda f, depth: [f(f, depth - 1)] if depth else [])", "nested deeper than 64 levels"),
        ("float('inf')", "the number Infinity, which cannot be sent"),
        ("10**400", "which cannot be sent"),
        ("10**5000", "4300 digits"),
        ("'\\ud800'", "half of a surrogate pair"),
        ("{1: 2, '1': 3}", "a name twice"),
        ("b'x'", "not JSON serializable"),
        ("'x' * 2**20", "more than 1048576 bytes"),
    ],
)
def test_arguments_that_others_could_not_read_are_refused_and_not_counted(play, store_path: Path, arguments: str, said: str) -> None:  # type: ignore[no-untyped-def]
    result, heard = play(f"try:\n    give({arguments})\nexcept Exception as error:\n    print(error)\nprint(step(1))", answer="3, 2")
    assert (result.error, result.success) == (None, True)
    assert said in heard
    assert [call["tool"] for call in graded_calls(store_path)] == ["step"]


def test_results_that_others_could_not_read_are_errors_of_the_call(play, store_path: Path) -> None:  # type: ignore[no-untyped-def]
    cells = [
        f"try:\n    give({what!r})\nexcept Exception as error:\n    print(error)"
        for what in (
            "(lambda f: f(f, 90))(lambda f, depth: [f(f, depth - 1)] if depth else [])",
            "(lambda f: f(f))(lambda f: f(f))",
            "'x' * 2**23",
            "sys.exit(5), print('printed')",
        )
    ]
    result, heard = play(*cells, answer="3, 2")
    assert (result.error, result.success) == (None, True)
    calls = graded_calls(store_path)
    assert ["result" in call for call in calls] == [False] * 4
    for call, said in zip(calls, ("nested deeper", "RecursionError", "more than 4194304 bytes", "SystemExit: 5"), strict=True):
        assert said in call["error"] and said in heard


def test_what_tools_print_and_read_is_none_of_the_conversation(play) -> None:  # type: ignore[no-untyped-def]
    result, heard = play("print(give('print(1) or os.write(1, bytes(5))'), repr(give('sys.stdin.read()')))", answer="3, 2")
    assert (result.error, result.success) == (None, True)
    assert "5 ''" in heard


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("die()", "exit code 3"),
        ("give('os.kill(os.getpid(), 9)')", "SIGKILL"),
        ("give('os.closerange(3, 1000)')", "exit code 1"),
        ("forge()", "no answer to this call"),
        ("step(100)", "no answer within 3 s"),
    ],
)
def test_tools_that_an_agent_has_ended_are_gone_and_the_run_is_graded(make_task: MakeTask, store_path: Path, cell: str, why: str) -> None:
    files: dict[str, str | bytes] = {"hidden/lab.py": LAB, "hidden/grader.py": GRADER}
    environment = ENVIRONMENT + "cell_seconds = 3\n"
    task = make_task(MORE, submission=SUBMISSION, environment=environment, files=files)
    player = Player("print(step(1))", cell, "print(step(2))", answer="1, 1")
    result = runner.run(task, model=player, store=store_path)
    assert (result.status, result.error, result.success) == ("completed", None, False)
    assert "the functions are gone" in player.heard
    first, last = graded_calls(store_path)
    assert first["result"] == {"cost": 1, "number": 1} and "gone" in last["error"]
    (noticed,) = Store(store_path).rows("SELECT data->>'message' AS said FROM events WHERE event = 'noticed'")
    assert why in noticed["said"] and "call 2" in noticed["said"]


def test_what_is_recorded_of_calls_is_bounded(play, store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(broker, "_MOST_KEPT", 1000)
    cell = "for _ in range(2):\n    try:\n        give(\"'x' * 2000\")\n    except Exception as error:\n        print(error)"
    result, heard = play(cell, answer="3, 2")
    assert (result.error, result.success) == (None, True)
    assert heard.count("as many and as large as can be recorded") == 1
    assert len(graded_calls(store_path)) == 1


def test_tools_that_end_before_any_call_are_the_tasks_fault(lab: TaskFolder, store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = broker.Broker.start

    async def start(self: broker.Broker) -> None:
        await really(self)
        assert self._process is not None and self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    monkeypatch.setattr(broker.Broker, "start", start)
    result = runner.run(lab, model=Player("step(1)"), store=store_path)
    assert result.error is not None and result.error.kind == "task"
    assert "before the first call: killed by SIGKILL" in result.error.message
