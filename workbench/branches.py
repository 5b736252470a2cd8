"""Branches: new runs that go on from a step of a recorded one. They take the path of every other run."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

from workbench import agents, background, blocking, planning, runner
from workbench.agents.base import Agent
from workbench.agents.branch import Origin
from workbench.errors import TaskError, UsageError
from workbench.events import ActionTaken, ModelCalled, Observed, StepFinished
from workbench.models.base import Model
from workbench.planning import Plan
from workbench.result import RunResult
from workbench.storage import trajectory
from workbench.storage.store import Store
from workbench.tasks import registry
from workbench.tasks.folder import Interactive, TaskFolder


class Options(planning.Shared, total=False):
    """The options of :func:`branch`, all of which may be left out."""

    agent: str | Agent | None
    sandbox: str | None
    task: str | TaskFolder | None
    instruction: str


def plan(
    run_id: str,
    at: int,
    *,
    model: str | Model | Callable[..., Any] | None = None,
    agent: str | Agent | None = None,
    sandbox: str | None = None,
    task: str | TaskFolder | None = None,
    instruction: str = "",
    store: str | Path | Store | None = None,
    **options: Any,
) -> Plan:
    """Resolve the arguments of :func:`branch` without starting anything.

    Raises
    ------
    WorkbenchError
        If there is no such run or step, its task is gone or another, or anything else is unknown or out of range.
    """
    store = store if isinstance(store, Store) else Store(store)
    parent = trajectory.find(store, run_id)
    origin = _origin(store, parent, at, instruction)
    folder = _task(parent, task)
    if agent is None and parent["agent"] not in agents.NAMES:
        raise UsageError(
            f"run {origin.run_id} was made by agent {parent['agent']}, which is not one of workbench's", hint="pass it as agent"
        )
    given = agents.make(agent or parent["agent"])
    if at and given.name != parent["agent"]:
        raise UsageError(
            f"agent {given.name} cannot go on with what {parent['agent']} began in run {origin.run_id}",
            hint="leave the agent out, or branch at 0, where there is nothing to go on with",
        )
    if sandbox is None and parent["sandbox"] == "none":
        raise UsageError(
            f"run {origin.run_id} had no walls", hint="ask for sandbox none if its branch is to have none either, else for local"
        )
    if model is None and parent["model"].startswith("cassette:"):
        raise UsageError(
            f"run {origin.run_id} was played from a cassette, and the record does not say which file", hint="say which model goes on"
        )
    made = planning.plan(
        folder,
        model=model or parent["model"],
        agent=given,
        sandbox=sandbox or parent["sandbox"],
        variant=json.loads(parent["variant"]),
        epoch=parent["epoch"],
        store=store,
        **options,
    )
    made.origin = origin
    return made


def branch(run_id: str, at: int, **options: Unpack[Options]) -> RunResult:
    """Make a new run that continues a recorded one from one of its steps, grade it, and record it.

    Up to that step the branch has the conversation of its parent. Workspace and kernel are new: the recorded actions
    are run again, and the record says where their output differs.

    Parameters
    ----------
    run_id : str
        The parent: a run's id, or its beginning.
    at : int
        The last step that is inherited; 0 for none, which makes a run from the beginning.
    model : str, Model or callable, optional
        The model that continues; by default the parent's.
    agent : str or Agent, optional
        By default the parent's. Another one can only begin at 0.
    sandbox : str, optional
        By default the parent's, unless that was ``none``, which must be asked for.
    task : str or TaskFolder, optional
        The task's folder, where the registry does not know it.
    instruction : str
        An additional instruction for the model, given once.
    max_steps, max_tokens, timeout, budget_usd : optional
        As for :func:`workbench.run`; they apply to what the branch adds.
    base_url, model_options, judge, record, on_event, on_text, on_output : optional
        As for :func:`workbench.run`.
    store : path or Store, optional
        Where the parent's record is, and the branch's will be.

    Returns
    -------
    RunResult
        With ``parent_run``, ``parent_step``, ``branched_by`` and ``diverged_steps``.

    Raises
    ------
    WorkbenchError
        If the arguments are invalid; nothing was started then.
    Interrupted
        As for :func:`workbench.run`.

    Examples
    --------
    >>> import tempfile, workbench as wb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = wb.store(f"{folder}/runs.duckdb")
    ...     short = wb.run("refactoring/mistune-rename-escape", model="oracle", max_steps=1, store=store)
    ...     longer = wb.branch(short.run_id, at=1, model="oracle", store=store)
    >>> short.status, longer.success, longer.parent_step
    ('limit', True, 1)
    """
    return background.wait(runner.execute(plan(run_id, at, **options)))


async def branch_async(run_id: str, at: int, **options: Unpack[Options]) -> RunResult:
    """Like :func:`branch`, for use in an event loop of your own."""
    return await runner.execute_or_cancel(await blocking.call(functools.partial(plan, run_id, at, **options)))


def _origin(store: Store, parent: dict[str, Any], at: int, instruction: str) -> Origin:
    """Return what a branch of ``parent`` at ``at`` inherits."""
    run_id = parent["run_id"]
    if not (isinstance(at, int) and at >= 0):
        raise UsageError(f"run {run_id} cannot branch at {at!r}", hint="name a step, from 0")
    origin = Origin(run_id, at, parent["agent"], parent["environment_hash"], instruction)
    began = 0
    for event in trajectory.events(store, run_id, ["model_called", "action_taken", "observed", "step_finished"]):
        match event:
            case ModelCalled():
                began = event.step
                origin.calls[event.step] = event
            case ActionTaken():
                origin.taken[event.step, event.index] = event
            case Observed():
                origin.observed[event.step, event.index] = event
            case StepFinished():
                origin.finished[event.step] = event
    last = max(origin.finished, default=0)
    if at and at not in origin.finished:
        unfinished = f"; step {began} was not finished" if began > last else ""
        there = f"its last step is {last}{unfinished}" if last else f"it finished none{unfinished}"
        raise UsageError(
            f"run {run_id} has no step {at} to branch at: {there}", hint="workbench runs show shows its steps; 0 is the beginning"
        )
    if at and at == last and parent["status"] == "completed":
        raise UsageError(f"run {run_id} was done with step {at}, and nothing comes after it", hint="branch at an earlier step")
    return origin


def _task(parent: dict[str, Any], given: str | TaskFolder | None) -> TaskFolder:
    """Return the task of ``parent``, which must be what it was then."""
    run_id, name = parent["run_id"], parent["task"]
    if given is None and parent["suite"] == "interactive":
        return Interactive(parent["instruction"], parent["environment"])
    try:
        folder = registry.find(given or name) if not isinstance(given, TaskFolder) else given
    except TaskError as error:
        raise TaskError(
            f"run {run_id} was made at a task that is not here: {error.message}",
            hint="if it was run from a folder, say which: --task FOLDER",
        ) from None
    if folder.hash() != parent["task_hash"]:
        raise TaskError(
            f"{folder.root} is not the task {name} of run {run_id}: its files are others",
            hint="bring them back to what they were, or run the task anew",
        )
    return folder
