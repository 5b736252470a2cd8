"""Branches of recorded runs, through the real path: store, kernel, walls, grader, store again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import workbench as wb
from tests.made import SOLVED, make_task, playing
from workbench import branches, runner
from workbench.agents.codeact import CodeAct
from workbench.errors import WorkbenchError
from workbench.messages import Reply, Usage
from workbench.tasks.folder import Interactive

pytestmark = pytest.mark.walls


def cell(code: str) -> str:
    return f"```python\n{code}\n```"


@pytest.fixture
def task(tmp_path, minimal):
    return str(make_task(tmp_path))


@pytest.fixture
def store(store_path):
    return wb.store(store_path)


@pytest.fixture
def branch(task, store):
    def make(run, at, **options):
        return wb.branch(run.run_id, at, **{"task": task, "store": store, **options})

    return make


class Listening:
    """A model that plays replies and keeps every conversation it was sent."""

    name, sees_images = "listening", False

    def __init__(self, *replies):
        self.reply_with = playing(*replies)
        self.heard = []

    async def reply(self, messages, *, tools=(), on_text=None):
        self.heard.append([message.model_copy(deep=True) for message in messages])
        return Reply(text=self.reply_with(messages), usage=Usage(input_tokens=10, output_tokens=1), cost_usd=0.5)


COUNTS = (cell("x = 20\nopen('made.txt', 'w').write('by the parent')"), cell("x += 22\nprint(x)"), cell("x = 0"))


def test_a_branch_has_the_conversation_the_files_and_the_variables_of_its_parent(task, store, branch):
    first = Listening(*COUNTS, "<done/>")
    parent = wb.run(task, model=first, store=store)
    # the fifth step is the answer to the note that nothing was handed in
    assert (parent.success, parent.steps, parent.tokens, parent.cost_usd) == (False, 5, 55, 2.5)

    second = Listening(cell("import pathlib\nopen('answer.txt', 'w').write(str(x))\npathlib.Path('made.txt').read_text()"), "<done/>")
    result = branch(parent, 2, model=second, max_steps=4)
    assert (result.status, result.success) == ("completed", True)
    assert (result.parent_run, result.parent_step, result.branched_by, result.diverged_steps) == (parent.run_id, 2, "replay", [])
    # the model was sent what the other one was sent, and only the two own replies count
    assert second.heard[0] == first.heard[2]
    assert "by the parent" in second.heard[1][-1].text
    assert (result.steps, result.tokens, result.cost_usd) == (2, 22, 1.0)

    row = store.rows("SELECT * FROM runs WHERE run_id = ?", [result.run_id])[0]
    assert (row["parent_run"], row["parent_step"], row["branched_by"], row["diverged_steps"]) == (parent.run_id, 2, "replay", [])
    assert (row["steps"], row["tokens"], row["cost_usd"]) == (2, 22, 1.0)
    for table in ("steps", "model_calls"):
        found = store.rows(f"SELECT step, inherited FROM {table} WHERE run_id = ? ORDER BY step", [result.run_id])
        assert [(each["step"], each["inherited"]) for each in found] == [(1, True), (2, True), (3, False), (4, False)]
    mine = "SELECT code, status, outputs FROM actions JOIN observations USING (run_id, step, position) WHERE run_id = ? AND step <= 2"
    assert store.rows(f"{mine} ORDER BY step", [result.run_id]) == store.rows(f"{mine} ORDER BY step", [parent.run_id])
    assert not store.rows("SELECT 1 FROM model_calls WHERE run_id = ? AND inherited", [parent.run_id])


def test_a_branch_of_a_run_that_a_limit_ended_has_new_limits(task, store, branch):
    parent = wb.run(task, model=playing("Let me think.", cell("x = 1"), SOLVED), max_steps=2, store=store)
    assert (parent.status, parent.success) == ("limit", False)
    model = Listening(SOLVED, "<done/>")
    result = branch(parent, 2, model=model, max_steps=2)
    assert (result.status, result.success, result.steps) == ("completed", True, 2)
    assert "[step 2 of 4 is done]" in model.heard[0][-1].text
    again = branch(parent, 2, model=playing(cell("y = 2")), max_steps=1)
    assert (again.status, again.limit, again.steps) == ("limit", "steps", 1)
    assert json.loads(store.rows("SELECT limits FROM runs WHERE run_id = ?", [again.run_id])[0]["limits"])["steps"] == 1


def test_a_branch_can_branch(task, store, branch):
    parent = wb.run(task, model=playing(cell("a = 1"), cell("b = 2"), "<done/>"), store=store)
    child = branch(parent, 1, model=playing(cell("b = 20"), cell("c = 21"), "<done/>"))
    inherited = branch(child, 1, model=playing(cell("print('b' in globals(), a)"), "<done/>"))
    grandchild = branch(child, 3, model=playing(cell("open('answer.txt', 'w').write(str(a + b + c))"), "<done/>"))
    assert (grandchild.success, grandchild.parent_run, grandchild.parent_step) == (True, child.run_id, 3)
    codes = store.rows("SELECT code, inherited FROM actions WHERE run_id = ? ORDER BY step", [grandchild.run_id])
    assert [row["code"] for row in codes][:3] == ["a = 1", "b = 20", "c = 21"]
    assert [row["inherited"] for row in codes] == [True, True, True, False]
    shown = store.rows("SELECT outputs FROM observations WHERE run_id = ? AND step = 2", [inherited.run_id])[0]["outputs"]
    assert "False 1" in shown


def test_actions_that_show_something_else_are_told(task, store, branch):
    unsteady = "import uuid\nprint(uuid.uuid4())"
    parent = wb.run(task, model=playing(cell("print(object())"), cell(unsteady), cell("1 / 0"), cell("x = 1"), "<done/>"), store=store)
    seen = []
    result = branch(parent, 4, model="nop", on_event=seen.append)
    assert (result.status, result.diverged_steps) == ("completed", [2])
    branched = next(event for event in seen if event.event == "branched")
    assert [(each.step, each.index) for each in branched.diverged] == [(2, 0)]
    assert branched.diverged[0].recorded != branched.diverged[0].replayed
    notice = next(event for event in seen if event.event == "noticed")
    assert notice.kind == "branch" and "of the 4 actions that were run again, 1 showed something else" in notice.message
    # what is kept is what the conversation holds: the parent's
    mine = "SELECT outputs FROM observations WHERE run_id = ? AND step = 2"
    assert store.rows(mine, [result.run_id]) == store.rows(mine, [parent.run_id])
    assert store.rows("SELECT diverged_steps FROM runs WHERE run_id = ?", [result.run_id]) == [{"diverged_steps": [2]}]


def test_another_build_of_the_environment_is_noticed(task, store):
    parent = wb.run(task, model=playing(cell("x = 1"), "<done/>"), store=store)
    for build, told in ((None, []), ("another", [f"environment python-min is another build than that of run {parent.run_id}"])):
        plan = branches.plan(parent.run_id, 1, task=task, model="nop", store=store)
        plan.origin.environment_hash = build or plan.origin.environment_hash
        seen = []
        plan.listeners.append(seen.append)
        assert asyncio.run(runner.execute(plan)).status == "completed"
        assert [event.message for event in seen if event.event == "noticed"] == told


def test_a_figure_is_compared_and_kept(tmp_path, ds, store):
    folder = make_task(tmp_path)
    toml = folder / "task.toml"
    toml.write_text(toml.read_text().replace("python-min", "python-ds"))
    plot = cell("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
    parent = wb.run(str(folder), model=playing(plot, "<done/>"), store=store)
    result = wb.branch(parent.run_id, 1, task=str(folder), model="nop", store=store)
    assert (result.status, result.diverged_steps) == ("completed", [])
    outputs = store.rows("SELECT outputs FROM observations WHERE step = 1 ORDER BY run_id")
    assert "artifact" in outputs[0]["outputs"] and outputs[0] == outputs[1]


def test_a_kernel_that_died_dies_again(task, store, branch):
    dies = cell("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    parent = wb.run(task, model=playing(cell("x = 1"), dies, cell("y = 2"), "<done/>"), store=store)
    result = branch(parent, 3, model=playing(cell("print('x' in globals(), y)"), "<done/>"))
    assert (result.status, result.diverged_steps) == ("completed", [])
    assert "False 2" in store.rows("SELECT outputs FROM observations WHERE run_id = ? AND step = 4", [result.run_id])[0]["outputs"]
    assert store.rows("SELECT 1 FROM events WHERE run_id = ? AND event = 'kernel_died'", [result.run_id])


def test_at_0_is_from_the_beginning(task, store, branch):
    parent = wb.run(task, model=playing(cell("x = 1"), "<done/>"), max_steps=3, store=store)
    model = Listening(SOLVED, "<done/>")
    result = branch(parent, 0, model=model, agent="codeact-tool", instruction="Be quick.")
    assert (result.success, result.parent_step, result.branched_by, result.agent) == (True, 0, "replay", "codeact-tool")
    assert [message.role for message in model.heard[0]] == ["system", "user"] and "execute_python" in model.heard[0][0].text
    assert model.heard[0][-1].text.endswith("\n\nBe quick.")
    assert not store.rows("SELECT 1 FROM steps WHERE run_id = ? AND inherited", [result.run_id])


def test_what_it_is_told_besides_stays_in_the_conversation(task, store, branch):
    parent = wb.run(task, model=playing(cell("x = 1"), "<done/>"), store=store)
    model = Listening(cell("y = 2"), SOLVED, "<done/>")
    result = branch(parent, 1, model=model, instruction="Write 42 at last.")
    assert result.success
    assert model.heard[0][-1].text.endswith("is done]\n\nWrite 42 at last.")
    assert model.heard[1][: len(model.heard[0])] == model.heard[0] and model.heard[2][: len(model.heard[1])] == model.heard[1]
    prompt = store.rows("SELECT prompt FROM model_calls WHERE run_id = ? AND step = 2", [result.run_id])[0]["prompt"]
    assert prompt.count("Write 42 at last.") == 1


def test_the_oracle_plays_its_solution_from_its_beginning(task, store, branch):
    parent = wb.run(task, model=playing(cell("open('answer.txt', 'w').write('wrong')"), "<done/>"), store=store)
    result = branch(parent, 1, model="oracle")
    assert (result.success, result.steps) == (True, 2)


def test_a_cassette_of_a_branch_plays_it_again_and_another_one_refuses(task, store, branch, tmp_path):
    whole, rest = tmp_path / "whole.jsonl", tmp_path / "rest.jsonl"
    parent = wb.run(task, model=playing(cell("x = 1"), SOLVED, "<done/>"), record=whole, store=store)
    branch(parent, 1, model=playing(SOLVED, "<done/>"), record=rest)
    played = branch(parent, 1, model=f"cassette:{rest}")
    assert (played.status, played.success) == ("completed", True)
    refused = branch(parent, 1, model=f"cassette:{whole}")
    assert (refused.status, refused.error.kind) == ("error", "model") and "recorded for another request" in refused.error.message
    with pytest.raises(WorkbenchError, match="was played from a cassette"):
        branch(played, 1)


def test_by_default_the_parents_model_goes_on(task, store, branch):
    parent = wb.run(task, model="oracle", max_steps=1, store=store)
    assert branch(parent, 1).model == "oracle"


def test_a_question_asked_in_a_notebook_can_branch(minimal, store):
    parent = wb.run(Interactive("What is 6 * 7?", "python-min"), model=playing(cell("x = 6 * 7"), "<answer>43</answer>"), store=store)
    assert parent.answer == "43"
    result = wb.branch(parent.run_id, 1, model=playing(cell("print(x)"), "<answer>42</answer>"), store=store)
    assert (result.answer, result.task) == ("42", "interactive/ask")


class Hasty(CodeAct):
    """Looks around before it asks."""

    def __init__(self, look: str = "print('looks')"):
        super().__init__()
        self.name, self.look = "hasty", look

    async def work(self, world):
        await world.execute(self.look, "fence", 0)
        return await super().work(world)


def test_an_agent_of_yours_goes_on_too_where_it_does_what_it_did(task, store, branch):
    parent = wb.run(task, model=playing(cell("x = 1"), "<done/>"), agent=Hasty(), store=store)
    result = branch(parent, 1, model=playing(SOLVED, "<done/>"), agent=Hasty())
    assert result.success
    with pytest.raises(WorkbenchError, match="not one of workbench's"):
        branch(parent, 1, model="nop")
    changed = branch(parent, 1, model="nop", agent=Hasty("print('looks elsewhere')"))
    assert (changed.status, changed.error.kind, changed.success) == ("error", "agent", None)
    assert "does something else" in changed.error.message and changed.branched_by is None


def test_what_cannot_branch_is_refused_before_anything_starts(task, store, branch):
    parent = wb.run(task, model=playing(cell("x = 1"), "<done/>"), store=store)
    before = store.rows("SELECT count(*) AS n FROM runs")
    for options, message in (
        ({"at": 4}, "has no step 4 to branch at: its last step is 3"),
        ({"at": 3}, "was done with step 3, and nothing comes after it"),
        ({"at": -1}, "cannot branch at -1"),
        ({"at": 1, "agent": "codeact-tool"}, "agent codeact-tool cannot go on with what codeact began"),
        ({"at": 1, "agent": "nope"}, "no agent is called 'nope'"),
        ({"at": 1, "max_steps": 0}, "max_steps is 0"),
        ({"at": 1, "sandbox": "moat"}, "no sandbox is called 'moat'"),
        ({"at": 1, "task": None}, "was made at a task that is not here"),
        ({"at": 1, "task": "refactoring/mistune-rename-escape"}, "its files are others"),
    ):
        with pytest.raises(WorkbenchError, match=message):
            branch(parent, **{"model": "nop", **options})
    with pytest.raises(WorkbenchError, match="no run in"):
        wb.branch("1999", 1, model="nop", store=store)
    assert store.rows("SELECT count(*) AS n FROM runs") == before
    Path(task, "instruction.md").write_text("Another question.")
    with pytest.raises(WorkbenchError, match="is not the task data-science/made of run"):
        branch(parent, 1, model="nop")


def test_a_run_that_broke_off_within_a_step_branches_at_the_one_before(task, store, branch):
    waiting = [cell("x = 42")]
    parent = wb.run(task, model=lambda _: waiting.pop(), store=store)
    assert (parent.status, parent.error.kind, parent.steps) == ("error", "model", 1)
    with pytest.raises(WorkbenchError, match="no step 2 to branch at: its last step is 1; step 2 was not finished"):
        branch(parent, 2, model="nop")
    assert branch(parent, 1, model=playing(cell("open('answer.txt', 'w').write(str(x))"), "<done/>")).success
    at_once = wb.run(task, model=lambda _: [].pop(), store=store)
    with pytest.raises(WorkbenchError, match="no step 1 to branch at: it finished none; step 1 was not finished"):
        branch(at_once, 1, model="nop")


def test_a_run_that_still_goes_on_can_branch(task, store, branch):
    made = []

    def reply(messages):
        if len(messages) == 2:
            return cell("x = 42")
        (run,) = store.rows("SELECT run_id, status FROM runs WHERE parent_run IS NULL")
        assert run["status"] == "running"
        made.append(branches.plan(run["run_id"], 1, task=task, model=playing(SOLVED, "<done/>"), store=store))
        return "<done/>"

    parent = wb.run(task, model=reply, store=store)
    assert (parent.status, parent.success) == ("completed", False)
    result = asyncio.run(runner.execute(made[0]))
    assert result.success and result.parent_run == parent.run_id


def test_no_branch_goes_without_walls_unless_asked_to(task, store, branch):
    with pytest.warns(UserWarning, match="sandbox none"):
        parent = wb.run(task, model=playing(cell("x = 1"), "<done/>"), sandbox="none", store=store)
    with pytest.raises(WorkbenchError, match="had no walls"):
        branch(parent, 1, model="nop")
    assert branch(parent, 1, model="nop", sandbox="local").status == "completed"
    with pytest.warns(UserWarning, match="sandbox none"):
        assert branch(parent, 1, model="nop", sandbox="none").status == "completed"


def test_an_interrupt_while_actions_are_run_again_keeps_the_record(task, store):
    waits = "import os, time\nwhile os.path.exists('notes.txt') and not os.path.exists('go'): time.sleep(0.01)"
    parent = wb.run(task, model=playing(cell("open('go', 'w')"), cell("import os; os.remove('go')"), cell("x = 1"), "<done/>"), store=store)
    # the same step, as it would be had something outside let it end
    plan = branches.plan(parent.run_id, 3, task=task, model="nop", store=store)
    plan.origin.taken[3, 0].code = waits
    plan.origin.calls[3].text = cell(waits)

    async def story():
        acting, loop = asyncio.Event(), asyncio.get_running_loop()
        plan.listeners.append(lambda event: loop.call_soon(acting.set) if event.event == "action_taken" and event.step == 3 else None)
        work = asyncio.ensure_future(runner.execute(plan))
        await acting.wait()
        work.cancel()
        return await work

    result = asyncio.run(story())
    assert (result.status, result.steps, result.branched_by, result.success) == ("interrupted", 0, None, None)
    steps = store.rows("SELECT step, inherited FROM steps WHERE run_id = ? ORDER BY step", [result.run_id])
    assert steps == [{"step": 1, "inherited": True}, {"step": 2, "inherited": True}]
    # what it had inherited can be gone on with
    assert wb.branch(result.run_id, 2, task=task, model="nop", store=store).status == "completed"


def test_inherited_actions_that_take_too_long_are_no_fault_of_the_model(task, store):
    parent = wb.run(task, model=playing(cell("x = 1"), "<done/>"), store=store)
    plan = branches.plan(parent.run_id, 1, task=task, model="nop", timeout=2, store=store)
    plan.origin.taken[1, 0].code = "while True: pass"
    plan.origin.calls[1].text = cell("while True: pass")
    result = asyncio.run(runner.execute(plan))
    assert (result.status, result.error.kind, result.success) == ("error", "sandbox", None)
    assert "took more than 2 s" in result.error.message and "more time" in result.error.hint


KILLED = """
import sys
import workbench as wb
def heard(event):
    if event.event == "step_finished" and event.step == 3:
        print("killed here", flush=True)
        sys.stdin.read()
wb.branch(sys.argv[1], 2, task=sys.argv[2], model="function:tests.e2e.endless:reply", store=sys.argv[3], on_event=heard)
"""


def test_kill_9_of_a_branch_loses_nothing_and_counts_only_its_own(task, store, branch):
    parent = wb.run(task, model=Listening(cell("x = 1"), cell("x = 2"), "<done/>"), store=store)
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, parent.run_id, task, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
    )
    assert process.stdout.readline() == b"killed here\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    row = store.rows("SELECT * FROM runs WHERE parent_run = ?", [parent.run_id])[0]
    assert (row["status"], row["steps"], row["tokens"], row["parent_step"], row["branched_by"]) == ("interrupted", 1, 0, 2, "replay")
    assert row["seconds"] >= 0
    result = wb.branch(row["run_id"], 3, task=task, model=playing(SOLVED, "<done/>"), store=store)
    assert result.success
