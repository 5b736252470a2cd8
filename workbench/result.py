"""What a run came to, and how a notebook shows it."""

from __future__ import annotations

import html
from typing import Any

from pydantic import BaseModel, Field

from workbench.errors import Failure
from workbench.events import BranchedBy, Judgement, MetricValue, RunStatus
from workbench.text import line, shown


class Score(BaseModel):
    """The primary metric of a run."""

    metric: str
    value: float | None
    """None where the submission is invalid."""
    normalised: float | None


class RunResult(BaseModel):
    """What a run came to; the record behind it is in the store under ``run_id``.

    Examples
    --------
    >>> RunResult(run_id="r1", task="a/b", variant={}, agent="codeact", model="nop", sandbox="local", status="completed",
    ...           success=False, steps=1, tokens=0, cost_usd=0.0, seconds=0.5, store="workbench.duckdb")
    RunResult(r1: a/b by nop, completed, not solved, 1 step)
    """

    run_id: str
    task: str
    variant: dict[str, str]
    agent: str
    model: str
    sandbox: str
    status: RunStatus
    limit: str | None = None
    """Which limit ended it, with status ``limit``."""
    error: Failure | None = None
    success: bool | None = None
    """None where nothing was graded."""
    score: Score | None = None
    metrics: list[MetricValue] = Field(default_factory=list)
    judgements: list[Judgement] = Field(default_factory=list)
    """What a judge said, where the grader asked one."""
    invalid: str | None = None
    """Why the submission could not be graded."""
    answer: str | None = None
    steps: int
    tokens: int
    cost_usd: float | None
    """None where no price is known."""
    seconds: float
    walls: list[str] = Field(default_factory=list)
    missing_walls: list[str] = Field(default_factory=list)
    parent_run: str | None = None
    """The run this one is a branch of; what it used is what the branch added."""
    parent_step: int | None = None
    """The last step it inherited."""
    branched_by: BranchedBy | None = None
    """How the kernel came to the state the parent's had; None where it did not get there."""
    diverged_steps: list[int] = Field(default_factory=list)
    """Inherited steps that showed something else when their actions were run again."""
    store: str

    @property
    def verdict(self) -> str:
        """``solved``, ``not solved`` or ``not graded``."""
        return "not graded" if self.success is None else "solved" if self.success else "not solved"

    @property
    def judged(self) -> str:
        """The judge, and its number of replies; empty if there was none."""
        replies = len(self.judgements)
        return f"{self.judgements[0].judge}, {replies} repl{'ies' if replies > 1 else 'y'}" if replies else ""

    def __repr__(self) -> str:
        score = f", {self.score.metric} {self.score.value:.4g}" if self.score and self.score.value is not None else ""
        steps = f"{self.steps} step{'s' if self.steps != 1 else ''}"
        return line(f"RunResult({self.run_id}: {self.task} by {self.model}, {self.status}, {self.verdict}{score}, {steps})")

    __str__ = __repr__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Text for terminals, a small table for pages; everything an agent wrote is escaped."""
        rows = {
            "task": self.task + "".join(f" [{axis}: {value}]" for axis, value in self.variant.items()),
            "model": f"{self.model} ({self.agent}, sandbox {self.sandbox})",
            "status": self.status + (f": {self.limit}" if self.limit else ""),
            "verdict": self.verdict + (f" ({self.invalid})" if self.invalid else ""),
            "score": f"{self.score.metric} = {self.score.value:.4g}" if self.score and self.score.value is not None else "",
            "judged by": self.judged,
            "answer": self.answer or "",
            "error": f"{self.error.kind}: {self.error}" if self.error else "",
            "used": f"{self.steps} steps, {self.tokens} tokens, "
            + (f"{self.cost_usd:.4f} USD, " if self.cost_usd is not None else "")
            + f"{self.seconds:.1f} s",
            "run": self.run_id,
            "branch of": f"{self.parent_run}, step {self.parent_step}" if self.parent_run else "",
        }
        left = "text-align:left;vertical-align:top"
        cells = "".join(
            f"<tr><th style='{left}'>{name}</th><td style='{left};white-space:pre-wrap'>{html.escape(shown(value))}</td></tr>"
            for name, value in rows.items()
            if value
        )
        return {"text/plain": repr(self), "text/html": f"<table>{cells}</table>"}
