"""The CodeAct loop against a stub kernel: what is run, what the model is told, when it ends."""

from __future__ import annotations

import json

import pytest

from workbench.agents import make
from workbench.agents.base import LimitReached, RunLimits, World
from workbench.agents.codeact import CodeAct
from workbench.agents.notes import Notes
from workbench.agents.replies import parse_reply
from workbench.errors import SandboxError, UsageError
from workbench.events import ActionTaken, ModelCalled, StepFinished
from workbench.messages import Message, Reply, ToolCall, Usage
from workbench.models.base import ModelError
from workbench.observation import Observation, Output, PythonError

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class StubKernel:
    """Answers code with what a test says it shows."""

    inside = "/workspace"
    cell_seconds = 60.0

    def __init__(self, **shown: Observation) -> None:
        self.shown = shown
        self.ran: list[str] = []

    async def execute(self, code, *, timeout=None, on_output=None):
        self.ran.append(code)
        return self.shown.get(code, Observation(status="ok", outputs=[Output(kind="stdout", data={"text/plain": f"ran {code}"})]))


class StubModel:
    """Plays replies and keeps what it was asked."""

    name = "stub"

    def __init__(self, *replies: Reply | str, sees_images: bool = False) -> None:
        self.replies = [Reply(text=reply, cost_usd=0.0) if isinstance(reply, str) else reply for reply in replies]
        self.asked: list[list[Message]] = []
        self.tools: list[list[str]] = []
        self.sees_images = sees_images

    async def reply(self, messages, *, tools=(), on_text=None):
        self.asked.append(list(messages))
        self.tools.append([tool.name for tool in tools])
        return self.replies.pop(0)


def world(model, kernel=None, *, needs_answer=False, network=(), find_missing=None, **limits):
    events = []
    made = World(
        instruction="Do it.",
        submission="Hand in x.csv.",
        packages="Python 3.11",
        needs_answer=needs_answer,
        model=model,
        kernel=kernel or StubKernel(),
        limits=RunLimits(**limits),
        emit=lambda event, durable=False: events.append(event),
        network=network,
        find_missing=find_missing,
    )
    return made, events


async def test_code_runs_and_the_model_sees_what_it_shows():
    model = StubModel("I look first.\n```python\nx\n```", "<done/>")
    made, events = world(model)
    assert await CodeAct().work(made) is None
    assert made.kernel.ran == ["x"]
    seen = model.asked[1][-1]
    assert seen.role == "user" and "Observation:\nran x" in seen.text and "step 1 of 50" in seen.text
    assert [type(event) for event in events] == [ModelCalled, ActionTaken, *[type(events[2])], StepFinished, ModelCalled, StepFinished]


async def test_prompts_of_all_calls_are_the_conversation():
    model = StubModel("```python\na\n```", "```python\nb\n```", "<done/>")
    made, events = world(model)
    await CodeAct().work(made)
    rebuilt: list[Message] = []
    for event in (event for event in events if isinstance(event, ModelCalled)):
        rebuilt += event.prompt
        rebuilt.append(Message(role="assistant", text=event.text))
    assert rebuilt[:-1] == model.asked[-1]


async def test_an_answer_ends_it():
    made, _ = world(StubModel("<answer>42</answer>"), needs_answer=True)
    assert await CodeAct().work(made) == "42"


async def test_done_without_an_answer_is_asked_for_one():
    model = StubModel("<done/>", "<answer>7</answer>")
    made, events = world(model, needs_answer=True)
    assert await CodeAct().work(made) == "7"
    assert "needs an answer" in next(event for event in events if isinstance(event, StepFinished)).notes[0]


async def test_done_beside_code_that_fails_does_not_count():
    broken = Observation(status="error", error=PythonError(name="KeyError", value="'x'", traceback=""))
    model = StubModel("```python\nbad\n```\n<done/>", "<done/>")
    made, _ = world(model, StubKernel(bad=broken))
    await CodeAct().work(made)
    assert "KeyError" in model.asked[1][-1].text and "not finished yet" in model.asked[1][-1].text


async def test_done_beside_code_that_works_counts_after_it_ran():
    made, _ = world(StubModel("```python\ngood\n```\n<done/>"))
    await CodeAct().work(made)
    assert made.kernel.ran == ["good"]


async def test_code_after_an_error_is_not_run_and_the_model_is_told():
    broken = Observation(status="error", error=PythonError(name="KeyError", value="'x'", traceback=""))
    model = StubModel("```python\nbad\n```\nthen\n```python\nnext\n```", "<done/>")
    made, _ = world(model, StubKernel(bad=broken))
    await CodeAct().work(made)
    assert made.kernel.ran == ["bad"]
    assert "not run (1 more)" in model.asked[1][-1].text


async def test_prose_alone_gets_one_helpful_line():
    model = StubModel("I think the data is nice.", "<done/>")
    made, events = world(model)
    await CodeAct().work(made)
    notes = next(event for event in events if isinstance(event, StepFinished)).notes
    assert len(notes) == 1 and "```python" in notes[0] and "\n" not in notes[0]
    assert notes[0] in model.asked[1][-1].text


async def test_tool_calls_are_run_and_each_is_answered():
    calls = [
        ToolCall(id="c1", name="execute_python", arguments=json.dumps({"code": "p"})),
        ToolCall(id="c2", name="browse", arguments="{}"),
    ]
    model = StubModel(Reply(tool_calls=calls, finish_reason="tool_calls", cost_usd=0.0), "<done/>")
    made, _ = world(model)
    await make("codeact-tool").work(made)
    assert model.tools[0] == ["execute_python"]
    answers = {message.tool_call_id: message.text for message in model.asked[1] if message.role == "tool"}
    assert "ran p" in answers["c1"] and set(answers) == {"c1", "c2"}
    assert model.asked[1][-1].role == "user" and "browse" in model.asked[1][-1].text


