"""The world of a branch against a stub kernel: what is played again, what is compared, where the branch begins."""

from __future__ import annotations

import pytest

from tests.agents.test_codeact import StubKernel, StubModel
from workbench.agents.base import LimitReached, RunLimits, World
from workbench.agents.branch import BranchWorld, Origin
from workbench.agents.codeact import CodeAct
from workbench.errors import AgentError, SandboxError
from workbench.events import ActionTaken, Branched, KernelDied, ModelCalled, Noticed, Observed, StepFinished
from workbench.messages import Reply, ToolCall, Usage
from workbench.observation import Observation, Output

TWO = ("```python\na\n```", "```python\nb\n```")


def parts(model, kernel=None, **limits):
    events = []
    return events, {
        "instruction": "Do it.",
        "submission": "Hand in x.csv.",
        "packages": "Python 3.11",
        "needs_answer": False,
        "model": model,
        "kernel": kernel or StubKernel(),
        "limits": RunLimits(**{"steps": 9, **limits}),
        "emit": lambda event, durable=False: events.append(event),
    }


async def recorded(at, *replies, instruction=""):
    """Return what a branch at ``at`` inherits from a run with these replies, and what its model was sent."""
    model = StubModel(*replies, "<done/>")
    events, given = parts(model)
    await CodeAct().work(World(**given))
    origin = Origin("r1", at, "codeact", instruction=instruction)
    for event in events:
        match event:
            case ModelCalled():
                origin.calls[event.step] = event
            case ActionTaken():
                origin.taken[event.step, event.index] = event
            case Observed():
                origin.observed[event.step, event.index] = event
            case StepFinished():
                origin.finished[event.step] = event
    return origin, model


def shows(text):
    return Observation(status="ok", outputs=[Output(kind="stdout", data={"text/plain": text})])


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_what_is_sent_is_what_was_sent(at):
    origin, first = await recorded(at, *TWO)
    second = StubModel(*TWO[at:], "<done/>")
    events, given = parts(second, steps=9 - at)
    await CodeAct().work(BranchWorld(**given, origin=origin))
    assert second.asked == first.asked[at:]
    assert given["kernel"].ran == ["a", "b"]
    calls = [event for event in events if isinstance(event, ModelCalled)]
    assert [(call.step, call.inherited) for call in calls] == [(step, step <= at) for step in (1, 2, 3)]
    # its own record holds the whole conversation too
    prompts = [message for call in calls for message in call.prompt]
    assert [message for message in first.asked[-1] if message.role != "assistant"] == prompts


async def test_the_old_words_are_kept_where_the_agent_finds_others_now():
    origin, first = await recorded(1, *TWO)
    second = StubModel("<done/>")
    _, given = parts(second, steps=100)
    await CodeAct().work(BranchWorld(**given, origin=origin))
    assert second.asked[0][:3] == first.asked[0] + [first.asked[1][2]]
    assert "at most 9 steps" in second.asked[0][0].text and "step 1 of 101" in second.asked[0][-1].text


async def test_the_copy_is_this_runs_own_and_the_branch_begins_behind_it():
    origin, _ = await recorded(1, *TWO)
    events, given = parts(StubModel("<done/>"))
    world = BranchWorld(**given, origin=origin)
    await CodeAct().work(world)
    kinds = [ModelCalled, ActionTaken, Observed, StepFinished, Branched, ModelCalled, StepFinished]
    assert [type(event) for event in events] == kinds
    assert [getattr(event, "inherited", None) for event in events] == [True] * 4 + [None] + [False] * 2
    assert (world.spent.steps, world.spent.finished) == (2, 1)
    times = [event.at for event in events]
    assert times == sorted(times) and not origin.calls[1].inherited


@pytest.mark.parametrize(
    ("now", "same"),
    [("ran a", True), ("ran b", False), ("<f at 0x7f00aa11>", False)],
)
async def test_what_shows_something_else_is_noted_and_the_agent_is_told_what_it_was(now, same):
    origin, first = await recorded(2, *TWO)
    second = StubModel("<done/>")
    events, given = parts(second, StubKernel(a=shows(now)), steps=7)
    await CodeAct().work(BranchWorld(**given, origin=origin))
    branched = next(event for event in events if isinstance(event, Branched))
    assert branched.diverged_steps == ([] if same else [1])
    assert bool([event for event in events if isinstance(event, Noticed)]) is not same
    assert second.asked[0] == first.asked[2]
    observed = next(event for event in events if isinstance(event, Observed))
    assert observed.observation == origin.observed[1, 0].observation


