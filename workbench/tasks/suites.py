"""Published benchmarks in the user's own checkouts: which importer reads which, and where the user keeps them."""

from __future__ import annotations

import importlib
import json
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

    path: Path
    commit: str | None
    imported: datetime
    tasks: dict[str, Known] = Field(default_factory=dict)
    """The state of each task at that time; empty if an earlier version of workbench imported the suite."""


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
    """

    suite: str
    record: Record
    found: list[Imported]

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
    except ValidationError as error:
        raise TaskError(f"{path} is malformed: {error.errors()[0]['msg']}", hint="remove it and import your suites again") from None


def import_(suite: str, path: Path) -> Report:
    """Read a checkout, and remember where it is; nothing is written there.

    Raises
    ------
    UsageError
        If there is no importer of that name, or no such path.
    TaskError
        If it is no checkout of that benchmark.
    """
    reader = importer(suite)
    root = path.expanduser().resolve()
    if not root.exists():
        raise UsageError(f"{root} does not exist", hint=f"give the path of your own checkout of {reader.TITLE}: {reader.SOURCE}")
    found = reader.tasks(Checkout(root))
    report = Report(suite, _record(root, found), found)
    kept = paths.suites()
    kept.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{kept}.lock"):
        made = kept.with_suffix(".new")
        made.write_text(
            json.dumps({**_RECORDS.dump_python(recorded(), mode="json"), suite: report.record.model_dump(mode="json")}, indent=2)
        )
        made.replace(kept)
    return report


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
    record = recorded().get(suite)
    if record is None:
        return []
    again = f"workbench tasks import {suite} PATH"
    if not record.path.exists():
        raise TaskError(f"{record.path}, the checkout of {suite}, is gone", hint=again)
    if (leads := record.path.resolve()) != record.path:
        raise TaskError(f"{record.path}, the checkout of {suite}, is behind a symbolic link now and leads to {leads}", hint=again)
    found = importer(suite).tasks(Checkout(record.path))
    for each in found:
        each.known = record.tasks.get(each.task.id, Known(commit=record.commit))
    return found


def size(suite: str) -> int | None:
    """Return how many tasks a suite has; None where it is not imported, or its checkout is gone."""
    record = recorded().get(suite)
    return len(load(suite)) if record is not None and record.path.exists() else None
