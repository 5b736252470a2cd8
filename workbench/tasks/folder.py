"""A task and the folder it lives in."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self

from pydantic import ValidationError

from workbench.errors import HostError, TaskError, UsageError, shortage
from workbench.models import baseline
from workbench.models.base import Model
from workbench.models.scripted import Scripted
from workbench.tasks.files import Files, place, tree_hash
from workbench.tasks.lines import line_of
from workbench.tasks.spec import Task

FILE = "task.toml"
PRIVATE = ("hidden", "solution", "shortcuts")
"""Folders of a task whose content never reaches an agent."""
_PART = "it is part of the task's {}/"
_MOST_TOML = 2**20
_MOST_INSTRUCTION = 4 * 2**20


@dataclass(frozen=True)
class Tree:
    """A folder that is the whole workspace of one or more tasks.

    Attributes
    ----------
    fingerprint : str
        Of its content.
    copy : callable
        Copies its content into a folder.
    """

    fingerprint: str
    copy: Callable[[Path], None]


class TaskFolder:
    """A task and the folder it lives in: ``task.toml``, ``instruction.md``, ``workspace/``, ``hidden/``, ``solution/``,
    ``shortcuts/``.

    Parameters
    ----------
    root : Path
        The folder.
    task : Task
        What its ``task.toml`` says.
    """

    def __init__(self, root: Path, task: Task) -> None:
        self.root = root
        self.task = task

    @classmethod
    def load(cls, root: Path) -> Self:
        """Read ``root/task.toml``.

        Raises
        ------
        TaskError
            If the file is missing or malformed; the message names file, field and reason.
        """
        path = root / FILE
        text = Files(root).text(FILE, hint="a task is a folder with a task.toml", most=_MOST_TOML)
        try:
            data: dict[str, Any] = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise TaskError(f"{path} is not TOML: {error}", hint="docs/tasks.md shows the format") from None
        try:
            return cls(root, Task.model_validate(data))
        except ValidationError as error:
            problems = [(".".join(map(str, item["loc"])) or "task", item["msg"], line_of(text, item["loc"])) for item in error.errors()]
            said = "; ".join(f"{field}: {message}" + (f" (line {line})" if line else "") for field, message, line in problems)
            raise TaskError(f"{path}: {said}", hint="docs/tasks.md describes every field") from None

    @functools.cached_property
    def files(self) -> Files:
        """The content of the folder."""
        return Files(self.root)

    @property
    def tree(self) -> Tree | None:
        """A folder that is the whole workspace of this task, and perhaps of others."""
        return None

    @property
    def hidden(self) -> Path:
        """The folder no agent ever sees."""
        return self.root / "hidden"

    @property
    def preparation(self) -> Path | None:
        """The script that makes data once per machine, where there is one."""
        return None if self.task.prepare.script is None else self.root / self.task.prepare.script

    def lay(self, making: Path) -> None:
        """Copy the task's own files into ``workspace`` and ``hidden`` of the folder ``making``."""
        for part, never in (("workspace", PRIVATE), ("hidden", ())):
            if self.files.has(part):
                self.files.copy(part, making / part, _PART.format(part), never=never)

    def put(self, source: str, part: Path, to: str, said: str, *, never: Sequence[str] = ()) -> None:
        """Copy a file or folder that the task names to its destination below the folder ``part``."""
        target = place(part, to)
        if self.files.is_file(source) and target.is_dir() and not target.is_symlink():
            target /= PurePosixPath(source).name
        self.files.copy(source, target, said, subject=f"task {self.task.id} copies {self.root / source}, which", never=never)

    def instruction(self, variant: dict[str, str]) -> str:
        """Return the instruction of a resolved variant."""
        prompt = self.task.prompt
        chosen = ",".join(f"{axis}={variant[axis]}" for axis in prompt.axes)
        field = "prompt.files" if chosen in prompt.files else "prompt.file"
        path = prompt.files.get(chosen, prompt.file)
        hint = "it is the task's instruction"
        return self.files.text(path, f"{field} of {FILE} names it", hint=hint, most=_MOST_INSTRUCTION, never=PRIVATE).strip()

    def solution(self) -> list[str]:
        """Return the reference solution as code cells: the ``# %%`` cells of ``solution/*.py`` in order of name."""
        return [cell for source in self._programs("solution").values() for cell in baseline.split(source)]

    def _programs(self, part: str) -> dict[str, str]:
        """Return the Python files directly in a folder of the task, by name and in order."""
        if not self.files.has(part):
            return {}
        said = _PART.format(part)
        names = [entry.path.name for entry in self.files.entries(part, said) if len(entry.path.parts) == 1 and not entry.is_folder]
        return {name: self.files.text(f"{part}/{name}", said) for name in names if name.endswith(".py")}

    def reference(self) -> tuple[list[str], str | None]:
        """Return the reference solution: its cells, and its answer where the task asks for one.

        Raises
        ------
        TaskError
            If there is none to play.
        """
        cells, answer = self.solution(), self.solution_answer()
        if self.task.submission is not None and self.task.submission.kind in ("answer", "episode") and answer is None:
            raise TaskError(
                f"task {self.task.id} asks for an answer and its solution has none", hint=f"write {self.root}/solution/answer.txt"
            )
        if not cells and answer is None:
            raise TaskError(f"task {self.task.id} has no reference solution", hint=f"write {self.root}/solution/solution.py")
        return cells, answer

    def solution_answer(self) -> str | None:
        """Return the reference answer of a task that asks for one: ``solution/answer.txt``."""
        name = "solution/answer.txt"
        return self.files.text(name, "it is the task's reference answer").strip() if self.files.has(name) else None

    def shortcuts(self) -> list[Scripted]:
        """Return a model for each named shortcut: it plays ``shortcuts/NAME.py``, and must not solve the task.

        If the task asks for an answer, ``shortcuts/NAME.txt`` is given, if it exists.
        """
        found = []
        for path, source in self._programs("shortcuts").items():
            name = path.removesuffix(".py")
            answer = f"shortcuts/{name}.txt"
            said = self.files.text(answer, _PART.format("shortcuts")).strip() if self.files.has(answer) else None
            found.append(Scripted(f"shortcut:{name}", baseline.split(source), said))
        return found

    def recipe(self) -> Model:
        """Return the model ``baseline``, which plays the fixed recipe that the task names.

        Raises
        ------
        TaskError
            If it names none, or one that does not exist.
        """
        if (named := self.task.recipe) is None:
            raise TaskError(f"task {self.task.id} has no recipe for a baseline", hint="choose another model, or give it a [recipe]")
        try:
            return baseline.baseline(named.name, named.options)
        except UsageError as error:
            raise TaskError(f"task {self.task.id}: {error.message}", hint=error.hint) from None

    def grader_hash(self, environment: str) -> str:
        """Return the hash of what a verdict depends on: hidden files, preparation, the grader's table, the environment."""
        script = self.task.prepare.script
        parts = [self.files.hash("hidden", _PART.format("hidden")), self.task.grader.model_dump_json(), environment]
        if script is not None:
            parts.append(hashlib.sha256(self.files.read(script, f"prepare.script of {FILE} names it")).hexdigest())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def hash(self) -> str:
        """Return the hash of everything in the folder except shortcuts, since adding one does not change the task."""
        return tree_hash(self.root, but="shortcuts")

    def is_still(self, content: str) -> bool:
        """Say whether the files still have the :meth:`hash` ``content``."""
        return self.hash() == content

    def changes(self) -> list[str]:
        """Return how the task differs from the published one that it claims to be."""
        return []