async def test_addresses_in_memory_may_differ():
    origin, _ = await recorded(1, *TWO)
    origin.observed[1, 0].observation = shows("<f at 0x7f00aa11>")
    events, given = parts(StubModel("<done/>"), StubKernel(a=shows("<f at 0x7f00bb22>")))
    await CodeAct().work(BranchWorld(**given, origin=origin))
    assert next(event for event in events if isinstance(event, Branched)).diverged == []


async def test_a_kernel_that_dies_now_is_told():
    origin, _ = await recorded(1, *TWO)
    lost = Observation(status="died", note="the kernel died", state_lost=True)
    events, given = parts(StubModel("<done/>"), StubKernel(a=lost))
    await CodeAct().work(BranchWorld(**given, origin=origin))
    assert [event.reason for event in events if isinstance(event, KernelDied)] == ["the kernel died"]
    assert next(event for event in events if isinstance(event, Branched)).diverged_steps == [1]


async def test_only_what_the_branch_adds_counts():
    costly = Reply(text=TWO[0], usage=Usage(input_tokens=100), cost_usd=1.0)
    origin, _ = await recorded(1, costly, TWO[1])
    _, given = parts(StubModel(costly, costly), tokens=150, cost_usd=1.5)
    world = BranchWorld(**given, origin=origin)
    with pytest.raises(LimitReached, match="tokens"):
        await CodeAct().work(world)
    assert (world.spent.finished, world.spent.tokens, world.spent.cost_usd) == (2, 200, 2.0)
    _, given = parts(StubModel(*TWO), steps=2)
    world = BranchWorld(**given, origin=origin)
    with pytest.raises(LimitReached, match="steps"):
        await CodeAct().work(world)
    assert (world.spent.steps, world.spent.finished) == (3, 2)


async def test_the_clock_of_the_branch_begins_with_it():
    origin, _ = await recorded(1, *TWO)
    _, given = parts(StubModel("<done/>"), seconds=1000)
    world = BranchWorld(**given, origin=origin)
    world.started -= 900
    await CodeAct().work(world)
    assert world.left() > 900


async def test_a_replay_beyond_the_time_is_no_limit_the_agent_reached():
    origin, _ = await recorded(1, *TWO)
    _, given = parts(StubModel("<done/>"), seconds=1000)
    world = BranchWorld(**given, origin=origin)
    world.started -= 1001
    with pytest.raises(SandboxError, match="took more than 1000 s"):
        await CodeAct().work(world)


async def test_what_it_is_told_besides_comes_once_and_stays():
    origin, _ = await recorded(1, *TWO, instruction="Hurry.")
    model = StubModel(TWO[1], "<done/>")
    _, given = parts(model)
    await CodeAct().work(BranchWorld(**given, origin=origin))
    assert model.asked[0][-1].text.endswith("\n\nHurry.") and model.asked[1][: len(model.asked[0])] == model.asked[0]
    assert sum("Hurry." in message.text for message in model.asked[1]) == 1


async def test_calls_of_tools_are_inherited_too():
    call = Reply(tool_calls=[ToolCall(id="c1", name="execute_python", arguments='{"code": "a"}')], cost_usd=0.0)
    origin, first = await recorded(1, call, TWO[1])
    second = StubModel("<done/>")
    _, given = parts(second, steps=8)
    await CodeAct().work(BranchWorld(**given, origin=origin))
    assert second.asked[0] == first.asked[1] and second.asked[0][-2].tool_call_id == "c1"


class Other:
    """Does not do what was done."""

    name = "codeact"

    def __init__(self, what):
        self.what = what

    async def work(self, world):
        from workbench.messages import Message

        if self.what == "asks":
            await world.ask([Message(role="user", text="?")])
        if self.what != "is done at once":
            await world.ask([Message(role="system"), Message(role="user")])
        if self.what == "does nothing":
            world.end_step([])
        if self.what == "acts":
            await world.execute("something else", "fence", 0)
        if self.what == "acts more":
            await world.execute("a", "fence", 0)
            await world.execute("a", "fence", 1)
        if self.what == "never ends the step":
            await world.ask([Message(role="system"), Message(role="user"), Message(role="assistant")])


@pytest.mark.parametrize("what", ["asks", "acts", "acts more", "does nothing", "never ends the step", "is done at once"])
async def test_an_agent_that_does_something_else_is_stopped(what):
    origin, _ = await recorded(1, *TWO)
    del origin.calls[2]
    _, given = parts(StubModel("<done/>"))
    world = BranchWorld(**given, origin=origin)
    with pytest.raises(AgentError, match=r"step [12] the agent does something else"):
        await Other(what).work(world)
        world.leave()
