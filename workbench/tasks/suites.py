"""Published benchmarks in the user's own checkouts: which importer reads which, and where the user keeps them."""

from __future__ import annotations

import importlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, cast

from filelock import FileLock
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from workbench import paths
from workbench.errors import TaskError, UsageError
from workbench.tasks import availability
from workbench.tasks.checkout import Checkout
from workbench.tasks.imported import Imported, Known
from workbench.tasks.spec import NAME


class Importer(Protocol):
    """A module of ``importers``: what one benchmark is, and how its checkout is read."""

    TITLE: str
    SOURCE: str
    """Paper and repository."""

    def tasks(self, checkout: Checkout) -> list[Imported]:
        """Return every task of the checkout, also those that cannot be run here.

        Raises
        ------
        TaskError
            If it is no checkout of this benchmark.
        """
        ...


NAMES = (
    "blade",
    "boxinggym",
    "codearc",
    "harbor",
    "humaneval",
    "m3tooleval",
    "mbpp",
    "mlagentbench",
    "mle-bench",
    "refactorbench",
    "scienceagentbench",
)


class Record(BaseModel):
    """Where a suite is on this machine."""

    importer: str | None = None
    """Which importer reads it; None if the suite is called like it."""
    origin: str | None = None
    """Where the clone was made from, if that is known."""
    path: Path
    commit: str | None
    imported: datetime
    tasks: dict[str, Known] = Field(default_factory=dict)
    """The state of each task at that time; empty if an earlier version of workbench imported the suite."""


_TAKEN = ("builtin", "interactive", "data-science", "ml-experimentation", "refactoring")
"""What other tasks' ids begin with, and suites that are not imported."""
_RECORDS = TypeAdapter(dict[str, Record])


@dataclass
class Report:
    """What an import found.

    Attributes
    ----------
    suite : str
        Its name.
    record : Record
        Where it is, and at which commit.
    found : list of Imported
        Every task.
    malformed : dict of str to TaskError
        Why other tasks could not be read, by id.
    """

    suite: str
    record: Record
    found: list[Imported]
    malformed: dict[str, TaskError]

    @property
    def differing(self) -> list[str]:
        """Files that tasks depend on and that differ from the commit."""
        return sorted({path for known in self.record.tasks.values() for path in known.differing})

    @property
    def unavailable(self) -> dict[str, list[str]]:
        """Ids of the tasks that cannot be run here, by reason."""
        reasons: dict[str, list[str]] = {}
        for each in self.found:
            if lacking := availability.lacking(each.task):
                reasons.setdefault("; ".join(lacking), []).append(each.task.id)
        return reasons

    @property
    def counts(self) -> dict[str, int]:
        """How many cannot be run here, by what they need, without the reason that each of them has."""
        kinds: Counter[str] = Counter()
        for each in self.found:
            if lacking := availability.unmet(each.task):
                kinds[", ".join(lacking)] += 1
        return dict(kinds.most_common())

    @property
    def runnable(self) -> int:
        """How many can be run here."""
        return len(self.found) - sum(map(len, self.unavailable.values()))

    @property
    def variants(self) -> int:
        """How many prompts the tasks have together."""
        return sum(len(each.task.variants) for each in self.found)


def importer(suite: str) -> Importer:
    """Return the importer of a suite.

    Raises
    ------
    UsageError
        If there is none.
    """
    if suite not in NAMES:
        raise UsageError(f"no suite is called {suite!r}", hint=f"there are importers for: {', '.join(NAMES)}")
    return cast(Importer, importlib.import_module(f"workbench.tasks.importers.{suite.replace('-', '_')}"))


def recorded() -> dict[str, Record]:
    """Return where each imported suite is.

    Raises
    ------
    TaskError
        If the file that says so is malformed.
    """
    path = paths.suites()
    try:
        return _RECORDS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise TaskError(f"{path} cannot be read: {error.strerror}", hint="set WORKBENCH_SUITES to a file that you can read") from None
    except ValidationError as error:
        raise TaskError(f"{path} is malformed: {error.errors()[0]['msg']}", hint="remove it and import your suites again") from None


def kind(suite: str) -> str:
    """Return the name of the importer of a suite that was imported, or could be.

    Raises
    ------
    UsageError
        If there is neither.
    """
    record = recorded().get(suite)
    if record is None and suite not in NAMES:
        more = ", ".join(name for name in recorded() if name not in NAMES)
        raise UsageError(
            f"no suite is called {suite!r}", hint=f"there are importers for: {', '.join(NAMES)}" + (f"; imported: {more}" if more else "")
        )
    return suite if record is None else record.importer or suite


