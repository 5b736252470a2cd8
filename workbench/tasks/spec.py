"""The task file, schema version 1: what ``task.toml`` may say."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from workbench.errors import TaskError, UsageError
from workbench.kernels.limits import parse_size


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not path or "\0" in path:
        raise ValueError(f"{path!r} must be a relative path without '..'")
    return path


Inside = Annotated[str, AfterValidator(_inside)]
"""A relative path that stays inside its folder."""


def _size(text: str) -> str:
    try:
        parse_size(text)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return text


Size = Annotated[str, AfterValidator(_size)]
"""A size in bytes, with K, M, G or T."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


class Prompt(_Table):
    """The instruction and its variants; variant axes form a product."""

    axes: dict[str, list[str]] = Field(default_factory=dict)
    default: dict[str, str] = Field(default_factory=dict)
    file: Inside = "instruction.md"
    files: dict[str, Inside] = Field(default_factory=dict)
    """For a variant, another instruction file: the key is ``axis=value``, joined by commas for several axes."""

    @model_validator(mode="after")
    def _default_is_on_the_axes(self) -> Self:
        for axis, values in self.axes.items():
            if not values:
                raise ValueError(f"axis {axis!r} has no values")
            if len(set(values)) != len(values):
                raise ValueError(f"axis {axis!r} has a value twice")
            if self.default.get(axis, values[0]) not in values:
                raise ValueError(f"default {axis} = {self.default[axis]!r} is not one of {', '.join(values)}")
        if unknown := set(self.default) - set(self.axes):
            raise ValueError(f"default names an unknown axis: {', '.join(sorted(unknown))}")
        known = {",".join(map("=".join, zip(self.axes, values, strict=True))) for values in itertools.product(*self.axes.values())}
        if unknown := set(self.files) - known:
            raise ValueError(f"files names {', '.join(sorted(unknown))}, where the variants are {', '.join(sorted(known - {''}))}")
        return self


class Copy(_Table):
    """Files that are put into the workspace."""

    source: str = Field(alias="from")
    """A path relative to the task folder, or ``pypi:NAME==VERSION`` for the contents of a wheel."""
    to: str = "."
    sha256: str = ""
    """Of the wheel; required with ``pypi:``."""
    subdir: Inside | None = None
    """Take only this folder of the wheel."""

    @model_validator(mode="after")
    def _packages_are_pinned(self) -> Self:
        if self.source.startswith("pypi:"):
            if "==" not in self.source or not self.sha256:
                raise ValueError(f"{self.source!r} must be pinned: from = 'pypi:NAME==VERSION' and sha256 = '...'")
        else:
            _inside(self.source)
        if self.to != ".":
            _inside(self.to)
        return self


class Workspace(_Table):
    """Everything the agent sees."""

    copy_: list[Copy] = Field(default_factory=list, alias="copy")
    exclude: list[str] = Field(default_factory=list)
    """Glob patterns of files left out."""
    git: bool = False
    """Start from a git repository with one commit."""


class Interaction(_Table):
    """How the agent and the task meet."""

    max_steps: int = Field(default=50, ge=1)
    max_seconds: float = Field(default=3600, gt=0)


class Prepare(_Table):
    """What is made once per machine before the first run."""

    script: Inside | None = None
    """A Python file of the task folder, run in the task's environment behind walls. It writes ``workspace/`` and
    ``hidden/`` in its working directory; both are laid over the task's own."""
    needs: list[Literal["network", "kaggle", "gpu", "judge"]] = Field(default_factory=list)


class EnvironmentNeeds(_Table):
    """The interpreter, packages and limits the kernel has."""

    name: str = "python-ds"
    memory: Size = "2G"
    processes: int = Field(default=128, ge=4)
    cell_seconds: float = Field(default=600, gt=0)
    network: Literal["none"] = "none"
    hide: list[Inside] = Field(default_factory=list)
    """Folders of the environment's site-packages that the agent's kernel does not see."""


