"""A task of a published benchmark: pieces of a user's checkout, put together when it is run."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import TaskError
from workbench.tasks.checkout import Checkout
from workbench.tasks.folder import TaskFolder, copy_tree
from workbench.tasks.spec import Task

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
    def tree(self) -> tuple[Path, str] | None:
        """A folder of the checkout that is the whole workspace."""
        sources = [piece.source if piece.to == "workspace" else None for piece in self.pieces if piece.to.startswith("workspace")]
        if self._preparation is None and len(sources) == 1 and isinstance(sources[0], Path) and sources[0].is_dir():
            return sources[0], self.checkout.fingerprint(sources[0])
        return None

    def lay(self, making: Path) -> None:
        """Copy the pieces to where they go; links stay links, also those that lead nowhere."""
        for piece in self.pieces:
            if piece.to == "workspace" and self.tree is not None:
                continue
            target = making / piece.to
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(piece.source, str):
                target.write_text(piece.source, encoding="utf-8")
            elif piece.source.is_dir():
                copy_tree(piece.source, target)
            elif piece.source.is_file():
                shutil.copyfile(piece.source, target)
            else:
                raise TaskError(f"task {self.task.id} needs {piece.source}, which does not exist", hint="is the checkout complete?")

    def solution(self) -> list[str]:
        """Return the reference solution as code cells."""
        return list(self._cells)

    def solution_answer(self) -> str | None:
        """Return the reference answer."""
        return self._answer

    def hash(self) -> str:
        """Return a hash of everything the task is made of."""
        said = [value if isinstance(value, str) else self.checkout.fingerprint(value) for value in self.instructions.values()]
        return self._digest("workspace", *said, self.task.model_dump_json())

    def grader_hash(self, environment: str) -> str:
        """Return the hash of what a verdict depends on."""
        return self._digest("hidden", self.task.grader.model_dump_json(), environment)

    def _digest(self, part: str, *said: str) -> str:
        parts = [*said] if self._preparation is None else [*said, self._preparation.read_text(encoding="utf-8")]
        for piece in self.pieces:
            if part == "workspace" or piece.to.startswith("hidden"):
                parts += [piece.to, piece.source if isinstance(piece.source, str) else self.checkout.fingerprint(piece.source)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()