def import_(suite: str, path: Path, name: str | None = None, *, replace: bool = False) -> Report:
    """Read a checkout, and remember where it is; nothing is written there.

    Parameters
    ----------
    suite : str
        Which benchmark it is: the name of an importer.
    path : Path
        The checkout.
    name : str, optional
        What the suite is called, and its tasks' ids begin with; by default like the importer.
    replace : bool
        Whether it may take the place of a suite of the same name from another folder.

    Raises
    ------
    UsageError
        If there is no importer of that name, or no such path, or the name is taken.
    TaskError
        If it is no checkout of that benchmark, or all its tasks are malformed.
    """
    reader = importer(suite)
    name = suite if name is None else name
    root = paths.given(path).resolve()
    if not root.exists():
        raise UsageError(f"{root} does not exist", hint=f"give the path of your own checkout of {reader.TITLE}: {reader.SOURCE}")
    _check_name(name, suite)
    there = recorded().get(name)
    if there is not None and not replace and there.path.exists() and (there.path, there.importer or name) != (root, suite):
        raise UsageError(
            f"suite {name} is imported from {there.path} already",
            hint="--name NAME imports this one beside it, --replace puts it in its place",
        )
    found, malformed = _read(suite, name, root)
    report = Report(name, _record(root, found), found, malformed)
    report.record.importer, report.record.origin = suite, Checkout(root).origin
    kept = paths.suites()
    paths.make(kept.parent, hint="set WORKBENCH_SUITES to a file that you can write")
    with FileLock(f"{kept}.lock"):
        made = kept.with_suffix(".new")
        made.write_text(
            json.dumps({**_RECORDS.dump_python(recorded(), mode="json"), name: report.record.model_dump(mode="json")}, indent=2)
        )
        made.replace(kept)
    return report


def _check_name(name: str, suite: str) -> None:
    if not re.fullmatch(NAME, name):
        raise UsageError(f"{name!r} cannot be the name of a suite", hint="use small letters, digits, '.', '_' and '-'")
    if name in {*_TAKEN, *NAMES} - {suite}:
        raise UsageError(f"a suite imported as {suite} cannot be called {name}", hint="choose another name")


def _read(suite: str, name: str, root: Path) -> tuple[list[Imported], dict[str, TaskError]]:
    """Return the tasks of a checkout under the name of a suite, and why others could not be read."""
    checkout = Checkout(root)
    found = importer(suite).tasks(checkout)
    if not found and checkout.malformed:
        raise next(iter(checkout.malformed.values()))

    def renamed(task: str) -> str:
        return f"{name}/{task.removeprefix(f'{suite}/')}"

    if name != suite:
        for each in found:
            each.task = each.task.model_copy(update={"id": renamed(each.task.id), "suite": name})
    return found, {renamed(task): error for task, error in checkout.malformed.items()}


def _record(root: Path, found: Sequence[Imported]) -> Record:
    commit = Checkout(root).commit
    sources = {source for each in found for source in each.sources}
    for checkout in {id(each.checkout): each.checkout for each in found}.values():
        # a file that was read to create tasks may affect any of them, unless it is part of specific tasks
        texts = (checkout.files.root / name for name in checkout.texts)
        common = checkout.differing(path for path in texts if sources.isdisjoint((path, *path.parents)))
        for each in found:
            if each.checkout is checkout:
                differing = sorted({*common, *checkout.differing(each.sources)})
                each.known = Known(commit=commit, content=each.content(), differing=differing)
    return Record(path=root, commit=commit, imported=datetime.now(UTC), tasks={each.task.id: each.known for each in found if each.known})


def load(suite: str) -> list[Imported]:
    """Return the tasks of a suite that was imported; none where it was not.

    Raises
    ------
    TaskError
        If its checkout is gone, or another than it was.
    """
    return look(suite)[0]


def look(suite: str) -> tuple[list[Imported], dict[str, TaskError]]:
    """Return the tasks of a suite that was imported, and why others could not be read, by id; raises as :func:`load`."""
    record = recorded().get(suite)
    if record is None:
        return [], {}
    named = record.importer or suite
    again = f"workbench tasks import {named} PATH" + (f" --name {suite}" if suite != named else "")
    if not record.path.exists():
        raise TaskError(f"{record.path}, the checkout of {suite}, is gone", hint=again)
    if (leads := record.path.resolve()) != record.path:
        raise TaskError(f"{record.path}, the checkout of {suite}, is behind a symbolic link now and leads to {leads}", hint=again)
    found, malformed = _read(named, suite, record.path)
    for each in found:
        each.known = record.tasks.get(each.task.id, Known(commit=record.commit))
    return found, malformed


def size(suite: str) -> int | None:
    """Return how many tasks a suite has; None where it is not imported, or its checkout is gone."""
    record = recorded().get(suite)
    return len(load(suite)) if record is not None and record.path.exists() else None
