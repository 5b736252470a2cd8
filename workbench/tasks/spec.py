"""The task file, schema version 1: what ``task.toml`` may say."""

from __future__ import annotations

import itertools
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from workbench.errors import TaskError, UsageError
from workbench.kernels.allowlist import Allowlist
from workbench.kernels.definition import Package
from workbench.kernels.limits import Limits
from workbench.tasks.metrics import Metric, Table

_PINNED = re.compile(r"pypi:[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
NAME = r"[a-z0-9][a-z0-9._-]*"
"""A pattern for each part of a task's id."""


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not path or "\0" in path:
        raise ValueError(f"{path!r} must be a relative path without '..'")
    return path


Inside = Annotated[str, AfterValidator(_inside)]
"""A relative path that stays inside its folder."""


def _below(path: str) -> str:
    if not PurePosixPath(_inside(path)).parts:
        raise ValueError(f"{path!r} is the folder itself")
    return path


Below = Annotated[str, AfterValidator(_below)]
"""A relative path to something inside its folder, not the folder itself."""


def _memory(text: str) -> str:
    try:
        Limits.parse({"memory": text})
    except UsageError as error:
        raise ValueError(str(error)) from None
    return text


def _entry(text: str) -> str:
    file, colon, name = text.partition(":")
    if not colon or not name.isidentifier():
        raise ValueError(f"{text!r} must be FILE:NAME")
    _inside(file)
    return text


def _folder(path: str) -> str:
    parts = PurePosixPath(path)
    if not parts.is_absolute() or ".." in parts.parts or len(parts.parts) < 2 or "\0" in path:
        raise ValueError(f"{path!r} must be an absolute path without '..', for example /data")
    return path


Folder = Annotated[str, AfterValidator(_folder)]
"""An absolute path within a sandbox."""


Entry = Annotated[str, AfterValidator(_entry)]
"""A file of the hidden folder and a name in it."""


Memory = Annotated[str, AfterValidator(_memory)]
"""A size in bytes, with K, M, G or T."""


class Prompt(Table):
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


class Copy(Table):
    """Files that are put into the workspace, or into the hidden folder."""

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
            if not _PINNED.fullmatch(self.source) or not _SHA256.fullmatch(self.sha256):
                raise ValueError(f"{self.source!r} must be pinned: from = 'pypi:NAME==VERSION' and sha256 = '...', 64 digits")
        else:
            _inside(self.source)
        if self.to != ".":
            _inside(self.to)
        return self


class Workspace(Table):
    """Everything the agent sees."""

    copy_: list[Copy] = Field(default_factory=list, alias="copy")
    exclude: list[str] = Field(default_factory=list)
    """Glob patterns of files left out."""
    git: bool = False
    """Start from a git repository with one commit."""


class Interaction(Table):
    """How the agent and the task meet."""

    mode: Literal["workspace", "answer", "tools", "environment"] = "workspace"
    """With ``tools`` and ``environment`` the agent has functions that are called outside its kernel, by a broker."""
    tools: Entry | None = None
    """``FILE:FUNCTION`` in the hidden folder; called once, it returns functions by name."""
    environment: Entry | None = None
    """``FILE:CLASS`` in the hidden folder; made once a run, its public methods are the functions."""
    max_queries: int | None = Field(default=None, ge=1)
    """How often these functions may be called."""
    attempts: int = Field(default=1, ge=1)
    """How many answers may be given; after a wrong one the agent is told that it is wrong, and no more."""
    max_steps: int = Field(default=50, ge=1)
    max_seconds: float = Field(default=3600, gt=0)

    @model_validator(mode="after")
    def _mode_has_what_it_needs(self) -> Self:
        for name in ("tools", "environment"):
            if (getattr(self, name) is not None) != (self.mode == name):
                raise ValueError(f"{name} = 'FILE:NAME' goes with mode = {name!r}, and the other way round")
        if self.max_queries is not None and self.mode not in ("tools", "environment"):
            raise ValueError("max_queries goes with mode = 'tools' or 'environment'")
        return self


class Prepare(Table):
    """What is made once per machine before the first run."""

    script: Inside | None = None
    """A Python file of the task folder, run in the task's environment behind walls. It writes ``workspace/`` and
    ``hidden/`` in its working directory; both are laid over the task's own."""
    needs: list[Literal["network", "kaggle", "gpu", "judge", "files", "image", "cgroup"]] = Field(default_factory=list)
    """What must be there, see :mod:`workbench.tasks.availability`."""
    why: str = ""
    """What is needed, in words, where the list does not say enough."""


class EnvironmentNeeds(Table):
    """The interpreter, packages and limits the kernel has."""

    name: str = "python-ds"
    """Or the path of a folder with an ``environment.toml``, from the task's folder."""
    packages: list[Package] = Field(default_factory=list)
    """What the task needs beside the environment's own."""
    memory: Memory | None = None
    """By default what the environment's definition says."""
    processes: int | None = Field(default=None, ge=4)
    """By default what the environment's definition says."""
    cpus: float | None = Field(default=None, ge=0.01, allow_inf_nan=False)
    """By default what the environment's definition says."""
    cell_seconds: float = Field(default=600, gt=0)
    network: Literal["none"] | list[str] = "none"
    """``none``, or the hosts that the agent's kernel may reach by HTTP and HTTPS."""
    hide: list[Inside] = Field(default_factory=list)
    """Folders of the environment's site-packages that the agent's kernel does not see."""

    @field_validator("network")
    @classmethod
    def _hosts_can_be_read(cls, value: str | list[str]) -> str | list[str]:
        if isinstance(value, list):
            try:
                Allowlist(value)
            except UsageError as error:
                raise ValueError(error.message) from None
        return value


class Submission(Table):
    """What is graded."""

    kind: Literal["tree", "file", "json", "answer", "episode"]
    """An ``episode`` is what was asked of a task's functions, and the answer where one was given."""
    path: Inside | None = None
    """Required for ``file`` and ``json``; for ``tree`` the folder, by default the whole workspace."""
    clear_before_run: list[Below] = Field(default_factory=list)
    """Files and folders of the workspace that are removed before a run."""
    max_bytes: int = Field(default=64 * 2**20, gt=0)
    max_files: int = Field(default=5000, gt=0)

    @model_validator(mode="after")
    def _files_have_a_path(self) -> Self:
        if self.kind in ("file", "json") and self.path is None:
            raise ValueError(f"a submission of kind {self.kind!r} needs a path")
        return self


class Grader(Table):
    """Who says how good a submission is."""

    kind: Literal["python", "unittest", "match", "mcq", "episode", "medal", "judge"] = "python"
    """``python`` is a function of the task's own; the others are ready-made and take ``options``."""
    entry: Entry = "grader.py:grade"
    """For ``python`` and ``medal``, ``FILE:FUNCTION`` in the hidden folder; see :mod:`workbench.tasks.grading` for the contract."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What a ready-made grader is told; see ``workbench_grading``."""
    copy_: list[Copy] = Field(default_factory=list, alias="copy")
    """What is put into the hidden folder besides."""
    folders: list[Folder] = Field(default_factory=list)
    """Empty folders that the grader finds there and may fill."""
    timeout: float = Field(default=300, gt=0)
    """Seconds."""


class Recipe(Table):
    """What the model ``baseline`` plays: a fixed recipe, which knows nothing but its options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    """Where the recipe finds its data and what it predicts."""


class Task(Table):
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
    id: str = Field(pattern=rf"^{NAME}(/{NAME})+$")
    family: Literal["ml-experimentation", "data-science", "refactoring", "interactive"]
    suite: str
    licence: str
    source: str
    summary: str
    """One line for listings."""
    difficulty: Literal["easy", "medium", "hard"] | None = None
    prompt: Prompt = Field(default_factory=Prompt)
    workspace: Workspace = Field(default_factory=Workspace)
    interaction: Interaction = Field(default_factory=Interaction)
    prepare: Prepare = Field(default_factory=Prepare)
    environment: EnvironmentNeeds = Field(default_factory=EnvironmentNeeds)
    submission: Submission | None = None
    grader: Grader = Field(default_factory=Grader)
    recipe: Recipe | None = None
    metrics: list[Metric] = Field(default_factory=list, alias="metric")

    @model_validator(mode="after")
    def _one_metric_is_primary(self) -> Self:
        if self.interaction.attempts > 1 and (self.submission is None or self.submission.kind != "answer"):
            raise ValueError("interaction.attempts goes with a submission of kind 'answer'")
        if self.submission is not None and self.submission.kind == "episode" and self.interaction.mode not in ("tools", "environment"):
            raise ValueError("a submission of kind 'episode' goes with interaction.mode = 'tools' or 'environment'")
        if self.submission is None:
            if self.metrics:
                raise ValueError("a task with metrics needs a [submission]")
        elif sum(metric.primary for metric in self.metrics) != 1:
            raise ValueError("exactly one [[metric]] must have primary = true")
        elif self.primary.success is None:
            raise ValueError("the primary metric needs a [metric.success]")
        elif self.primary.by == "judge" and (better := [each.name for each in self.metrics if each.by == "program" and each.success]):
            raise ValueError(f"a judge's metric is not primary where a program can say what is solved: {', '.join(better)}")
        if self.grader.kind == "judge" and any(metric.by == "program" for metric in self.metrics):
            raise ValueError("the metrics of grader.kind = 'judge' are a judge's: by = 'judge'")
        if len({metric.name for metric in self.metrics}) != len(self.metrics):
            raise ValueError("two metrics have the same name")
        return self

    @property
    def primary(self) -> Metric:
        """The metric that decides success."""
        return next(metric for metric in self.metrics if metric.primary)

    @property
    def needs(self) -> list[str]:
        """What must be there for the task to be run and graded."""
        judged = self.submission is not None and self.primary.by == "judge" and "judge" not in self.prepare.needs
        return [*self.prepare.needs, *(["judge"] if judged else [])]

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
