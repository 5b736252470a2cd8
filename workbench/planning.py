"""A plan: what a run is to be, resolved. Everything that can be wrong is found out before anything is started."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from workbench import agents
from workbench.agents.base import Agent, RunLimits
from workbench.agents.branch import Origin
from workbench.errors import TaskError, UsageError
from workbench.events import MOST, MOST_LONG, Event
from workbench.kernels.environments import Environment
from workbench.kernels.session import SANDBOXES, Sandbox
from workbench.models.base import Model
from workbench.models.resolve import resolve, resolve_judge
from workbench.observation import Output
from workbench.storage.store import Store
from workbench.tasks import availability, registry, staging
from workbench.tasks.folder import TaskFolder
from workbench.tasks.spec import Task

_MOST_NUMBER = 1e9
"""Seconds, or US dollars."""
NO_WALLS = "sandbox none: the agent's code runs with your rights and can read everything you can"
"""What is said wherever there are no walls."""


@dataclass
class Plan:
    """What to run, resolved."""

    folder: TaskFolder
    variant: dict[str, str]
    model: Model
    agent: Agent
    sandbox: Sandbox
    environment: Environment
    limits: RunLimits
    store: Store
    judge: Callable[[], Model] | None = None
    """Makes what a grader asks, once a grading."""
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
    model_options: Mapping[str, Any] | None
    judge: str | Model | Callable[..., Any] | None
    record: str | Path | None
    store: str | Path | Store | None
    on_event: Callable[[Event], None] | None
    on_text: Callable[[str], None] | None
    on_output: Callable[[Output], None] | None


class Options(Shared, total=False):
    """The options of :func:`workbench.run`, all of which may be left out."""

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
    model_options: Mapping[str, Any] | None = None,
    judge: str | Model | Callable[..., Any] | None = None,
    record: str | Path | None = None,
    store: str | Path | Store | None = None,
    on_event: Callable[[Event], None] | None = None,
    on_text: Callable[[str], None] | None = None,
    on_output: Callable[[Output], None] | None = None,
) -> Plan:
    """Resolve the arguments of :func:`workbench.run` without starting anything.

    Raises
    ------
    WorkbenchError
        If anything is unknown, malformed or out of range.
    """
    folder = registry.find(task) if isinstance(task, str) else task
    if sandbox == "none":
        warnings.warn(NO_WALLS, stacklevel=3)
    if sandbox not in SANDBOXES:
        raise UsageError(f"no sandbox is called {sandbox!r}", hint=f"there are: {', '.join(SANDBOXES)}")
    max_steps, max_tokens = _whole("max_steps", max_steps, MOST), _whole("max_tokens", max_tokens, MOST_LONG)
    timeout, budget_usd = _number("timeout", timeout), _number("budget_usd", budget_usd)
    epoch = _whole("epoch", epoch, MOST) or 1
    judging = resolve_judge(judge)
    if lacking := availability.lacking(folder.task, judge=judging is not None):
        hint = "name a model that judges: --judge, or WORKBENCH_JUDGE" if folder.task.needs == ["judge"] else ""
        raise TaskError(f"task {folder.task.id} is unavailable here: it needs {'; '.join(lacking)}", hint=hint)
    kept = store if isinstance(store, Store) else Store(store)
    kept.check()
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
            options=model_options,
            record=Path(record) if record else None,
        ),
        agents.make(agent),
        sandbox,
        staging.environment_of(folder),
        limits,
        kept,
        judging,
        epoch,
        [on_event] if on_event else [],
        on_text,
        on_output,
    )


def _whole(name: str, value: object, most: int) -> int | None:
    """Return a whole number; refuse anything else, and one that no column of the store could hold."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise UsageError(f"{name} is {value!r}, and must be a whole number")
    found = int(value)
    if not 0 < found <= most:
        raise UsageError(f"{name} is {found}, and must be {'more than 0' if found <= 0 else f'at most {most}'}")
    return found


def _number(name: str, value: object) -> float | None:
    """Return a finite number above 0; refuse anything else, and one that no clock counts to."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise UsageError(f"{name} is {value!r}, and must be a number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not 0 < found < math.inf:
        raise UsageError(f"{name} is {found:g}, and must be {'finite' if found == math.inf else 'more than 0'}")
    if found > _MOST_NUMBER:
        raise UsageError(f"{name} is {found:g}, and must be at most {_MOST_NUMBER:g}")
    return found
