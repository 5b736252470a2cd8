"""A run: one agent at one task, from the task file to the score. Every door takes this path."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import secrets
import shutil
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict, Unpack

from workbench import agents, background
from workbench._version import __version__
from workbench.agents.base import Agent, LimitReached, RunLimits, Spent, World
from workbench.agents.branch import BranchWorld, Origin
from workbench.errors import Failure, StoreError, TaskError, UsageError, classify
from workbench.events import (
    Branched,
    Event,
    KernelStarted,
    Noticed,
    RunFinished,
    RunStarted,
    RunStatus,
    Scored,
    SubmissionFrozen,
)
from workbench.kernels import environments, pool, runtime
from workbench.kernels.environments import Environment
from workbench.kernels.session import SANDBOXES, KernelSession, Sandbox
from workbench.models.base import Model
from workbench.models.resolve import resolve
from workbench.observation import Output
from workbench.result import RunResult, Score
from workbench.storage.journal import Journal
from workbench.storage.store import Store
from workbench.tasks import availability, grading, registry, staging, submission
from workbench.tasks.broker import Broker
from workbench.tasks.folder import TaskFolder
from workbench.tasks.spec import Task
from workbench.tasks.staging import Prepared

_NO_WALLS = "sandbox none: the agent's code runs with your rights and can read everything you can"


@dataclass
class Plan:
    """What to run, resolved: everything that can be wrong has been found out before anything is started."""

    folder: TaskFolder
    variant: dict[str, str]
    model: Model
    agent: Agent
    sandbox: Sandbox
    environment: Environment
    limits: RunLimits
    store: Store
    epoch: int = 1
    listeners: list[Callable[[Event], None]] = field(default_factory=list)
    on_text: Callable[[str], None] | None = None
    on_output: Callable[[Output], None] | None = None
    origin: Origin | None = None
    """What the run inherits, where it is a branch of another."""

    @property
    def task(self) -> Task:
        """What the task file says."""
        return self.folder.task


class Shared(TypedDict, total=False):
    """What both a run and a branch of one may be asked for."""

    model: str | Model | Callable[..., Any] | None
    max_steps: int | None
    max_tokens: int | None
    timeout: float | None
    budget_usd: float | None
    base_url: str | None
    record: str | Path | None
    store: str | Path | Store | None
    on_event: Callable[[Event], None] | None
    on_text: Callable[[str], None] | None
    on_output: Callable[[Output], None] | None


class Options(Shared, total=False):
    """The options of :func:`run`, all of which may be left out."""

    agent: str | Agent
    sandbox: str
    variant: dict[str, str] | None
    epoch: int


def plan(
    task: str | TaskFolder,
    *,
    model: str | Model | Callable[..., Any] | None = None,
    agent: str | Agent = "codeact",
    sandbox: str = "local",
    variant: dict[str, str] | None = None,
    max_steps: int | None = None,
    max_tokens: int | None = None,
    timeout: float | None = None,
    budget_usd: float | None = None,
    epoch: int = 1,
    base_url: str | None = None,
    record: str | Path | None = None,
    store: str | Path | Store | None = None,
    on_event: Callable[[Event], None] | None = None,
    on_text: Callable[[str], None] | None = None,
    on_output: Callable[[Output], None] | None = None,
) -> Plan:
    """Resolve the arguments of :func:`run` without starting anything.

    Raises
    ------
    WorkbenchError
        If anything is unknown, malformed or out of range.
    """
    folder = registry.find(task) if isinstance(task, str) else task
    if sandbox == "none":
        warnings.warn(_NO_WALLS, stacklevel=3)
    if sandbox not in SANDBOXES:
        raise UsageError(f"no sandbox is called {sandbox!r}", hint=f"there are: {', '.join(SANDBOXES)}")
    for name, value in {
        "max_steps": max_steps,
        "max_tokens": max_tokens,
        "timeout": timeout,
        "budget_usd": budget_usd,
        "epoch": epoch,
    }.items():
        if value is not None and not value > 0:
            raise UsageError(f"{name} is {value}, and must be more than 0")
    if lacking := availability.lacking(folder.task):
        raise TaskError(f"task {folder.task.id} is unavailable here: it needs {'; '.join(lacking)}")
    interaction, declared = folder.task.interaction, folder.task.submission
    limits = RunLimits(max_steps or interaction.max_steps, timeout or interaction.max_seconds, max_tokens, budget_usd)
    return Plan(
        folder,
        folder.task.resolve_variant(variant or {}),
        resolve(
            model,
            solution=folder.reference,
            submission_path=(declared.path or ("." if declared.kind == "tree" else None)) if declared else None,
            recipe=folder.recipe,
            base_url=base_url,
            record=Path(record) if record else None,
        ),
        agents.make(agent),
        sandbox,
        staging.environment_of(folder),
        limits,
        store if isinstance(store, Store) else Store(store),
        epoch,
        [on_event] if on_event else [],
        on_text,
        on_output,
    )


def run(task: str | TaskFolder, **options: Unpack[Options]) -> RunResult:
    """Run an agent at a task, grade what it hands in, and keep the record.

    Parameters
    ----------
    task : str or TaskFolder
        An id as ``workbench tasks list`` shows them, or the path of a task folder.
    model : str, Model or callable, optional
        Any litellm model string, ``oracle``, ``nop``, ``baseline``, ``cassette:FILE``, ``function:MODULE:NAME``, or a function from
        messages to text. By default ``WORKBENCH_MODEL``.
    agent : str or Agent
        ``codeact`` or ``codeact-tool``.
    sandbox : str
        ``local``; or ``none``, which has no walls and says so.
    variant : dict of str to str, optional
        The task's prompt variant.
    max_steps, max_tokens : int, optional
        Most model replies; most input and output tokens together.
    timeout : float, optional
        Seconds of work, grading apart.
    budget_usd : float, optional
        US dollars.
    epoch : int
        Which repetition this is.
    base_url : str, optional
        Of an OpenAI-compatible server.
    record : path, optional
        Record the model's traffic in this cassette.
    store : path or Store, optional
        Where the record is kept.
    on_event, on_text, on_output : callable, optional
        Called with each event, each piece of the model's text, and each output of the kernel.

    Returns
    -------
    RunResult
        Whatever the outcome: a limit, an error and Ctrl-C end a run with a status, not with an exception.

    Raises
    ------
    WorkbenchError
        If the arguments make no sense; nothing was started then.

    Examples
    --------
    >>> import tempfile, workbench as wb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = wb.run("refactoring/mistune-rename-escape", model="nop", store=f"{folder}/runs.duckdb")
    >>> result.status, result.success
    ('completed', False)
    """
    return background.wait(execute(plan(task, **options)))


async def run_async(task: str | TaskFolder, **options: Unpack[Options]) -> RunResult:
    """Like :func:`run`, for use in an event loop of your own."""
    # a task's packages may have to be resolved first, which asks the package index
    return await execute(await asyncio.to_thread(plan, task, **options))


async def execute(given: Plan) -> RunResult:
    """Make the run of a plan: kernel, stage, work, freeze, grade, commit."""
    started = time.monotonic()
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    result = _Result(given, run_id)
    with contextlib.suppress(StoreError):
        # ends the records of processes that were killed
        await asyncio.to_thread(given.store.absorb)
    journal = await asyncio.to_thread(given.store.journal, run_id)
    files = runtime.mine() / f"r-{run_id[-6:]}"
    workspace: Path | None = None

    def emit(event: Event, *, durable: bool = False) -> None:
        journal.write(event, durable=durable)
        result.take(event)
        for listener in list(given.listeners):
            try:
                listener(event)
            except Exception as error:
                # who only listens cannot end the run
                given.listeners.remove(listener)
                warnings.warn(f"a listener failed and hears no more: {type(error).__name__}: {error}", stacklevel=2)

    try:
        emit(_started(given), durable=True)
        if given.sandbox == "none":
            emit(Noticed(kind="sandbox", message=_NO_WALLS))
        if not given.environment.built:
            emit(Noticed(kind="environment", message=f"building environment {given.environment.name}, once on this machine"))
        if given.origin is not None and given.origin.environment_hash not in (None, given.environment.hash):
            emit(
                Noticed(
                    kind="branch", message=f"environment {given.environment.name} is another build than that of run {given.origin.run_id}"
                )
            )
        prepared = await _prepare(given)
        files.mkdir(mode=0o700)
        began = time.monotonic()
        kernel = await pool.of_this_loop().take(
            given.environment,
            sandbox=given.sandbox,
            policy=staging.policy_of(given.task, given.environment),
            cell_seconds=given.task.environment.cell_seconds,
        )
        workspace = kernel.workspace
        async with kernel:
            emit(
                KernelStarted(
                    environment_hash=given.environment.hash, walls=kernel.walls, missing=kernel.missing, seconds=time.monotonic() - began
                )
            )
            if prepared is not None:
                await asyncio.to_thread(staging.stage, given.folder, prepared, workspace)
                await kernel.adopt()
            async with _broker(given, prepared, kernel) as broker:
                attempt = _attempts(given, prepared, files) if prepared is not None else None
                answer = await _work(given, kernel, broker, attempt, result, emit)
        if prepared is not None and result.status in ("completed", "limit"):
            await _grade(given, prepared, workspace, files / "submission", answer, broker, journal, emit)
    except asyncio.CancelledError:
        result.status, result.error = "interrupted", Failure(kind="user", message="the run was interrupted")
    except Exception as error:
        # a bad run is data, not a crash
        result.status, result.error = "error", classify(error)
    finally:
        result.seconds = time.monotonic() - started
        emit(result.finished(), durable=True)
        journal.close()
        for folder in (files, workspace) if workspace is not None else (files,):
            await asyncio.to_thread(shutil.rmtree, folder, True)
        # a store that is busy loses nothing: the journal is taken in later
        with contextlib.suppress(StoreError):
            await asyncio.to_thread(given.store.absorb)
    return result.public()


async def _prepare(given: Plan) -> Prepared | None:
    await asyncio.to_thread(environments.build, given.environment)
    await asyncio.to_thread(staging.check_environment, given.task, given.environment)
    if given.task.submission is None:
        return None
    walled = given.sandbox != "none"
    prepared = await staging.prepare(given.folder, given.environment, walled=walled)
    return await grading.measure(given.folder, prepared, given.environment, walled=walled)


@contextlib.asynccontextmanager
async def _broker(given: Plan, prepared: Prepared | None, kernel: KernelSession) -> AsyncIterator[Broker | None]:
    """Give the agent the functions of a task that has any; they live as long as the kernel."""
    if prepared is None or given.task.interaction.mode not in ("tools", "environment"):
        yield None
        return
    broker = Broker(given.folder, prepared, given.environment, walled=given.sandbox != "none")
    try:
        await broker.start()
        await kernel.answer_with(broker.answer, broker.setup)
        yield broker
        if broker.failure is not None:
            raise broker.failure
    finally:
        await broker.close()


def _attempts(given: Plan, prepared: Prepared, files: Path) -> Callable[[str], Awaitable[str | None]] | None:
    """Return what judges the answers before the last, where a task takes several; it tells no more than that one is wrong."""
    declared, left = given.task.submission, given.task.interaction.attempts - 1
    if declared is None or not left:
        return None

    async def attempt(answer: str) -> str | None:
        nonlocal left
        if not left:
            return None
        left -= 1
        root = files / f"attempt-{left}"
        root.mkdir()
        frozen = await asyncio.to_thread(submission.freeze, declared, root, answer, root)
        verdict = await grading.grade(given.folder, prepared, frozen, given.environment, walled=given.sandbox != "none")
        return None if verdict.success else f"the answer is not right: {left + 1} more attempt{'s' if left else ''}"

    return attempt


async def _work(
    given: Plan,
    kernel: KernelSession,
    broker: Broker | None,
    attempt: Callable[[str], Awaitable[str | None]] | None,
    result: _Result,
    emit: Callable[..., None],
) -> str | None:
    """Let the agent work in its kernel until it is done or reaches a limit."""
    task = given.task
    make = World if given.origin is None else functools.partial(BranchWorld, origin=given.origin)
    world = make(
        instruction=given.folder.instruction(given.variant) + (f"\n\n{broker.described()}" if broker else ""),
        submission=_handing_in(task),
        packages=environments.describe(given.environment),
        needs_answer=task.submission is None or task.submission.kind in ("answer", "episode"),
        model=given.model,
        kernel=kernel,
        limits=given.limits,
        emit=emit,
        try_answer=attempt,
        on_text=given.on_text,
        on_output=given.on_output,
    )
    result.spent = world.spent
    try:
        result.answer = await given.agent.work(world)
        world.leave()
    except LimitReached as reached:
        result.status, result.limit = "limit", reached.limit
        result.error = Failure(kind="limit", message=f"the limit on {reached.limit} ended the run; what was there is graded")
    return result.answer


async def _grade(
    given: Plan,
    prepared: Prepared,
    workspace: Path,
    frozen_to: Path,
    answer: str | None,
    broker: Broker | None,
    journal: Journal,
    emit: Callable[..., None],
) -> None:
    """Freeze what the dead kernel left, and have it graded where the agent never was."""
    declared = given.task.submission
    assert declared is not None
    frozen_to.mkdir()
    episode = None if broker is None else dataclasses.asdict(broker.episode)
    frozen = await asyncio.to_thread(submission.freeze, declared, workspace, answer, frozen_to, prepared.workspace, episode)
    artifact = await asyncio.to_thread(lambda: journal.artifact(frozen.archive()) if frozen.files else None)
    emit(
        SubmissionFrozen(
            kind=declared.kind,
            files=frozen.files,
            unchanged=frozen.unchanged,
            deleted=frozen.deleted,
            answer=answer,
            invalid=frozen.invalid,
            artifact=artifact,
        ),
        durable=True,
    )
    emit(await grading.grade(given.folder, prepared, frozen, given.environment, walled=given.sandbox != "none"), durable=True)


def _handing_in(task: Task) -> str:
    declared = task.submission
    if declared is None or declared.kind == "answer":
        return "You are asked for an answer."
    if declared.kind == "episode":
        return "What you asked of the functions you have, and your answer, are graded."
    if declared.kind == "tree":
        return f"What is in {declared.path or 'the working directory'} when you finish is graded."
    return f"Your submission is the file {declared.path} in the working directory; it is graded when you finish."


def _started(given: Plan) -> RunStarted:
    task, limits, origin = given.task, given.limits, given.origin
    return RunStarted(
        task=task.id,
        task_hash=given.folder.hash(),
        family=task.family,
        suite=task.suite,
        variant=given.variant,
        agent=given.agent.name,
        model=given.model.name,
        sandbox=given.sandbox,
        environment=given.environment.name,
        epoch=given.epoch,
        limits={"steps": limits.steps, "seconds": limits.seconds, "tokens": limits.tokens, "cost_usd": limits.cost_usd},
        instruction=given.folder.instruction(given.variant),
        version=__version__,
        parent_run=origin.run_id if origin else None,
        parent_step=origin.step if origin else None,
    )


class _Result:
    """Gathers a run's result from its events."""

    def __init__(self, given: Plan, run_id: str) -> None:
        self.given, self.run_id = given, run_id
        self.status: RunStatus = "completed"
        self.limit: str | None = None
        self.error: Failure | None = None
        self.answer: str | None = None
        self.seconds = 0.0
        self.spent = Spent()
        self.walls: list[str] = []
        self.missing: list[str] = []
        self.branched: Branched | None = None
        self.scored: Scored | None = None

    def take(self, event: Event) -> None:
        """Note what ``event`` says of the result."""
        if isinstance(event, KernelStarted):
            self.walls, self.missing = event.walls, event.missing
        elif isinstance(event, Branched):
            self.branched = event
        elif isinstance(event, Scored):
            self.scored = event

    def finished(self) -> RunFinished:
        """Return the run's last event."""
        return RunFinished(
            status=self.status,
            limit=self.limit,
            error=self.error,
            success=self.scored.success if self.scored else None,
            answer=self.answer,
            steps=self.spent.finished,
            tokens=self.spent.tokens,
            cost_usd=self.spent.cost_usd,
            seconds=self.seconds,
        )

    def public(self) -> RunResult:
        """Return what the caller gets."""
        metrics = self.scored.metrics if self.scored else []
        primary = next((metric for metric in metrics if metric.primary), None)
        given, branched = self.given, self.branched
        return RunResult(
            run_id=self.run_id,
            task=given.task.id,
            variant=given.variant,
            agent=given.agent.name,
            model=given.model.name,
            sandbox=given.sandbox,
            status=self.status,
            limit=self.limit,
            error=self.error,
            success=self.scored.success if self.scored else None,
            score=Score(metric=primary.metric, value=primary.value, normalised=primary.normalised) if primary else None,
            metrics=metrics,
            invalid=self.scored.invalid if self.scored else None,
            answer=self.answer,
            steps=self.spent.finished,
            tokens=self.spent.tokens,
            cost_usd=self.spent.cost_usd,
            seconds=self.seconds,
            walls=self.walls,
            missing_walls=self.missing,
            parent_run=given.origin.run_id if given.origin else None,
            parent_step=given.origin.step if given.origin else None,
            branched_by=branched.branched_by if branched else None,
            diverged_steps=branched.diverged_steps if branched else [],
            store=str(given.store.path),
        )