class Submission(_Table):
    """What is graded."""

    kind: Literal["tree", "file", "json", "answer"]
    path: Inside | None = None
    """Required for ``file`` and ``json``; for ``tree`` the folder, by default the whole workspace."""
    clear_before_run: list[Inside] = Field(default_factory=list)
    max_bytes: int = Field(default=64 * 2**20, gt=0)
    max_files: int = Field(default=5000, gt=0)

    @model_validator(mode="after")
    def _files_have_a_path(self) -> Self:
        if self.kind in ("file", "json") and self.path is None:
            raise ValueError(f"a submission of kind {self.kind!r} needs a path")
        return self


class Grader(_Table):
    """Who says how good a submission is."""

    kind: Literal["python"] = "python"
    entry: str = "grader.py:grade"
    """``FILE:FUNCTION`` in the hidden folder; see :mod:`workbench.tasks.grading` for the contract."""
    timeout: float = Field(default=300, gt=0)
    """Seconds."""


class Baseline(_Table):
    """What the starting point scores."""

    value: float
    source: str
    """Where the number comes from: a paper, or the command that measured it."""


class Success(_Table):
    """When a metric counts as solved."""

    rule: Literal["eq", "ge", "gt", "le", "lt", "relative_improvement_gt"]
    value: float


class Metric(_Table):
    """One number the grader gives."""

    name: str
    primary: bool = False
    direction: Literal["min", "max"] = "max"
    range: tuple[float, float] = (-math.inf, math.inf)
    invalid: float | None = None
    """What an invalid submission scores."""
    baseline: Baseline | None = None
    success: Success | None = None
    normalise: Literal["identity", "baseline_to_one"] = "identity"
    best: float | None = None
    """The value that normalises to 1 under ``baseline_to_one``."""

    @model_validator(mode="after")
    def _rules_have_what_they_compare_with(self) -> Self:
        low, high = self.range
        if not low < high:
            raise ValueError(f"metric {self.name!r}: range [{low}, {high}] holds no number")
        if self.baseline is not None and not math.isfinite(self.baseline.value):
            raise ValueError(f"metric {self.name!r}: baseline must be a finite number")
        if self.success is not None and not math.isfinite(self.success.value):
            raise ValueError(f"metric {self.name!r}: the value of success must be a finite number")
        relative = self.success is not None and self.success.rule == "relative_improvement_gt"
        if relative and self.baseline is None:
            raise ValueError(f"metric {self.name!r}: relative_improvement_gt needs a baseline")
        if relative and self.baseline is not None and self.baseline.value == 0:
            raise ValueError(f"metric {self.name!r}: relative_improvement_gt needs a baseline other than 0")
        if self.normalise == "baseline_to_one" and (self.baseline is None or self.best is None):
            raise ValueError(f"metric {self.name!r}: baseline_to_one needs a baseline and best")
        if self.normalise == "baseline_to_one" and self.baseline is not None and self.best == self.baseline.value:
            raise ValueError(f"metric {self.name!r}: best must differ from the baseline")
        return self

    def improvement(self, value: float) -> float:
        """Return how much better than the baseline ``value`` is, relative to the baseline; 0.1 is 10 per cent."""
        assert self.baseline is not None
        gain = self.baseline.value - value if self.direction == "min" else value - self.baseline.value
        return gain / abs(self.baseline.value)

    def succeeds(self, value: float) -> bool | None:
        """Say whether ``value`` counts as solved; None where the metric has no success rule."""
        if self.success is None:
            return None
        bound = self.success.value
        match self.success.rule:
            case "eq":
                return value == bound
            case "ge":
                return value >= bound
            case "gt":
                return value > bound
            case "le":
                return value <= bound
            case "lt":
                return value < bound
            case "relative_improvement_gt":
                return self.improvement(value) > bound

    def normalised(self, value: float) -> float:
        """Return ``value`` on the task's own scale; under ``baseline_to_one`` the baseline is 0 and ``best`` is 1."""
        if self.normalise == "identity":
            return value
        assert self.baseline is not None and self.best is not None
        return (value - self.baseline.value) / (self.best - self.baseline.value)


