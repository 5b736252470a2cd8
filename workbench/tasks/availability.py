"""Whether a task can be run here: what it needs, and whether that is there."""

from __future__ import annotations

from workbench.kernels.view import gpus
from workbench.tasks.spec import Task


def lacking(task: Task) -> list[str]:
    """Return what ``task`` needs and this machine does not have; empty where it can be run.

    A task that lacks anything is listed as unavailable, and never scored.

    Examples
    --------
    >>> from workbench.tasks import find
    >>> lacking(find("refactoring/mistune-rename-escape").task)
    []
    """
    unmet = [need for need in task.prepare.needs if need != "gpu" or not gpus()]
    return [", ".join(unmet) + (f" ({task.prepare.why})" if task.prepare.why else "")] if unmet else []
