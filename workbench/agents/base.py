"""What an agent is, and the world a run gives it: a model to ask, a kernel to act in, limits to keep."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from workbench.cancellation import Cancellation
from workbench.errors import WorkbenchError, classify
from workbench.events import ActionTaken, Event, KernelDied, ModelCalled, Noticed, Observed, StepFinished
from workbench.kernels.session import KernelSession
from workbench.messages import Attempt, Message, Reply, Tool
from workbench.models.base import ContextFullError, Model, ModelError, ask
from workbench.models.caller import Caller, calling
from workbench.observation import Observation, Output

PREPARATION_SECONDS = 600.0
"""How long at most workbench may prepare a request, which no clock of the run counts."""

LOOKING_SECONDS = 30.0
"""How long at most the workspace is searched for what is missing."""


class LimitReached(Exception):
    """A limit of the run is used up.

    Parameters
    ----------
    limit : str
        ``steps``, ``tokens``, ``cost``, ``seconds`` or ``context``.
    said : str
        More about it, where there is more to say.
    hint : str
        What the reader can do about it.
    """

    def __init__(self, limit: str, said: str = "", *, hint: str = "") -> None:
        super().__init__(limit)
        self.limit, self.said, self.hint = limit, said, hint


@dataclass(frozen=True)
class RunLimits:
    """What a run may use; None is no limit.

    Attributes
    ----------
    steps : int
        Model replies.
    seconds : float
        From the first message to the last observation.
    tokens : int or None
        Input and output tokens together.
    cost_usd : float or None
        US dollars.
    """

    steps: int = 50
    seconds: float = 3600
    tokens: int | None = None
    cost_usd: float | None = None


@dataclass
class Spent:
    """What a run has used."""

    steps: int = 0
    """Begun: each call of the model begins one."""
    finished: int = 0
    """Complete and durable."""
    tokens: int = 0
    cost_usd: float | None = None
    """None while no call had a price."""


@dataclass
class World:
    """Everything an agent can do. All of it is recorded, and counts against the limits.

    Attributes
    ----------
    instruction : str
        The task in words.
    submission : str
        What to submit, in one sentence.
    packages : str
        The environment's name and packages, in one line.
    emit : callable
        Takes an event; with ``durable=True`` returns only when it is on disk.
    network : sequence of str or None
        The hosts that the agent's code can reach; None if there is no restriction.
    find_missing : callable or None
        For a task that asks for files: returns what is not handed in yet, in words, or nothing.
    try_answer : callable or None
        For a task that allows several attempts: takes an answer, and returns what to tell the model, or None if the
        answer is final.
    on_text : callable or None
        If a person is watching, receives the model's text as it is streamed.
    on_output : callable or None
        Likewise for the outputs of the kernel.
    cancelled : Cancellation or None
        The run's cancellation, which ends the run even if an agent catches every exception.
    """

    instruction: str
    submission: str
    packages: str
    needs_answer: bool
    model: Model
    kernel: KernelSession
    limits: RunLimits
    emit: Callable[..., None]
    network: Sequence[str] | None = ()
    find_missing: Callable[[], Awaitable[str]] | None = None
    try_answer: Callable[[str], Awaitable[str | None]] | None = None
    on_text: Callable[[str], None] | None = None
    on_output: Callable[[Output], None] | None = None
    cancelled: Cancellation | None = None
    spent: Spent = field(default_factory=Spent)
    started: float = field(default_factory=time.monotonic)
    _told: int = 0

    def left(self) -> float:
        """Return the seconds left.

        Raises
        ------
        LimitReached
            If there are none.
        asyncio.CancelledError
            If the run was cancelled.
        """
        if self.cancelled is not None:
            self.cancelled.check()
        if (left := self.limits.seconds - (time.monotonic() - self.started)) <= 0:
            raise LimitReached("seconds")
        return left

    @property
    def has_steps_left(self) -> bool:
        """Whether the model may be asked again."""
        return self.spent.steps < self.limits.steps

    async def missing(self) -> str:
        """Return which of the files that are asked for is not handed in yet, in words; nothing if that cannot be told."""
        if self.find_missing is None:
            return ""
        try:
            async with asyncio.timeout(min(self.left(), LOOKING_SECONDS)):
                return await self.find_missing()
        except (TimeoutError, WorkbenchError):
            return ""

    async def ask(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> Reply:
        """Ask the model; each call begins a step.

        Parameters
        ----------
        messages : sequence of Message
            The whole conversation; only ever longer than at the call before.

        Raises
        ------
        LimitReached
            If a limit is used up, before or by this call.
        ModelError
            If no reply could be had.
        """
        if not self.has_steps_left:
            raise LimitReached("steps")
        left = self.left()
        self.spent.steps += 1
        prompt, self._told = list(messages[self._told :]), len(messages)
        call, heard = _Call(self), list[str]()
        try:
            async with asyncio.timeout(left) as call.patience:
                with calling(call):
                    reply = await ask(self.model, messages, tools=tools, on_text=self._also(heard))
        except TimeoutError as late:
            tried = [attempt for attempt in getattr(late.__cause__, "attempts", []) if isinstance(attempt, Attempt)]
            error = ModelError("the run's time was used up while the model was answering", attempts=tried)
            if tried:
                # it never answered at all: that is no limit the agent ran into
                error = ModelError(f"{self.model.name} did not answer in the run's time: {tried[-1].error}", attempts=tried)
            elif call.state == "preparing":
                error = ModelError(f"no request to {self.model.name} could be made in {PREPARATION_SECONDS:g} s")
            self._record(prompt, Reply(text="".join(heard), finish_reason="timeout", attempts=tried), call, error)
            if tried or call.state == "preparing":
                raise error from None
            raise LimitReached("seconds") from None
        except ModelError as error:
            self._record(prompt, Reply(finish_reason="error", attempts=error.attempts), call, error)
            if isinstance(error, ContextFullError):
                raise LimitReached("context", error.message, hint=error.hint) from None
            raise
        except asyncio.CancelledError:
            if heard:
                self._record(prompt, Reply(text="".join(heard), finish_reason="interrupted"), call, None)
            raise
        finally:
            call.over = True
        # the reply itself is the next message of the conversation, and is already recorded as one
        self._told += 1
        self._record(prompt, reply, call, None)
        self.spent.tokens += reply.usage.total
        if reply.cost_usd is not None:
            self.spent.cost_usd = (self.spent.cost_usd or 0.0) + reply.cost_usd
        elif self.limits.cost_usd is not None:
            raise ModelError(f"no price is known for {self.model.name}, so the budget cannot be kept", hint="limit steps or tokens instead")
        return reply

    def _also(self, heard: list[str]) -> Callable[[str], None] | None:
        """Return what hears a streamed reply, if anybody does; the record needs it too, should the reply never be complete."""
        on_text = self.on_text
        if on_text is None:
            return None

        def hear(piece: str) -> None:
            heard.append(piece)
            on_text(piece)

        return hear

    def _record(self, prompt: list[Message], reply: Reply, call: _Call, error: WorkbenchError | None) -> None:
        self.emit(
            ModelCalled(
                step=self.spent.steps,
                prompt=prompt,
                text=reply.text,
                reasoning=reply.reasoning,
                tool_calls=reply.tool_calls,
                finish_reason=reply.finish_reason,
                usage=reply.usage,
                cost_usd=reply.cost_usd,
                attempts=reply.attempts,
                seconds=time.monotonic() - call.began,
                failure=classify(error) if error else None,
            )
        )

    async def execute(self, code: str, source: str, index: int) -> Observation:
        """Run an action in the kernel.

        Raises
        ------
        LimitReached
            If no time is left.
        SandboxError
            If the kernel died and cannot be started again.
        """
        left = self.left()
        step = self.spent.steps
        self.emit(ActionTaken(step=step, index=index, code=code, source=source))
        try:
            observation = await self.kernel.execute(code, timeout=left, on_output=self.on_output)
        except asyncio.CancelledError as cancelled:
            if isinstance(seen := getattr(cancelled, "observation", None), Observation):
                self.emit(Observed(step=step, index=index, observation=seen))
            raise
        self.emit(Observed(step=step, index=index, observation=observation))
        if observation.state_lost:
            self.emit(KernelDied(step=step, reason=observation.note))
        return observation

    def end_step(self, notes: list[str]) -> None:
        """Make the step durable, then hold the run to its limits.

        Raises
        ------
        LimitReached
            If tokens, cost or time are used up.
        """
        self.emit(StepFinished(step=self.spent.steps, notes=notes), durable=True)
        self.spent.finished += 1
        if self.limits.tokens is not None and self.spent.tokens >= self.limits.tokens:
            raise LimitReached("tokens")
        if self.limits.cost_usd is not None and (self.spent.cost_usd or 0.0) >= self.limits.cost_usd:
            raise LimitReached("cost")
        self.left()

    def leave(self) -> None:
        """Hear that the agent is done."""


class _Call(Caller):
    """One call of the model in a world: shows why it is asked again, and keeps our own work out of its time.

    A model may do its work in any thread, and some of it after the call has ended.
    """

    def __init__(self, world: World) -> None:
        self.began = time.monotonic()
        self.patience: asyncio.Timeout | None = None
        self.over = False
        self.state: Literal["asked", "preparing", "sent"] = "asked"
        self._world = world
        self._loop = asyncio.get_running_loop()

    def noticed(self, message: str) -> None:
        """Record it, which shows it at every door."""
        self._do(lambda: self._world.emit(Noticed(kind="model", message=message)))

    def preparing(self) -> None:
        """Stop the clocks until the first request is sent, but not for ever."""
        self._do(self._stop)

    def sent(self) -> None:
        """Start the clocks again, where they were stopped."""
        self._do(self._go_on)

    def _do(self, action: Callable[[], None]) -> None:
        def act() -> None:
            if not self.over:
                action()

        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            act()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed, so the call is over
                self._loop.call_soon_threadsafe(act)

    def _stop(self) -> None:
        if self.state == "asked":
            self.state = "preparing"
            self._end_in(PREPARATION_SECONDS)

    def _go_on(self) -> None:
        if self.state == "preparing":
            now = time.monotonic()
            self._world.started += now - self.began
            self.began = now
            self._end_in(self._world.started + self._world.limits.seconds - now)
        self.state = "sent"

    def _end_in(self, seconds: float) -> None:
        if self.patience is not None and not self.patience.expired():
            self.patience.reschedule(self._loop.time() + seconds)


class Agent(Protocol):
    """Works on a task until it is done."""

    name: str

    async def work(self, world: World) -> str | None:
        """Work until done and return the final answer, None where the submission is files.

        Raises
        ------
        LimitReached
            From the world, when a limit ends the run; not to be caught.
        """
        ...


__all__ = ["Agent", "Event", "LimitReached", "RunLimits", "Spent", "World"]
