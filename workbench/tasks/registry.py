"""The registry: every task that can be run here, by id."""

from __future__ import annotations

import difflib
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from workbench import paths
from workbench.errors import TaskError, UsageError, WorkbenchError
from workbench.tasks import suites
from workbench.tasks.folder import TaskFolder
from workbench.tasks.spec import NAME


def roots() -> list[Path]:
    """Return the folders tasks are looked for in: the built-in ones, then those of ``WORKBENCH_TASKS``."""
    more = os.environ.get("WORKBENCH_TASKS", "")
    return list(dict.fromkeys([paths.builtin("tasks"), *(paths.given(part) for part in more.split(os.pathsep) if part)]))


@dataclass(frozen=True)
class Broken:
    """What should be a task, or hold some, and cannot be read.

    Attributes
    ----------
    name : str
        The id that the task's folder gives it, or the name of a suite or a variable.
    error : WorkbenchError
        What is wrong with it.
    """

    name: str
    error: WorkbenchError


def survey() -> tuple[list[TaskFolder], list[Broken]]:
    """Return every task that can be read, in order of id, and what cannot be read."""
    found, broken = _folders()
    try:
        names = list(suites.recorded())
    except WorkbenchError as error:
        names = []
        broken.append(Broken("suites", error))
    for suite in names:
        try:
            tasks, malformed = suites.look(suite)
        except WorkbenchError as error:
            broken.append(Broken(suite, error))
        else:
            found |= {imported.task.id: imported for imported in tasks}
            broken += [Broken(name, error) for name, error in malformed.items()]
    return [found[name] for name in sorted(found)], broken


def load_all() -> list[TaskFolder]:
    """Return every task, in order of id: the built-in ones, yours, and those of the suites you have imported.

    What cannot be read, such as a malformed task or a suite whose checkout is gone, is left out with a warning.

    Examples
    --------
    >>> sorted({folder.task.family for folder in load_all() if folder.task.suite == "builtin"})
    ['data-science', 'ml-experimentation', 'refactoring']
    """
    found, broken = survey()
    for each in broken:
        warnings.warn(f"left out: {each.name}: {each.error}", stacklevel=2)
    return found


def load_folders() -> list[TaskFolder]:
    """Return every task that has a folder of its own and can be read, in order of id."""
    found, _ = _folders()
    return [found[name] for name in sorted(found)]


def _folders() -> tuple[dict[str, TaskFolder], list[Broken]]:
    found: dict[str, TaskFolder] = {}
    broken: list[Broken] = []
    for root in roots():
        if not root.is_dir():
            error = UsageError(f"WORKBENCH_TASKS names {root}, which is no folder", hint="correct the variable, or make the folder")
            broken.append(Broken("WORKBENCH_TASKS", error))
        for file in sorted(root.glob("*/*/task.toml")):
            try:
                folder = TaskFolder.load(file.parent)
                if (other := found.get(folder.task.id)) is not None:
                    raise TaskError(f"two tasks are called {folder.task.id}: {other.root} and {folder.root}", hint="rename one")
            except WorkbenchError as error:
                broken.append(Broken(file.parent.relative_to(root).as_posix(), error))
            else:
                found[folder.task.id] = folder
    return found, broken


def ids() -> list[str]:
    """Return the id of every task, those of imported suites as they were when they were imported."""
    found, _ = _folders()
    return sorted({*found, *(task for record in suites.recorded().values() for task in record.tasks)})


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
    found, broken = _folders()
    suite = name.partition("/")[0]
    recorded = suites.recorded() if name not in found else {}
    if suite in recorded:
        tasks, malformed = suites.look(suite)
        found |= {folder.task.id: folder for folder in tasks}
        broken += [Broken(each, error) for each, error in malformed.items()]
    for each in broken:
        if each.name == name:
            raise each.error
    if name in found:
        return found[name]
    if os.path.isfile(Path(name) / "task.toml"):  # noqa: PTH113 - which takes a name that is no path for one that is missing
        return TaskFolder.load(Path(name).absolute())
    if suite in suites.NAMES and suite not in recorded:
        raise TaskError(f"no task is called {name!r}: {suite} is not imported here", hint=f"workbench tasks import {suite} PATH")
    close = difflib.get_close_matches(name, found, n=1)
    said = "".join(f"; {each.error.message}" for each in broken if each.name == "WORKBENCH_TASKS")
    raise TaskError(
        f"no task is called {name!r}{said}", hint=f"did you mean {close[0]}?" if close else "workbench tasks list shows them all"
    )


def _where_its_id_says(name: str) -> TaskFolder | None:
    """Return the task in the folder that its id names, as most are, without a look at all the others."""
    if not re.fullmatch(f"{NAME}/{NAME}", name):
        return None
    there = [root / name for root in roots() if (root / name / "task.toml").is_file()]
    if len(there) > 1:
        raise TaskError(f"two tasks are called {name}: {there[0]} and {there[1]}", hint="rename one")
    folder = TaskFolder.load(there[0]) if there else None
    return folder if folder is not None and folder.task.id == name else None
