"""Whether a task can be run here: what it needs, and whether that is available."""

from __future__ import annotations

import os

from workbench.kernels.view import gpus
from workbench.tasks.sandboxes import can_time
from workbench.tasks.spec import Task


def lacking(task: Task, *, judge: bool | None = None) -> list[str]:
    """Return what ``task`` needs and this machine does not have; empty where it can be run.

    A task that lacks anything is listed as unavailable, and never scored.

    Parameters
    ----------
    task : Task
        The task.
    judge : bool, optional
        Whether there is a judge; by default whether ``WORKBENCH_JUDGE`` names one.

    Examples
    --------
    >>> from workbench.tasks import find
    >>> lacking(find("refactoring/mistune-rename-escape").task)
    []
    """
    missing = unmet(task, judge=judge)
    return [", ".join(missing) + (f" ({task.prepare.why})" if task.prepare.why else "")] if missing else []


def unmet(task: Task, *, judge: bool | None = None) -> list[str]:
    """Return the needs of ``task`` that are not met here, without the reasons; as :func:`lacking` otherwise."""
    there = {
        "gpu": lambda: bool(gpus()),
        "judge": lambda: bool(os.environ.get("WORKBENCH_JUDGE")) if judge is None else judge,
        "cgroup": can_time,
    }
    return [need for need in task.needs if need not in there or not there[need]()]
