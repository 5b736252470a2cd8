"""The world of a branch: an agent first goes through the steps it inherits, as they were, and then on by itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from workbench.agents.base import LimitReached, World
from workbench.errors import AgentError, SandboxError
from workbench.events import ActionTaken, Branched, Diverged, KernelDied, ModelCalled, Noticed, Observed, StepFinished
from workbench.kernels import replay
from workbench.messages import Message, Reply, Tool
from workbench.observation import Observation

_Inherited = TypeVar("_Inherited", ModelCalled, ActionTaken, Observed, StepFinished)


@dataclass
class Origin:
    """Where a branch comes from, and what it inherits.

    Attributes
    ----------
    run_id : str
        The parent.
    step : int
        The last step that is inherited; 0 for none.
    agent : str
        Who made those steps.
    environment_hash : str or None
        Which build of the environment they were made in.
    instruction : str
        An additional instruction for the branch, at the end of its first new message; may be empty.
    calls : dict of int to ModelCalled
        Replies by step.
    taken, observed : dict of (int, int) to ActionTaken and Observed
        Actions and what they showed, by step and position.
    finished : dict of int to StepFinished
        Ends of steps.
    """

    run_id: str
    step: int
    agent: str
    environment_hash: str | None = None
    instruction: str = ""
    calls: dict[int, ModelCalled] = field(default_factory=dict)
    taken: dict[tuple[int, int], ActionTaken] = field(default_factory=dict)
    observed: dict[tuple[int, int], Observed] = field(default_factory=dict)
    finished: dict[int, StepFinished] = field(default_factory=dict)


@dataclass
class BranchWorld(World):
    """A world that begins with the steps of another run.

    The agent works from its beginning, as ever. What it asks the model is answered from the record, and what it does is
    done again in this run's kernel, which is how that comes to the state the other had. What the actions show is
    compared with what they showed; the agent is told the latter, so that the conversation is the one that was.
    Inherited steps are recorded again, as this run's own copy. Behind them the model is asked, and the limits begin.

    Attributes
    ----------
    origin : Origin
        What is inherited.
    """

    origin: Origin = field(kw_only=True)
    _arrived: bool = False
    _said: list[Message] = field(default_factory=list)
    """The conversation the model knows, which is not all in the words the agent would find today."""
    _heard: int = 0
    """How many of the agent's messages are in it."""
    _again: set[tuple[int, int]] = field(default_factory=set)
    """Actions that were run again, by step and position."""
    _diverged: list[Diverged] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limits = replace(self.limits, steps=self.origin.step + self.limits.steps)
        if self.origin.step == 0:
            self._arrive()

    async def ask(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> Reply:
        """Return the recorded reply of an inherited step; else ask the model.

        Raises
        ------
        AgentError
            If the agent asks what it did not ask then.
        """
        if not self._arrived:
            return self._recorded_reply(messages)
        sent = [*self._said, *messages[self._heard :]]
        if self.origin.instruction:
            last = sent[-1]
            sent[-1] = last.model_copy(update={"text": f"{last.text}\n\n{self.origin.instruction}".strip()})
            self.origin = replace(self.origin, instruction="")
        self._said, self._heard = sent, len(messages)
        return await super().ask(sent, tools)

    def _recorded_reply(self, messages: Sequence[Message]) -> Reply:
        step = self.spent.steps + 1
        call = self.origin.calls.get(step)
        if call is None or [told.role for told in messages[self._heard :]] != [told.role for told in call.prompt]:
            raise self._other_agent(step)
        self.spent.steps = step
        self._said += [*call.prompt, Message(role="assistant", text=call.text, tool_calls=call.tool_calls)]
        self._heard = len(messages) + 1
        self.emit(_inherited(call))
        return Reply(text=call.text, reasoning=call.reasoning, tool_calls=call.tool_calls, finish_reason=call.finish_reason)

    async def execute(self, code: str, source: str, index: int) -> Observation:
        """Run an action; an inherited one shows what it showed then.

        Raises
        ------
        AgentError
            If the agent does what it did not do then.
        SandboxError
            If the inherited actions take more time than the run has.
        """
        if self._arrived:
            return await super().execute(code, source, index)
        step = self.spent.steps
        taken, observed = self.origin.taken.get((step, index)), self.origin.observed.get((step, index))
        if taken is None or observed is None or taken.code != code:
            raise self._other_agent(step)
        self.emit(_inherited(taken))
        replayed = await self.kernel.execute(code, timeout=self._left_to_replay())
        self._again.add((step, index))
        difference = replay.Action.of(code, observed.observation).compare(len(self._again), replayed)
        if difference is not None:
            self._diverged.append(Diverged(step=step, index=index, recorded=difference.recorded, replayed=difference.replayed))
        self.emit(_inherited(observed))
        if replayed.state_lost:
            self.emit(KernelDied(step=step, reason=replayed.note))
        return observed.observation

    def end_step(self, notes: list[str]) -> None:
        """Make the step durable; with the last one that is inherited, the branch begins."""
        if self._arrived:
            super().end_step(notes)
            return
        step = self.spent.steps
        finished, taken = self.origin.finished.get(step), {key for key in self.origin.taken if key[0] <= step}
        if finished is None or taken != self._again:
            raise self._other_agent(step)
        self._left_to_replay()
        self.emit(_inherited(finished), durable=True)
        if step == self.origin.step:
            self._arrive()

    def leave(self) -> None:
        """Hear that the agent is done.

        Raises
        ------
        AgentError
            If it was done later then.
        """
        if not self._arrived:
            raise self._other_agent(self.spent.steps + 1)

    def _arrive(self) -> None:
        """From here on the run is its own."""
        self._arrived = True
        self._told = len(self._said)
        branched = Branched(branched_by="replay", diverged=self._diverged, seconds=time.monotonic() - self.started)
        self.emit(branched, durable=True)
        if self._diverged:
            steps = ", ".join(map(str, branched.diverged_steps))
            message = (
                f"of the {len(self._again)} actions that were run again, {len(self._diverged)} showed something else than in run"
                f" {self.origin.run_id} (step {steps}): what the agent was shown there need not hold in this kernel"
            )
            self.emit(Noticed(kind="branch", message=message))
        self.started = time.monotonic()

    def _left_to_replay(self) -> float:
        try:
            return self.left()
        except LimitReached:
            raise SandboxError(
                f"running the inherited actions again took more than {self.limits.seconds:g} s", hint="give the branch more time"
            ) from None

    def _other_agent(self, step: int) -> AgentError:
        return AgentError(
            f"at step {step} the agent does something else with what was said in run {self.origin.run_id} than it did then",
            hint="it was changed since; branch at an earlier step, or at 0",
        )


def _inherited(event: _Inherited) -> _Inherited:
    """Return this run's copy of ``event``."""
    return event.model_copy(update={"inherited": True, "at": datetime.now(UTC)})
