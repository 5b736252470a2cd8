"""The registry: every task that can be run here, by id."""

from __future__ import annotations

import difflib
import os
import re
import warnings
from pathlib import Path

from workbench import paths
from workbench.errors import TaskError, WorkbenchError
from workbench.tasks import suites
from workbench.tasks.folder import TaskFolder
from workbench.tasks.spec import NAME


def roots() -> list[Path]:
    """Return the folders tasks are looked for in: the built-in ones, then those of ``WORKBENCH_TASKS``."""
    more = os.environ.get("WORKBENCH_TASKS", "")
    return list(dict.fromkeys([paths.builtin("tasks"), *(Path(part).expanduser().absolute() for part in more.split(os.pathsep) if part)]))


def load_all() -> list[TaskFolder]:
    """Return every task, in order of id: the built-in ones, yours, and those of the suites you have imported.

    A suite that cannot be read any more, as where its checkout is gone, is left out with a warning.

    Examples
    --------
    >>> sorted({folder.task.family for folder in load_all() if folder.task.suite == "builtin"})
    ['data-science', 'ml-experimentation', 'refactoring']
    """
    found: dict[str, TaskFolder] = {folder.task.id: folder for folder in load_folders()}
    for suite in suites.recorded():
        try:
            found |= {imported.task.id: imported for imported in suites.load(suite)}
        except WorkbenchError as error:
            warnings.warn(f"the tasks of {suite} are left out: {error}", stacklevel=2)
    return [found[name] for name in sorted(found)]


def load_folders() -> list[TaskFolder]:
    """Return every task that has a folder of its own, in order of id.

    Raises
    ------
    TaskError
        If one is malformed, or two have the same id.
    """
    found: dict[str, TaskFolder] = {}
    for root in roots():
        for file in sorted(root.glob("*/*/task.toml")):
            folder = TaskFolder.load(file.parent)
            if (other := found.get(folder.task.id)) is not None:
                raise TaskError(f"two tasks are called {folder.task.id}: {other.root} and {folder.root}", hint="rename one")
            found[folder.task.id] = folder
    return [found[name] for name in sorted(found)]


def find(name: str) -> TaskFolder:
    """Return the task with id ``name``, or the one in the folder ``name``.

    Raises
    ------
    TaskError
        If there is none; the hint names the nearest.

    Examples
    --------
    >>> find("refactoring/mistune-rename")
    Traceback (most recent call last):
    ...
    workbench.errors.TaskError: no task is called 'refactoring/mistune-rename' (did you mean refactoring/mistune-rename-escape?)
    """
    if (folder := _where_its_id_says(name)) is not None:
        return folder
    folders = load_folders()
    suite = name.partition("/")[0]
    if suite in suites.recorded():
        folders += suites.load(suite)
    for folder in folders:
        if folder.task.id == name:
            return folder
    if os.path.isfile(Path(name) / "task.toml"):  # noqa: PTH113 - which takes a name that is no path for one that is missing
        return TaskFolder.load(Path(name).absolute())
    if suite in suites.NAMES and suite not in suites.recorded():
        raise TaskError(f"no task is called {name!r}: {suite} is not imported here", hint=f"workbench tasks import {suite} PATH")
    close = difflib.get_close_matches(name, [folder.task.id for folder in folders], n=1)
    raise TaskError(f"no task is called {name!r}", hint=f"did you mean {close[0]}?" if close else "workbench tasks list shows them all")


def _where_its_id_says(name: str) -> TaskFolder | None:
    """Return the task in the folder that its id names, as most are, without a look at all the others."""
    if not re.fullmatch(f"{NAME}/{NAME}", name):
        return None
    there = [root / name for root in roots() if (root / name / "task.toml").is_file()]
    if len(there) > 1:
        raise TaskError(f"two tasks are called {name}: {there[0]} and {there[1]}", hint="rename one")
    folder = TaskFolder.load(there[0]) if there else None
    return folder if folder is not None and folder.task.id == name else None
