"""Workbench: a research workbench for code agents that lives in Jupyter.

An agent answers a task with Python code actions in a sandboxed kernel of its own; a grader it cannot reach scores
what it hands in; every trajectory lands in DuckDB.

Examples
--------
>>> import workbench as wb
>>> sorted({folder.task.family for folder in wb.tasks.load_all()})
['data-science', 'ml-experimentation', 'refactoring']
"""

from __future__ import annotations

from workbench._version import __version__

# type checkers know this name too; importing typing takes time, during which the command line ignores Ctrl-C
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from workbench import tasks
    from workbench.branches import branch, branch_async
    from workbench.errors import Interrupted, WorkbenchError
    from workbench.interactive import kernel
    from workbench.result import RunResult
    from workbench.runner import run, run_async
    from workbench.storage.agreement import agreement
    from workbench.storage.store import Store as store  # noqa: N813 - `wb.store()` reads like the verb it is

_HOMES = {
    "agreement": ("workbench.storage.agreement", "agreement"),
    "branch": ("workbench.branches", "branch"),
    "branch_async": ("workbench.branches", "branch_async"),
    "Interrupted": ("workbench.errors", "Interrupted"),
    "kernel": ("workbench.interactive", "kernel"),
    "run": ("workbench.runner", "run"),
    "run_async": ("workbench.runner", "run_async"),
    "RunResult": ("workbench.result", "RunResult"),
    "store": ("workbench.storage.store", "Store"),
    "tasks": ("workbench.tasks", None),
    "WorkbenchError": ("workbench.errors", "WorkbenchError"),
}
"""Where each public name lives: its module is imported when the name is first used. No module may have a public name."""

__all__ = [
    "Interrupted",
    "RunResult",
    "WorkbenchError",
    "__version__",
    "agreement",
    "branch",
    "branch_async",
    "kernel",
    "load_ipython_extension",
    "run",
    "run_async",
    "store",
    "tasks",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOMES[name]
    found = import_module(module)
    value = found if attribute is None else getattr(found, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(shell: Any) -> None:
    """Register ``%%agent`` and ``%task``; called by ``%load_ext workbench``."""
    from workbench.kernels import pool
    from workbench.notebook.magics import register, warm

    # a notebook lives on, so its next kernel can be made while its user reads
    pool.keep_ready(1)
    register(shell)
    warm()
