"""The results of a benchmark: repeated measurements of workbench and of a baseline, and their ratio."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from pydantic import BaseModel


class Comparison(BaseModel):
    """One of our figures and the baseline's, measured in turns in the same run.

    Attributes
    ----------
    name : str
        What was measured.
    unit : str
        Of the measurements: ``s``, ``MiB`` ...
    baseline : list of float
        The other's, never empty.
    ours : list of float
        Workbench's, never empty.
    target : str
        What was promised of the ratio.
    """

    name: str
    unit: str
    baseline_name: str
    baseline: list[float]
    ours: list[float]
    target: str = ""

    @property
    def ratio(self) -> float:
        """How many times the baseline's median is ours.

        Examples
        --------
        >>> Comparison(name="x", unit="s", baseline_name="y", baseline=[10, 12, 11], ours=[1, 2, 1.1]).ratio
        10.0
        """
        return statistics.median(self.baseline) / statistics.median(self.ours)


def figure(value: float) -> str:
    """Return a number with three digits, or all of those before the point.

    Examples
    --------
    >>> figure(2.3456), figure(1470.2)
    ('2.35', '1,470')
    """
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def spread(values: Sequence[float], unit: str) -> str:
    """Return a median with the smallest and the largest.

    Examples
    --------
    >>> spread([0.012, 0.010, 0.030], "s")
    '12 ms (10 to 30)'
    >>> spread([120.0], "MiB")
    '120 MiB'
    >>> spread([1470.2, 1500.0], "MiB")
    '1,485 MiB (1,470 to 1,500)'
    """
    if unit == "s" and statistics.median(values) < 1:
        values, unit = [value * 1000 for value in values], "ms"
    middle, low, high = (figure(each) for each in (statistics.median(values), min(values), max(values)))
    return f"{middle} {unit}" + (f" ({low} to {high})" if len(values) > 1 else "")


def table(comparisons: Sequence[Comparison]) -> str:
    """Return the comparisons as a Markdown table."""
    lines = ["| what | workbench | baseline | ratio | promised at least |", "| --- | --- | --- | --- | --- |"]
    for each in comparisons:
        ratio = f"{figure(each.ratio)}x" if each.ratio >= 1 else f"1/{figure(1 / each.ratio)}"
        baseline = f"{spread(each.baseline, each.unit)}, {each.baseline_name}"
        lines.append(f"| {each.name} | {spread(each.ours, each.unit)} | {baseline} | {ratio} | {each.target} |")
    return "\n".join(lines)