class Task(_Table):
    """A task as its folder describes it.

    Examples
    --------
    >>> task = Task.model_validate({
    ...     "schema": 1, "id": "data-science/mean", "family": "data-science", "suite": "builtin",
    ...     "licence": "CC0-1.0", "source": "made up", "summary": "Report a mean.",
    ...     "submission": {"kind": "answer"},
    ...     "metric": [{"name": "correct", "primary": True, "success": {"rule": "eq", "value": 1}}]})
    >>> task.primary.name
    'correct'
    >>> task.variants
    [{}]
    """

    schema_: Literal[1] = Field(alias="schema")
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)+$")
    family: Literal["ml-experimentation", "data-science", "refactoring", "interactive"]
    suite: str
    licence: str
    source: str
    summary: str
    """One line for listings."""
    prompt: Prompt = Field(default_factory=Prompt)
    workspace: Workspace = Field(default_factory=Workspace)
    interaction: Interaction = Field(default_factory=Interaction)
    prepare: Prepare = Field(default_factory=Prepare)
    environment: EnvironmentNeeds = Field(default_factory=EnvironmentNeeds)
    submission: Submission | None = None
    grader: Grader = Field(default_factory=Grader)
    metrics: list[Metric] = Field(default_factory=list, alias="metric")

    @model_validator(mode="after")
    def _one_metric_is_primary(self) -> Self:
        if self.submission is None:
            if self.metrics:
                raise ValueError("a task with metrics needs a [submission]")
        elif sum(metric.primary for metric in self.metrics) != 1:
            raise ValueError("exactly one [[metric]] must have primary = true")
        elif self.primary.success is None:
            raise ValueError("the primary metric needs a [metric.success]")
        if len({metric.name for metric in self.metrics}) != len(self.metrics):
            raise ValueError("two metrics have the same name")
        return self

    @property
    def primary(self) -> Metric:
        """The metric that decides success."""
        return next(metric for metric in self.metrics if metric.primary)

    @property
    def variants(self) -> list[dict[str, str]]:
        """Every combination of the prompt's axes."""
        axes = self.prompt.axes
        return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]

    def resolve_variant(self, chosen: dict[str, str]) -> dict[str, str]:
        """Return the full variant for ``chosen`` axes; the rest take their default.

        Raises
        ------
        TaskError
            If an axis or a value is unknown.
        """
        for axis, value in chosen.items():
            if axis not in self.prompt.axes:
                known = ", ".join(self.prompt.axes) or "none"
                raise TaskError(f"task {self.id} has no variant axis {axis!r}", hint=f"its axes: {known}")
            if value not in self.prompt.axes[axis]:
                raise TaskError(f"task {self.id} has no {axis} = {value!r}", hint=f"one of: {', '.join(self.prompt.axes[axis])}")
        return {axis: chosen.get(axis, self.prompt.default.get(axis, values[0])) for axis, values in self.prompt.axes.items()}


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
            data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TaskError(f"{path} does not exist", hint="a task is a folder with a task.toml") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise TaskError(f"{path} is not TOML: {error}", hint="docs/tasks.md shows the format") from None
        try:
            return cls(root, Task.model_validate(data))
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'task'}: {item['msg']}" for item in error.errors())
            raise TaskError(f"{path}: {problems}", hint="docs/tasks.md describes every field") from None

    @property
    def hidden(self) -> Path:
        """The folder no agent ever sees."""
        return self.root / "hidden"

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
            cells += [cell.strip() for cell in re.split(r"(?m)^# %%.*$", path.read_text(encoding="utf-8"))]
        return [cell for cell in cells if cell]

    def reference(self) -> tuple[list[str], str | None]:
        """Return the reference solution: its cells, and its answer where the task asks for one.

        Raises
        ------
        TaskError
            If there is none to play.
        """
        cells, answer = self.solution(), self.solution_answer()
        if self.task.submission is not None and self.task.submission.kind == "answer" and answer is None:
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

    def grader_hash(self, environment: str) -> str:
        """Return the hash of what a verdict depends on: hidden files, preparation, the grader's table, the environment."""
        script = self.task.prepare.script
        parts = [tree_hash(self.hidden), self.task.grader.model_dump_json(), environment]
        if script is not None:
            try:
                parts.append(hashlib.sha256((self.root / script).read_bytes()).hexdigest())
            except OSError as error:
                raise TaskError(f"{self.root / script} does not exist or cannot be read: {error.strerror}") from None
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


def tree_hash(root: Path) -> str:
    """Return a SHA-256 over the relative paths and contents below ``root``; caches of Python are passed over."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if path.is_file() and "__pycache__" not in name.parts:
            digest.update(os.fsencode(name) + f"\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
