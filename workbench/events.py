"""The typed events a run emits. Every sink (store, notebook, terminal) only listens to these."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from workbench.errors import Failure
from workbench.messages import Attempt, Message, ToolCall, Usage
from workbench.observation import Observation

BranchedBy = Literal["fork", "replay"]
RunStatus = Literal["completed", "limit", "error", "interrupted"]


MOST = 2**31 - 1
"""The largest number that an INTEGER column of the store can hold."""
MOST_LONG = 2**63 - 1
"""The largest one of a BIGINT column."""
_Count = Annotated[int, Field(ge=0, le=MOST)]


class _Event(BaseModel):
    run_id: str = ""
    seq: int = -1
    """Position in the run's record, from 0; given by the journal."""
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class _OfAStep(_Event):
    step: _Count
    inherited: bool = False
    """Copied from the run that this one is a branch of; what it took was spent there."""


class RunStarted(_Event):
    """Everything that says which run this is."""

    event: Literal["run_started"] = "run_started"
    task: str
    task_hash: str
    family: str
    suite: str
    variant: dict[str, str]
    agent: str
    model: str
    sandbox: str
    environment: str
    epoch: _Count = 1
    limits: dict[str, float | None]
    instruction: str
    version: str
    """Of workbench."""
    parent_run: str | None = None
    """The run this one is a branch of."""
    parent_step: int | None = Field(default=None, ge=0, le=MOST)
    """The last step it inherits; 0 for none."""


class Diverged(BaseModel):
    """An inherited action that showed something else when it was run again."""

    step: _Count
    index: _Count
    recorded: str
    replayed: str
    """What it showed then and now, in short."""


class Branched(_Event):
    """The kernel is where the parent's was after the step it was branched at; from here on the run is its own."""

    event: Literal["branched"] = "branched"
    branched_by: BranchedBy
    diverged: list[Diverged]
    seconds: float

    @property
    def diverged_steps(self) -> list[int]:
        """The steps of the actions that diverged, each once."""
        return sorted({each.step for each in self.diverged})


class KernelStarted(_Event):
    """A kernel is ready, behind these walls."""

    event: Literal["kernel_started"] = "kernel_started"
    environment_hash: str
    walls: list[str]
    missing: list[str]
    """Walls this machine could not give, each with the reason."""
    seconds: float


class KernelDied(_Event):
    """The kernel is gone and its memory with it."""

    event: Literal["kernel_died"] = "kernel_died"
    step: _Count
    reason: str


class ModelCalled(_OfAStep):
    """One reply of the model, with every request it took."""

    event: Literal["model_called"] = "model_called"
    prompt: list[Message]
    """The messages added since the previous call; all of a run's prompts and replies in order are its conversation."""
    text: str
    reasoning: str = ""
    tool_calls: list[ToolCall] = Field(default_factory=list)
    finish_reason: str
    usage: Usage
    cost_usd: float | None
    attempts: list[Attempt]
    seconds: float
    failure: Failure | None = None
    """Set where no reply could be had."""


class ActionTaken(_OfAStep):
    """A code cell sent to the kernel."""

    event: Literal["action_taken"] = "action_taken"
    index: _Count
    """Position within the step, from 0."""
    code: str
    source: str
    """Where in the reply it was found: ``fence``, ``execute``, ``tool_call``."""


class Observed(_OfAStep):
    """What an action showed."""

    event: Literal["observed"] = "observed"
    index: _Count
    observation: Observation


class ToolCalled(_Event):
    """A call of one of the task's functions, recorded when it has ended, even if its answer was no longer awaited."""

    event: Literal["tool_called"] = "tool_called"
    tool: str
    args: list[Any]
    kwargs: dict[str, Any]
    result: Any = None
    error: str | None = None
    """What the agent's code was told if there is no result."""
    seconds: float


class StepFinished(_OfAStep):
    """A step is complete and durable."""

    event: Literal["step_finished"] = "step_finished"
    notes: list[str]
    """What the model was told about the form of its reply."""


class FrozenFile(BaseModel):
    """A file of a submission."""

    path: str
    size: int
    """Bytes."""
    sha256: str


class SubmissionFrozen(_Event):
    """What will be graded, copied after the kernel died."""

    event: Literal["submission_frozen"] = "submission_frozen"
    kind: str
    files: list[FrozenFile]
    """Of a tree, those that differ from the workspace as it was at the start."""
    unchanged: int = 0
    """How many files of a tree do not."""
    deleted: list[str] = Field(default_factory=list)
    answer: str | None
    invalid: str | None
    """Why there is nothing to grade."""
    artifact: str | None
    """Content hash of ``files`` as a tar archive."""


class MetricValue(BaseModel):
    """One metric of a score."""

    metric: str
    primary: bool
    value: float | None
    """As the grader gave it; None where the submission is invalid and the task names no value for that."""
    normalised: float | None
    success: bool | None


class Judgement(BaseModel):
    """One reply of a judge: a model that a grader asked."""

    question: str
    judge: str
    """The model."""
    prompt_hash: str
    """SHA-256 of the instructions: scores of two hashes, or of two judges, do not compare."""
    instructions: str
    shown: dict[str, str]
    """SHA-256 of what it was shown, by name."""
    reply: str
    scores: dict[str, float] | None = None
    """What the grader read from the reply; None where it could not."""
    usage: Usage
    cost_usd: float | None
    seconds: float


class Scored(_Event):
    """The grader's verdict."""

    event: Literal["scored"] = "scored"
    metrics: list[MetricValue]
    success: bool
    invalid: str | None
    grader_hash: str
    details: dict[str, Any]
    judgements: list[Judgement] = Field(default_factory=list)
    """In the order they were asked for."""
    seconds: float


CHANGED = "changed"
"""The kind of a notice that the task differs, or may differ, from the published one."""


class Noticed(_Event):
    """Something worth recording: a missing wall, a limit that was reached, a task that was changed."""

    event: Literal["noticed"] = "noticed"
    kind: str
    message: str


class RunFinished(_Event):
    """The end of a run, however it came."""

    event: Literal["run_finished"] = "run_finished"
    status: RunStatus
    limit: str | None = None
    """Which limit ended the run: ``steps``, ``tokens``, ``cost``, ``seconds`` or ``context``."""
    error: Failure | None = None
    success: bool | None
    """None where nothing was graded."""
    answer: str | None = None
    steps: _Count
    tokens: int = Field(ge=0, le=MOST_LONG)
    cost_usd: float | None
    seconds: float


Event = Annotated[
    RunStarted
    | Branched
    | KernelStarted
    | KernelDied
    | ModelCalled
    | ActionTaken
    | Observed
    | ToolCalled
    | StepFinished
    | SubmissionFrozen
    | Scored
    | Noticed
    | RunFinished,
    Field(discriminator="event"),
]
"""Any event."""

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Reads and writes events as JSON."""
