"""A task of a published benchmark: pieces of a user's checkout, put together when it is run."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from workbench.errors import TaskError
from workbench.models.scripted import Scripted
from workbench.tasks.checkout import Checkout
from workbench.tasks.files import place, write
from workbench.tasks.folder import TaskFolder, Tree
from workbench.tasks.spec import Task

_SHOWN = 3
"""How many paths are named."""
_SUMMARY = 200
"""Of instructions that serve as a summary, so many characters."""


def described(name: str, *, family: str, licence: str, source: str, summary: str, **more: object) -> Task:
    """Return the description of a task of a published benchmark.

    Parameters
    ----------
    name : str
        Its id, which begins with the suite.
    family, licence, source : str
        As in a task file.
    summary : str
        Text of any length, of which the beginning is kept, on one line.
    **more
        What else a task file says; ``metric`` is a list.

    Examples
    --------
    >>> task = described(
    ...     "humaneval/0",
    ...     family="refactoring",
    ...     licence="MIT",
    ...     source="Chen et al. (2021), arXiv 2107.03374",
    ...     summary="Say whether   two numbers are close.",
    ...     submission={"kind": "answer"},
    ...     metric=[all_or_nothing("solved")],
    ... )
    >>> task.suite, task.summary
    ('humaneval', 'Say whether two numbers are close.')
    """
    head = {"id": name, "suite": name.partition("/")[0], "family": family, "licence": licence, "source": source}
    return Task.model_validate({"schema": 1, **head, "summary": " ".join(summary.split())[:_SUMMARY], **more})


def all_or_nothing(name: str, **more: object) -> dict[str, Any]:
    """Return the primary metric of most benchmarks: 1 is solved, anything less is not.

    Examples
    --------
    >>> all_or_nothing("solved", by="judge")["success"]
    {'rule': 'eq', 'value': 1}
    """
    return {"name": name, "primary": True, "range": [0, 1], "invalid": 0, **more, "success": {"rule": "eq", "value": 1}}


@dataclass(frozen=True)
class Piece:
    """A file or folder that a task is made of.

    Attributes
    ----------
    to : str
        Where it goes: below ``workspace`` or ``hidden``.
    source : Path or str
        Where it is, or the text of a file.
    """

    to: str
    source: Path | str


class Known(BaseModel):
    """What was recorded about a task when its suite was imported."""

    commit: str | None = None
    content: str | None = None
    """Its fingerprint; None if the task did not exist, or an earlier version of workbench did not record it."""
    differing: list[str] = []
    """Files that differed from the commit."""


class Imported(TaskFolder):
    """A task that an importer found in a checkout.

    Parameters
    ----------
    task : Task
        What a task file would say.
    checkout : Checkout
        Where it was found.
    instructions : mapping of str to Path or str
        What the agent is asked, by variant (``axis=value``, joined by commas; empty where there are no axes): a file of
        the checkout, or text.
    pieces : sequence of Piece
        What it is made of.
    answer : str, optional
        The reference answer, where the benchmark has one.
    cells : sequence of str
        The reference solution, where there is one.
    preparation : Path, optional
        A script of ours that makes data once per machine; ``sys.argv[2]`` is the checkout, as it sees it.
    """

    def __init__(
        self,
        task: Task,
        checkout: Checkout,
        instructions: Mapping[str, Path | str],
        pieces: Sequence[Piece],
        *,
        answer: str | None = None,
        cells: Sequence[str] = (),
        preparation: Path | None = None,
    ) -> None:
        super().__init__(checkout.root, task)
        self.checkout, self.instructions, self.pieces = checkout, dict(instructions), list(pieces)
        self.known: Known | None = None
        self._answer, self._cells, self._preparation = answer, list(cells), preparation

    def instruction(self, variant: dict[str, str]) -> str:
        """Return the instruction of a resolved variant."""
        said = self.instructions[",".join(f"{axis}={variant[axis]}" for axis in self.task.prompt.axes)]
        return (self.checkout.text(str(said.relative_to(self.root))) if isinstance(said, Path) else said).strip()

    @property
    def preparation(self) -> Path | None:
        """The script that makes data once per machine, where there is one."""
        return self._preparation

    @property
    def tree(self) -> Tree | None:
        """A folder of the checkout that is the whole workspace."""
        sources = [piece.source if piece.to == "workspace" else None for piece in self.pieces if piece.to.startswith("workspace")]
        if self._preparation is not None or len(sources) != 1 or not isinstance(source := sources[0], Path) or not source.is_dir():
            return None
        return Tree(self.checkout.fingerprint(source), functools.partial(self._copy, source))

    def lay(self, making: Path) -> None:
        """Copy the pieces to where they go; links stay links, also those that lead nowhere."""
        shared = self.tree
        for piece in self.pieces:
            if piece.to == "workspace" and shared is not None:
                continue
            target = place(making, piece.to)
            if isinstance(piece.source, str):
                write(target, piece.source.encode())
            else:
                self._copy(piece.source, target)

    def _copy(self, source: Path, target: Path) -> None:
        files, name = self.checkout.located(source)
        files.copy(name, target, subject=f"task {self.task.id} needs {source}, which")

    def reference(self) -> tuple[list[str], str | None]:
        """Return the reference solution.

        Raises
        ------
        TaskError
            If the benchmark has none.
        """
        try:
            return super().reference()
        except TaskError as error:
            # what a task of the user's own lacks can be written, but not into somebody else's benchmark
            raise TaskError(error.message, hint="the benchmark has none for it, so no oracle can play it; choose another model") from None

    def solution(self) -> list[str]:
        """Return the reference solution as code cells."""
        return list(self._cells)

    def solution_answer(self) -> str | None:
        """Return the reference answer."""
        return self._answer

    def shortcuts(self) -> list[Scripted]:
        """Return none: a folder of that name in the checkout is not part of the task."""
        return []

    def hash(self) -> str:
        """Return a hash of everything the task is made of."""
        return self._digest(self.pieces, *self._instructions(), self.task.model_dump_json())

    def is_still(self, content: str) -> bool:
        """Say whether the files still have the :meth:`hash` ``content``."""
        self.checkout.look_again()
        return self.hash() == content

    def grader_hash(self, environment: str) -> str:
        """Return the hash of what a verdict depends on."""
        hidden = [piece for piece in self.pieces if piece.to.startswith("hidden")]
        return self._digest(hidden, self.task.grader.model_dump_json(), environment)

    def content(self) -> str:
        """Return a fingerprint of what comes from the checkout, without the importer's own programs."""
        theirs = [piece for piece in self.pieces if isinstance(piece.source, str) or self.checkout.has(piece.source)]
        return self._digest(theirs, *self._instructions())

    @property
    def sources(self) -> set[Path]:
        """The files and folders that the task consists of."""
        return {source for source in (*self.instructions.values(), *(piece.source for piece in self.pieces)) if isinstance(source, Path)}

    def changes(self) -> list[str]:
        """Return how the task differs from the published one: what changed since the import, and from the commit."""
        if self.known is None:
            return []
        found = []
        if self.known.commit != self.checkout.commit:
            found.append(f"it was imported at {_named(self.known.commit)}, and the checkout is at {_named(self.checkout.commit)}")
        try:
            if self.known.content is None:
                found.append("what it was when the suite was imported is not known")
            elif self.known.content != self.content():
                found.append("its files were changed since it was imported")
        except TaskError as error:
            found.append(error.message)
        if self.known.differing:
            found.append(f"when it was imported, files were not as in {_named(self.known.commit)}: {listed(self.known.differing)}")
        return found

    def _instructions(self) -> list[str]:
        return [value if isinstance(value, str) else self.checkout.fingerprint(value) for value in self.instructions.values()]

    def _digest(self, pieces: Sequence[Piece], *said: str) -> str:
        parts = [*said] if self._preparation is None else [*said, self._preparation.read_text(encoding="utf-8")]
        for piece in pieces:
            parts += [piece.to, piece.source if isinstance(piece.source, str) else self.checkout.fingerprint(piece.source)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def listed(paths: Sequence[str]) -> str:
    """Return the first few paths and how many more there are, in one line.

    Examples
    --------
    >>> listed(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = len(paths) - _SHOWN
    return ", ".join(paths[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _named(commit: str | None) -> str:
    return "no commit" if commit is None else f"commit {commit[:12]}"
