"""A run: one agent at one task, from the task file to the score. Every door takes this path."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack

from workbench import background, blocking, cancellation, planning
from workbench._version import __version__
from workbench.agents.base import LimitReached, World
from workbench.agents.branch import BranchWorld
from workbench.cancellation import Cancellation
from workbench.errors import AgentError, Failure, HostError, StoreError, WorkbenchError
from workbench.events import CHANGED, Event, KernelStarted, Noticed, RunStarted, Scored, SubmissionFrozen
from workbench.kernels import environments, image, pool, runtime
from workbench.kernels.session import KernelSession
from workbench.listener import Listener
from workbench.models.base import ready
from workbench.models.caller import Caller, calling
from workbench.outcome import Outcome
from workbench.planning import NO_WALLS, Options, Plan
from workbench.result import RunResult
from workbench.storage.journal import Journal
from workbench.storage.store import Store
from workbench.tasks import grading, handed_in, staging, submission
from workbench.tasks.broker import Broker
from workbench.tasks.folder import TaskFolder
from workbench.tasks.spec import Task
from workbench.tasks.staging import Prepared
from workbench.tasks.submission import Frozen


def run(task: str | TaskFolder, **options: Unpack[Options]) -> RunResult:
    """Run an agent on a task, grade its submission, and record everything.

    Parameters
    ----------
    task : str or TaskFolder
        An id as ``workbench tasks list`` shows them, or the path of a task folder.
    model : str, Model or callable, optional
        Any litellm model string, ``oracle``, ``nop``, ``baseline``, ``cheat``, ``cassette:FILE``, ``function:MODULE:NAME``, or a
        function from messages to text. By default ``WORKBENCH_MODEL``.
    agent : str or Agent
        ``codeact`` or ``codeact-tool``.
    sandbox : str
        ``local``, ``docker`` or ``e2b``; or ``none``, which has no walls, and is recorded as such.
    variant : dict of str to str, optional
        The task's prompt variant.
    max_steps, max_tokens : int, optional
        Maximum number of model replies; maximum number of input and output tokens together.
    timeout : float, optional
        Maximum seconds of work, without grading.
    budget_usd : float, optional
        US dollars.
    epoch : int
        Which repetition this is.
    base_url : str, optional
        Of an OpenAI-compatible server.
    model_options : dict, optional
        How a model behind an API is asked, for example ``{"temperature": 0, "timeout": 1200}``; see docs/models.md.
    judge : str, Model or callable, optional
        The model that judges what no program can, if the task's grader asks. By default ``WORKBENCH_JUDGE``.
    record : path, optional
        Record the model's traffic in this cassette.
    store : path or Store, optional
        Where the record is kept.
    on_event, on_text, on_output : callable, optional
        Called with each event, each piece of the model's text, and each output of the kernel.

    Returns
    -------
    RunResult
        Whatever the outcome: a limit or an error ends a run with a status, not with an exception.

    Raises
    ------
    WorkbenchError
        If the arguments are invalid; nothing was started then.
    Interrupted
        After Ctrl-C; the run is recorded, and its result is the exception's ``result``.

    Examples
    --------
    >>> import tempfile, workbench as wb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = wb.run("refactoring/mistune-rename-escape", model="nop", store=f"{folder}/runs.duckdb")
    >>> result.status, result.success
    ('completed', False)
    """
    return background.wait(execute(planning.plan(task, **options)))


async def run_async(task: str | TaskFolder, **options: Unpack[Options]) -> RunResult:
    """Like :func:`run`, for your own event loop: a cancelled run is recorded, and ``CancelledError`` is re-raised."""
    # a task's packages may have to be resolved first, which asks the package index
    return await execute_or_cancel(await blocking.call(functools.partial(planning.plan, task, **options)))


async def execute_or_cancel(given: Plan) -> RunResult:
    """Like :func:`execute`, but raises ``CancelledError`` if cancelled, as is expected of an asyncio task."""
    cancelled = Cancellation()
    result = await execute(given)
    cancelled.check()
    return result


async def execute(given: Plan) -> RunResult:
    """Make the run of a plan: kernel, stage, work, freeze, grade, commit.

    Once it has begun, a cancelled run has a result like any other, which the caller can use.
    """
    cancelled = Cancellation()
    started = time.monotonic()
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    outcome = Outcome(given, run_id)
    if given.sandbox == "local":
        image.warm(given.environment)
    # completes the records of killed processes
    await asyncio.to_thread(_absorb, given.store)
    try:
        # nothing is awaited between this and the first event, so that a cancellation cannot leave an empty journal
        journal = given.store.journal(run_id)
    except HostError as error:
        # the run could not be recorded, so nothing is started
        outcome.fail(error)
        return outcome.public()
    # importing what asks a model takes seconds, in which the kernel can start
    preparing = asyncio.ensure_future(ready(given.model))
    preparing.add_done_callback(lambda task: task.cancelled() or task.exception())  # a run that failed before does not ask for it
    folders: list[Path] = []
    listeners = [Listener(function) for function in given.listeners]

    def emit(event: Event, *, durable: bool = False) -> None:
        journal.write(event, durable=durable)
        outcome.take(event)
        for listener in listeners:
            listener(event)

    try:
        emit(_started(given), durable=True)
        # raises the errors that made the event incomplete
        await asyncio.to_thread(given.folder.hash)
        given.folder.instruction(given.variant)
        if given.sandbox == "none":
            emit(Noticed(kind="sandbox", message=NO_WALLS))
        if not given.environment.built:
            emit(Noticed(kind="environment", message=f"building environment {given.environment.name}, once on this machine"))
        if given.origin is not None and given.origin.environment_hash not in (None, given.environment.hash):
            emit(
                Noticed(
                    kind="branch", message=f"environment {given.environment.name} is another build than that of run {given.origin.run_id}"
                )
            )
        prepared = await _prepare(given)
        if prepared is not None and prepared.changes:
            emit(Noticed(kind=CHANGED, message=f"task {given.task.id} is not the published one: {'; '.join(prepared.changes)}"))
        files = runtime.folder(f"r-{run_id[-6:]}")
        folders.append(files)
        began = time.monotonic()
        kernel = await pool.of_this_loop().take(
            given.environment,
            sandbox=given.sandbox,
            policy=staging.policy_of(given.task, given.environment),
            cell_seconds=given.task.environment.cell_seconds,
        )
        workspace = kernel.workspace
        folders.append(workspace)
        async with kernel:
            emit(
                KernelStarted(
                    environment_hash=given.environment.hash, walls=kernel.walls, missing=kernel.missing, seconds=time.monotonic() - began
                )
            )
            if prepared is not None:
                await asyncio.to_thread(staging.stage, given.folder, prepared, workspace)
                await kernel.adopt()
            async with _broker(given, prepared, kernel, emit) as broker:
                attempt = _attempts(given, prepared, files, emit) if prepared is not None else None
                # before the clock of the agent's work starts
                await preparing
                answer = await _work(given, prepared, kernel, broker, attempt, outcome, emit, cancelled)
        if prepared is not None:
            await _grade(given, prepared, workspace, files / "submission", answer, broker, journal, emit)
        outcome.status = "completed" if outcome.limit is None else "limit"
    except BaseException as error:
        # whatever ended it, a bad run is data, not a crash
        if cancelled.is_cause_of(error):
            outcome.interrupt()
        else:
            outcome.fail(error)
    finally:
        preparing.cancel()
    outcome.seconds = time.monotonic() - started
    _commit(outcome, journal, emit)
    # the run is recorded now: a cancellation from here on does not change it
    with contextlib.suppress(asyncio.CancelledError):
        await cancellation.finish(_tidy(given, folders))
    return outcome.public()


async def _tidy(given: Plan, folders: Sequence[Path]) -> None:
    for folder in folders:
        await asyncio.to_thread(runtime.remove, folder)
    await asyncio.to_thread(_absorb, given.store)


def _commit(outcome: Outcome, journal: Journal, emit: Callable[..., None]) -> None:
    """Write the last event; if that fails, the store completes the record at the next query."""
    if journal.failure is not None and outcome.status != "interrupted":
        # an agent may have caught the cancellation
        outcome.fail(journal.failure)
    try:
        emit(outcome.finished(), durable=True)
    except Exception as error:
        outcome.fail(error)
        if not isinstance(error, HostError):
            # an agent can have put values of any type into it
            outcome.forget()
        with contextlib.suppress(HostError):
            emit(outcome.finished(), durable=True)
    finally:
        journal.close()


def _absorb(store: Store) -> None:
    """Import the journals into the store; if it is busy or has no space, nothing is lost: they are imported later."""
    with contextlib.suppress(StoreError, HostError):
        store.absorb()


async def _prepare(given: Plan) -> Prepared | None:
    await blocking.call(environments.build, given.environment)
    await asyncio.to_thread(staging.check_environment, given.task, given.environment)
    if given.task.submission is None:
        return None
    walled = given.sandbox != "none"
    prepared = await staging.prepare(given.folder, given.environment, walled=walled)
    return await grading.measure(given.folder, prepared, given.environment, walled=walled)


@contextlib.asynccontextmanager
async def _broker(given: Plan, prepared: Prepared | None, kernel: KernelSession, emit: Callable[..., None]) -> AsyncIterator[Broker | None]:
    """Give the agent the functions of a task that has any; they live as long as the kernel."""
    if prepared is None or given.task.interaction.mode not in ("tools", "environment"):
        yield None
        return
    broker = Broker(given.folder, prepared, given.environment, given.variant, emit=emit, walled=given.sandbox != "none")
    try:
        await broker.start()
        await kernel.answer_with(broker.answer, broker.setup)
        yield broker
        await broker.settle()
        if broker.failure is not None:
            raise broker.failure
    finally:
        await cancellation.finish(broker.close())


def _finding_missing(given: Plan, prepared: Prepared | None, kernel: KernelSession) -> Callable[[], Awaitable[str]] | None:
    """Return a function that says which of the files that are asked for is missing; None where none are."""
    declared = given.task.submission
    if declared is None or prepared is None or declared.kind in ("answer", "episode"):
        return None
    return functools.partial(handed_in.missing, kernel, declared, prepared.workspace)


def _attempts(given: Plan, prepared: Prepared, files: Path, emit: Callable[..., None]) -> Callable[[str], Awaitable[str | None]] | None:
    """Return a function that judges answers before the last, if several are allowed; it says only that one is wrong."""
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
        verdict = await _verdict(given, prepared, frozen, emit)
        return None if verdict.success else f"the answer is not right: {left + 1} more attempt{'s' if left else ''}"

    return attempt


async def _work(
    given: Plan,
    prepared: Prepared | None,
    kernel: KernelSession,
    broker: Broker | None,
    attempt: Callable[[str], Awaitable[str | None]] | None,
    outcome: Outcome,
    emit: Callable[..., None],
    cancelled: Cancellation,
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
        network=kernel.policy.network if given.sandbox != "none" else None,
        find_missing=_finding_missing(given, prepared, kernel),
        try_answer=attempt,
        on_text=Listener(given.on_text) if given.on_text else None,
        on_output=Listener(given.on_output) if given.on_output else None,
        cancelled=cancelled,
    )
    outcome.spent = world.spent
    try:
        answer = await given.agent.work(world)
        cancelled.check()
        if not isinstance(answer, str | None):
            raise AgentError(
                f"agent {given.agent.name} returned {type(answer).__name__} where an answer, which is text, or None is expected"
            )
        outcome.answer = answer
        world.leave()
    except LimitReached as reached:
        outcome.limit = reached.limit
        ended = f"the limit on {reached.limit} ended the run; what was there is graded"
        outcome.error = Failure(kind="limit", message=f"{ended}: {reached.said}" if reached.said else ended, hint=reached.hint)
    return outcome.answer


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
    emit(await _verdict(given, prepared, frozen, emit), durable=True)


class _Notices(Caller):
    """Records what should be known while a judge is asked."""

    def __init__(self, emit: Callable[..., None]) -> None:
        self._emit = emit

    def noticed(self, message: str) -> None:
        """Record it, which shows it at every door."""
        self._emit(Noticed(kind="judge", message=message))


async def _verdict(given: Plan, prepared: Prepared, frozen: Frozen, emit: Callable[..., None]) -> Scored:
    with calling(_Notices(emit)):
        return await grading.grade(given.folder, prepared, frozen, given.environment, judge=given.judge, walled=given.sandbox != "none")


def _handing_in(task: Task) -> str:
    declared = task.submission
    if declared is None or declared.kind == "answer":
        return "You are asked for an answer."
    if declared.kind == "episode":
        return "What you asked of the functions you have, and your answer, are graded."
    if declared.kind == "tree":
        return f"What is in {declared.path or 'the working directory'} when you finish is graded."
    return f"Your submission is the file {declared.path} in the working directory; it is graded when you finish."


def _readable(read: Callable[[], str]) -> str:
    """Return what ``read`` returns, or nothing: a run whose task cannot be read must be recorded too."""
    try:
        return read()
    except WorkbenchError:
        return ""


def _started(given: Plan) -> RunStarted:
    task, limits, origin = given.task, given.limits, given.origin
    return RunStarted(
        task=task.id,
        task_hash=_readable(given.folder.hash),
        family=task.family,
        suite=task.suite,
        variant=given.variant,
        agent=given.agent.name,
        model=given.model.name,
        sandbox=given.sandbox,
        environment=given.environment.name,
        epoch=given.epoch,
        limits={"steps": limits.steps, "seconds": limits.seconds, "tokens": limits.tokens, "cost_usd": limits.cost_usd},
        instruction=_readable(lambda: given.folder.instruction(given.variant)),
        version=__version__,
        parent_run=origin.run_id if origin else None,
        parent_step=origin.step if origin else None,
    )
