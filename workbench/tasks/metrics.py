"""Metrics: the numbers a grader gives, and when they count as solved."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator


class Table(BaseModel):
    """A table of the task file: no unknown field, and no change once it is read."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


class Baseline(Table):
    """What the starting point scores."""

    value: float
    source: str
    """Where the number comes from: a paper, or the command that measured it."""


class Success(Table):
    """When a metric counts as solved."""

    rule: Literal["eq", "ge", "gt", "le", "lt", "relative_improvement_gt"]
    value: float


class Metric(Table):
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
