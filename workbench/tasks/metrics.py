"""Metrics: the numbers a grader gives, and when they count as solved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_NOTHING: Mapping[str, float] = MappingProxyType({})


class Table(BaseModel):
    """A table of the task file: no unknown field, and no change once it is read."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


class Baseline(Table):
    """What the starting point scores."""

    value: float | None = None
    source: str = ""
    """Where the number comes from: a paper, or the command that measured it."""
    measure: Literal["untouched"] | None = None
    """Instead of a value: what the untouched workspace scores, measured once per machine and version of the task."""

    @model_validator(mode="after")
    def _is_given_or_measured(self) -> Self:
        if (self.value is None) == (self.measure is None):
            raise ValueError("a baseline has either a value or measure = 'untouched'")
        if self.value is not None and not (math.isfinite(self.value) and self.source):
            raise ValueError("the value of a baseline must be a finite number with a source")
        return self


class Success(Table):
    """When a metric counts as solved."""

    rule: Literal["eq", "ge", "gt", "le", "lt", "relative_improvement_gt"]
    value: float


class Metric(Table):
    """One number the grader gives."""

    name: str
    primary: bool = False
    by: Literal["program", "judge"] = "program"
    """Who gives it: a program, or a model that the grader asks."""
    direction: Literal["min", "max"] = "max"
    range: tuple[float, float] = (-math.inf, math.inf)
    invalid: float | None = None
    """What an invalid submission scores."""
    baseline: Baseline | None = None
    success: Success | None = None
    normalise: Literal["identity", "baseline_to_one"] = "identity"
    best: float | None = None
    """The value that normalises to 1 under ``baseline_to_one``."""
    noise: float = Field(default=0.0, ge=0)
    """Largest difference between two gradings of one submission, relative to the larger; more than 0 where it measures time or asks."""

    @model_validator(mode="after")
    def _rules_have_what_they_compare_with(self) -> Self:
        low, high = self.range
        if not low < high:
            raise ValueError(f"metric {self.name!r}: range [{low}, {high}] holds no number")
        if self.success is not None and not math.isfinite(self.success.value):
            raise ValueError(f"metric {self.name!r}: the value of success must be a finite number")
        relative = self.success is not None and self.success.rule == "relative_improvement_gt"
        if relative and self.baseline is None:
            raise ValueError(f"metric {self.name!r}: relative_improvement_gt needs a baseline")
        if relative and self.baseline is not None and self.baseline.value == 0:
            raise ValueError(f"metric {self.name!r}: relative_improvement_gt needs a baseline other than 0")
        if self.by == "judge" and self.baseline is not None and self.baseline.measure is not None:
            raise ValueError(f"metric {self.name!r}: what a judge says of the untouched workspace is not measured; give a value")
        if self.normalise == "baseline_to_one" and (self.baseline is None or self.best is None):
            raise ValueError(f"metric {self.name!r}: baseline_to_one needs a baseline and best")
        if self.normalise == "baseline_to_one" and self.baseline is not None and self.best == self.baseline.value:
            raise ValueError(f"metric {self.name!r}: best must differ from the baseline")
        return self

    def starting_point(self, measured: Mapping[str, float]) -> float | None:
        """Return what the starting point scores, by the task file or as ``measured`` here; None where nobody knows."""
        if self.baseline is None:
            return None
        return measured.get(self.name) if self.baseline.value is None else self.baseline.value

    def improvement(self, value: float, measured: Mapping[str, float] = _NOTHING) -> float:
        """Return how much better than the baseline ``value`` is, relative to the baseline; 0.1 is 10 per cent."""
        baseline = self.starting_point(measured)
        if baseline is None:
            return math.nan
        gain = baseline - value if self.direction == "min" else value - baseline
        return gain / abs(baseline) if baseline else math.copysign(math.inf, gain) if gain else 0.0

    def succeeds(self, value: float, measured: Mapping[str, float] = _NOTHING) -> bool | None:
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
                return self.improvement(value, measured) > bound

    def normalised(self, value: float, measured: Mapping[str, float] = _NOTHING) -> float | None:
        """Return ``value`` on the task's own scale; under ``baseline_to_one`` the baseline is 0 and ``best`` is 1."""
        if self.normalise == "identity":
            return value
        assert self.best is not None
        baseline = self.starting_point(measured)
        if baseline is None or baseline == self.best:
            return None
        return (value - baseline) / (self.best - baseline)