class Interactive(TaskFolder):
    """A task from a user's notebook cell: an instruction and an empty workspace, without grading.

    Examples
    --------
    >>> Interactive("What is 6 times 7?").task.id
    'interactive/ask'
    """

    def __init__(self, text: str, environment: str = "python-ds") -> None:
        task = Task.model_validate(
            {
                "schema": 1,
                "id": "interactive/ask",
                "family": "interactive",
                "suite": "interactive",
                "licence": "none",
                "source": "the user",
                "summary": "Asked in a notebook.",
                "environment": {"name": environment},
            }
        )
        super().__init__(Path(), task)
        self.text = text

    def instruction(self, variant: dict[str, str]) -> str:  # noqa: ARG002 - there is only one
        """Return what the person asked."""
        return self.text

    def solution(self) -> list[str]:
        """Nobody knows the solution."""
        raise TaskError("a question has no reference solution for the oracle to play", hint="choose another model")

    def hash(self) -> str:
        """Return the hash of the question."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder's contents into another, without a byte being copied where the file system can share them (copy-on-write).

    Links stay links.

    Raises
    ------
    TaskError
        If it cannot be copied.
    HostError
        If this machine has no room for it.
    """
    target.mkdir(parents=True, exist_ok=True)
    command = ["/bin/cp", "-dR", "--preserve=mode,timestamps", "--reflink=auto", "--no-target-directory", "--", str(source), str(target)]
    try:
        subprocess.run(command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        said = f"{source} cannot be copied: {error.stderr.strip()[-500:]}"
        if remedy := shortage(error):
            raise HostError(said, hint=remedy) from error
        raise TaskError(said) from error
