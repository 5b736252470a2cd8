"""A task and the folder it lives in."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from workbench.errors import TaskError, UsageError
from workbench.models import baseline
from workbench.models.base import Model
from workbench.tasks.lines import line_of
from workbench.tasks.spec import Task


class TaskFolder:
    """A task and the folder it lives in: ``task.toml``, ``instruction.md``, ``workspace/``, ``hidden/``, ``solution/``.

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
        path = root / "task.toml"
        try:
            text = path.read_text(encoding="utf-8")
            data: dict[str, Any] = tomllib.loads(text)
        except FileNotFoundError:
            raise TaskError(f"{path} does not exist", hint="a task is a folder with a task.toml") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise TaskError(f"{path} is not TOML: {error}", hint="docs/tasks.md shows the format") from None
        try:
            return cls(root, Task.model_validate(data))
        except ValidationError as error:
            problems = [(".".join(map(str, item["loc"])) or "task", item["msg"], line_of(text, item["loc"])) for item in error.errors()]
            said = "; ".join(f"{field}: {message}" + (f" (line {line})" if line else "") for field, message, line in problems)
            raise TaskError(f"{path}: {said}", hint="docs/tasks.md describes every field") from None

    @property
    def tree(self) -> tuple[Path, str] | None:
        """A folder that is the whole workspace of this task, and perhaps of others, with its hash."""
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
        for part in ("workspace", "hidden"):
            if (self.root / part).is_dir():
                shutil.copytree(self.root / part, making / part, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))

    def instruction(self, variant: dict[str, str]) -> str:
        """Return the instruction of a resolved variant."""
        prompt = self.task.prompt
        chosen = ",".join(f"{axis}={variant[axis]}" for axis in prompt.axes)
        path = self.root / prompt.files.get(chosen, prompt.file)
        try:
            return path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise TaskError(f"{path} does not exist", hint="it is the task's instruction") from None

    def solution(self) -> list[str]:
        """Return the reference solution as code cells: the ``# %%`` cells of ``solution/*.py`` in order of name."""
        cells: list[str] = []
        for path in sorted((self.root / "solution").glob("*.py")):
            cells += baseline.split(path.read_text(encoding="utf-8"))
        return cells

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
        path = self.root / "solution" / "answer.txt"
        return path.read_text(encoding="utf-8").strip() if path.is_file() else None

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
        script = self.preparation
        parts = [tree_hash(self.hidden), self.task.grader.model_dump_json(), environment]
        if script is not None:
            try:
                parts.append(hashlib.sha256(script.read_bytes()).hexdigest())
            except OSError as error:
                raise TaskError(f"{script} does not exist or cannot be read: {error.strerror}") from None
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def hash(self) -> str:
        """Return the content hash of everything in the folder."""
        return tree_hash(self.root)


class Interactive(TaskFolder):
    """A task that a person asks in a notebook: an instruction, an empty workspace, and nobody who grades it.

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
    """
    target.mkdir(parents=True, exist_ok=True)
    command = ["/bin/cp", "-dR", "--preserve=mode,timestamps", "--reflink=auto", "--no-target-directory", "--", str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TaskError(f"{source} cannot be copied: {done.stderr.strip()[-500:]}", hint="is the disk full?")


def tree_hash(root: Path) -> str:
    """Return a SHA-256 over the relative paths and contents below ``root``; caches of Python are passed over."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if path.is_file() and "__pycache__" not in name.parts:
            digest.update(os.fsencode(name) + f"\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
