"""The outcome of a run: gathered from its events while it goes on."""

from __future__ import annotations

from workbench.agents.base import Spent
from workbench.errors import Failure, classify
from workbench.events import Branched, Event, KernelStarted, RunFinished, RunStatus, Scored
from workbench.planning import Plan
from workbench.result import RunResult, Score


class Outcome:
    """What a run has come to so far.

    Parameters
    ----------
    given : Plan
        What it is to be.
    run_id : str
        Its id.
    """

    def __init__(self, given: Plan, run_id: str) -> None:
        self.given, self.run_id = given, run_id
        # only reaching the end of the work changes this
        self.status: RunStatus = "error"
        self.limit: str | None = None
        self.error: Failure | None = None
        self.answer: str | None = None
        self.seconds = 0.0
        self.spent = Spent()
        self.walls: list[str] = []
        self.missing: list[str] = []
        self.branched: Branched | None = None
        self.scored: Scored | None = None

    def take(self, event: Event) -> None:
        """Note what ``event`` says of the result."""
        if isinstance(event, KernelStarted):
            self.walls, self.missing = event.walls, event.missing
        elif isinstance(event, Branched):
            self.branched = event
        elif isinstance(event, Scored):
            self.scored = event

    def fail(self, error: BaseException) -> None:
        """Note that ``error`` ended the run; a run that failed for a reason that is not the agent's has no score."""
        self.status, self.error = "error", classify(error)
        self.limit = self.scored = None

    def forget(self) -> None:
        """Drop the agent's answer and usage, which cannot be recorded."""
        self.answer, self.spent = None, Spent()

    def interrupt(self) -> None:
        """Note that the user ended the run."""
        self.status, self.error = "interrupted", Failure(kind="user", message="the run was interrupted")
        self.limit = self.scored = None

    def finished(self) -> RunFinished:
        """Return the run's last event."""
        return RunFinished(
            status=self.status,
            limit=self.limit,
            error=self.error,
            success=self.scored.success if self.scored else None,
            answer=self.answer,
            steps=self.spent.finished,
            tokens=self.spent.tokens,
            cost_usd=self.spent.cost_usd,
            seconds=self.seconds,
        )

    def public(self) -> RunResult:
        """Return what the caller gets."""
        metrics = self.scored.metrics if self.scored else []
        primary = next((metric for metric in metrics if metric.primary), None)
        given, branched = self.given, self.branched
        return RunResult(
            run_id=self.run_id,
            task=given.task.id,
            variant=given.variant,
            agent=given.agent.name,
            model=given.model.name,
            sandbox=given.sandbox,
            status=self.status,
            limit=self.limit,
            error=self.error,
            success=self.scored.success if self.scored else None,
            score=Score(metric=primary.metric, value=primary.value, normalised=primary.normalised) if primary else None,
            metrics=metrics,
            judgements=self.scored.judgements if self.scored else [],
            invalid=self.scored.invalid if self.scored else None,
            answer=self.answer,
            steps=self.spent.finished,
            tokens=self.spent.tokens,
            cost_usd=self.spent.cost_usd,
            seconds=self.seconds,
            walls=self.walls,
            missing_walls=self.missing,
            parent_run=given.origin.run_id if given.origin else None,
            parent_step=given.origin.step if given.origin else None,
            branched_by=branched.branched_by if branched else None,
            diverged_steps=branched.diverged_steps if branched else [],
            store=str(given.store.path),
        )