@pytest.mark.parametrize("sees", [True, False])
async def test_figures_go_to_models_that_see_and_are_described_to_others(sees):
    figure = Observation(status="ok", outputs=[Output(kind="display", data={"image/png": PIXEL, "text/plain": "<Figure>"})])
    model = StubModel("```python\nplot\n```", "<done/>", sees_images=sees)
    made, _ = world(model, StubKernel(plot=figure))
    await CodeAct().work(made)
    last = model.asked[1][-1]
    assert bool(last.images) is sees
    assert ("shown below" in last.text) is sees and "<Figure>" in last.text


@pytest.mark.parametrize(
    ("limits", "reply", "expected"),
    [
        ({"steps": 2}, Reply(text="```python\nx\n```", cost_usd=0.0), "steps"),
        ({"tokens": 100}, Reply(text="```python\nx\n```", cost_usd=0.0, usage=Usage(input_tokens=90, output_tokens=20)), "tokens"),
        ({"cost_usd": 0.01}, Reply(text="```python\nx\n```", cost_usd=0.02), "cost"),
        ({"seconds": 1e-9}, Reply(text="```python\nx\n```", cost_usd=0.0), "seconds"),
    ],
)
async def test_each_limit_ends_the_run_by_its_name(limits, reply, expected):
    made, _ = world(StubModel(*[reply] * 5), **limits)
    with pytest.raises(LimitReached) as reached:
        await CodeAct().work(made)
    assert reached.value.limit == expected


async def test_a_budget_that_cannot_be_kept_is_an_error():
    made, _ = world(StubModel(Reply(text="x", cost_usd=None)), cost_usd=1.0)
    with pytest.raises(ModelError, match="no price is known for stub"):
        await CodeAct().work(made)


NOTHING = "the file x.csv is graded, and it does not exist"


def looking(*found):
    """Return what looks for missing files, and how often it was asked."""
    left, asked = list(found), []

    async def find_missing():
        asked.append(len(asked))
        return left.pop(0) if left else ""

    return find_missing, asked


async def test_done_with_nothing_handed_in_is_answered_once():
    find_missing, asked = looking(NOTHING, NOTHING)
    model = StubModel("<done/>", "<done/>")
    made, events = world(model, find_missing=find_missing)
    await CodeAct().work(made)
    notes = [event.notes for event in events if isinstance(event, StepFinished)]
    assert len(notes) == 2 and NOTHING in notes[0][0] and "<done/>" in notes[0][0] and notes[1] == []
    assert notes[0][0] in model.asked[1][-1].text
    assert len(asked) == 1, "what counts anyway is not looked at"


async def test_done_counts_at_once_where_everything_is_there_or_no_step_is_left():
    find_missing, _ = looking("")
    made, _ = world(StubModel("<done/>"), find_missing=find_missing)
    await CodeAct().work(made)
    assert made.spent.steps == 1
    find_missing, _ = looking(NOTHING)
    made, _ = world(StubModel("<done/>"), find_missing=find_missing, steps=1)
    await CodeAct().work(made)


async def test_a_workspace_that_cannot_be_looked_at_holds_nobody_up():
    async def find_missing():
        raise SandboxError("the container is gone")

    made, _ = world(StubModel("<done/>"), find_missing=find_missing)
    await CodeAct().work(made)
    assert made.spent.steps == 1


@pytest.mark.parametrize("needs_answer", [True, False])
@pytest.mark.parametrize("agent", ["codeact", "codeact-tool"])
async def test_what_the_model_is_told_agrees_with_what_it_was_asked_for(agent, needs_answer):
    end = "<answer>1</answer>" if needs_answer else "<done/>"
    model = StubModel("Hm.", "```\n\n```", "<tool_call>{</tool_call>", "```bash\nls\n```", "<answer></answer>", end)
    made, events = world(model, needs_answer=needs_answer)
    await make(agent).work(made)
    told = " ".join(note for event in events if isinstance(event, StepFinished) for note in event.notes)
    assert ("```" in told) is (agent == "codeact")
    assert ("<done/>" in told) is not needs_answer
    assert ("<answer>" in told) is needs_answer


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ((), "There is no network, so nothing more can be installed."),
        (("pypi.org", "*.example.org"), "only these hosts can be reached, by HTTP and HTTPS: pypi.org, *.example.org."),
        (None, "Access to the network is not restricted."),
    ],
)
async def test_the_prompt_says_what_can_be_reached(network, said):
    model = StubModel("<done/>")
    made, _ = world(model, network=network)
    await CodeAct().work(made)
    assert said in model.asked[0][0].text
    assert ("no network" in model.asked[0][0].text) is (network == ())


@pytest.mark.parametrize("needs_answer", [True, False])
@pytest.mark.parametrize("agent", ["codeact", "codeact-tool"])
async def test_the_prompt_said_back_does_nothing_but_look_around(agent, needs_answer):
    model = StubModel("<answer>1</answer><done/>")
    made, _ = world(model, needs_answer=needs_answer)
    await make(agent).work(made)
    said = parse_reply(Reply(text=model.asked[0][0].text), Notes(tool=agent == "codeact-tool", done=not needs_answer))
    assert [action.code for action in said.actions] == (["import os\n\nos.listdir()"] if agent == "codeact" else [])
    assert said.answer is None and not said.done


def test_an_unknown_agent_is_named():
    with pytest.raises(UsageError, match="no agent is called 'nope'"):
        make("nope")
