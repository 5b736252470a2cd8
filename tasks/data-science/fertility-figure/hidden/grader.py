"""Have the submitted script draw hidden tables, and compare what matplotlib then holds with what the tables say."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from workbench_grading import Invalid, run_submitted

REPLACEMENT = 2.1
FEWEST = 5
SECONDS = 60
CHECKS = ["lines_ok", "axes_ok", "legend_ok", "bars_ok", "intervals_ok", "ticks_ok"]


@dataclass(frozen=True)
class Line:
    x: list[float]
    y: list[float]
    colour: str
    style: str


@dataclass(frozen=True)
class Bar:
    start: float
    length: float
    middle: float
    height: float


@dataclass(frozen=True)
class Axes:
    lines: list[Line]
    bars: list[Bar]
    spans: list[tuple[float, float]]
    """Ends of the level error bars, as (x, y)."""
    legend: list[tuple[str, str]]
    """Text and colour of each entry."""
    ticks: list[tuple[float, str]]
    """Of the y axis."""
    x_limits: list[float]
    y_limits: list[float]
    x_scale: str
    y_scale: str
    x_label: str
    y_label: str


@dataclass(frozen=True)
class Decade:
    label: str
    mean: float
    half: float
    """Half the interval's length; 0 where there is none."""


@dataclass(frozen=True)
class Expected:
    years: list[int]
    countries: dict[str, list[float]]
    """Values by the text of the legend's entry, in the legend's order; NaN where there is none."""
    decades: list[Decade]


def numbers(values: object) -> list[float]:
    return [math.nan if value is None else float(value) for value in values]


def read(said: dict) -> Axes:
    """Return one axes as described; raises whatever the description's form makes it raise."""
    spans = [numbers(span) for span in said["spans"]]
    x_limits, y_limits = (numbers(limits) for limits in said["limits"])
    return Axes(
        [Line(numbers(x), numbers(y), str(colour), str(style)) for x, y, colour, style in said["lines"]],
        [Bar(*numbers(bar)) for bar in said["bars"]],
        # a bar of no length, or of none that is known, is not seen
        [end for x1, y1, x2, y2 in spans if y1 == y2 and abs(x1 - x2) > 1e-9 for end in ((x1, y1), (x2, y2))],
        [(str(text), str(colour)) for text, colour in said["legend"]],
        [(float(at), str(text)) for at, text in said["ticks"]],
        x_limits,
        y_limits,
        *(str(text) for text in said["texts"]),
    )


def draw(tables: list[Path], program: str, submission: Path) -> list[tuple[Axes, Axes]]:
    """Return the left and the right axes of each table's figure.

    Raises
    ------
    Invalid
        If the script fails, takes too long, or makes something else than figures with two axes.
    """
    texts = [path.read_text(encoding="utf-8") for path in tables]
    done = run_submitted(f"{program}\n\nmain({texts!r})\n", submission=submission, timeout=SECONDS)
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2]
        raise Invalid(f"figure.py failed or took too long (return code {done.returncode}): {last[:500]}")
    try:
        figures = json.loads(done.stdout.rstrip().rpartition("\n")[2])
        found = [[read(axes) for axes in figure] for figure in figures]
        bottoms = [axes.y_limits[1] for figure in found for axes in figure]
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, AttributeError) as error:
        raise Invalid(f"what make() returns can't be described: {type(error).__name__}: {str(error)[:200]}") from None
    if len(found) != len(tables) or any(len(figure) != 2 for figure in found) or not all(map(math.isfinite, bottoms)):
        raise Invalid("a figure must have exactly two axes")
    return [(figure[0], figure[1]) for figure in found]


def expect(path: Path) -> Expected:
    """Return what the figure of one table must hold."""
    table = pd.read_csv(path)
    years = list(range(table["year"].min(), table["year"].max() + 1))
    wide = table.pivot(index="year", columns="country", values="births").reindex(years)
    last = {country: wide[country].dropna().iloc[-1] for country in wide}
    order = sorted(last, key=lambda country: -last[country])
    countries = {f"{country} ({last[country]:.1f})": wide[country].tolist() for country in order}
    decades = []
    for start in range(years[0] // 10 * 10, years[-1] + 1, 10):
        within = wide.loc[start : start + 9]
        means = within.mean()[within.count() >= FEWEST]
        count = len(means)
        if count:
            half = stats.t.ppf(0.975, count - 1) * means.std() / math.sqrt(count) if count > 1 else 0.0
            decades.append(Decade(f"{start}s (n={count})", float(means.mean()), float(half)))
    return Expected(years, countries, decades)


def near(found: object, wanted: object) -> bool:
    found, wanted = np.asarray(found, dtype=float), np.asarray(wanted, dtype=float)
    return found.shape == wanted.shape and bool(np.allclose(found, wanted, rtol=1e-4, atol=1e-9, equal_nan=True))


def check_left(left: Axes, wanted: Expected) -> dict[str, bool]:
    long = [line for line in left.lines if len(line.x) == len(wanted.years) and line.style == "-"]
    matched = {text: [line for line in long if near(line.x, wanted.years) and near(line.y, y)] for text, y in wanted.countries.items()}
    colours = {text: lines[0].colour for text, lines in matched.items() if lines}
    # from end to end: in parts of the axes' width, as axhline has it, or in years
    ends = [(0, 1), (wanted.years[0], wanted.years[-1])]
    dashed = [line for line in left.lines if line.style == "--" and near(line.y, [REPLACEMENT] * 2)]
    entries = [*wanted.countries, f"replacement ({REPLACEMENT})"]
    colours_wanted = [*(colours.get(text) for text in wanted.countries), "#000000"]
    return {
        "lines_ok": len(long) == len(wanted.countries) and all(matched.values()) and len(set(colours.values())) == len(wanted.countries),
        "legend_ok": [text for text, _ in left.legend] == entries and [colour for _, colour in left.legend] == colours_wanted,
        "axes_ok": (left.x_scale, left.y_scale, left.x_label, left.y_label) == ("linear", "log", "Year", "Births per woman")
        and near(left.x_limits, [wanted.years[0], wanted.years[-1]])
        and len(dashed) == 1
        and dashed[0].colour == "#000000"
        and any(near(dashed[0].x, each) for each in ends),
    }


def check_right(right: Axes, wanted: Expected) -> dict[str, bool]:
    bottom, top = right.y_limits
    # from the top of the page downwards
    bars = sorted(right.bars, key=lambda bar: bar.middle, reverse=bottom < top)
    spans = [sorted(span[0] for span in right.spans if abs(span[1] - bar.middle) <= 0.1 * abs(bar.height)) for bar in bars]
    intervals = [[decade.mean - decade.half, decade.mean + decade.half] if decade.half else [] for decade in wanted.decades]
    labels = [[text for at, text in right.ticks if abs(at - bar.middle) <= 0.1 * abs(bar.height)] for bar in bars]
    return {
        "bars_ok": near([bar.start for bar in bars], [0] * len(wanted.decades))
        and near([bar.length for bar in bars], [decade.mean for decade in wanted.decades]),
        "intervals_ok": len(spans) == len(intervals) and all(near(*pair) for pair in zip(spans, intervals, strict=True)),
        "ticks_ok": labels == [[decade.label] for decade in wanted.decades],
        "axes_ok": (right.x_scale, right.x_label) == ("linear", "Mean births per woman (95% CI)"),
    }


def grade(submission: Path, hidden: Path) -> dict:
    tables = sorted(hidden.glob("table*.csv"))
    figures = draw(tables, (hidden / "describe.py").read_text(encoding="utf-8"), submission)
    held = dict.fromkeys(CHECKS, True)
    failed = {}
    for path, (left, right) in zip(tables, figures, strict=True):
        wanted = expect(path)
        ours, theirs = check_left(left, wanted), check_right(right, wanted)
        found = {name: ours.get(name, True) and theirs.get(name, True) for name in CHECKS}
        held = {name: held[name] and found[name] for name in CHECKS}
        failed[path.stem] = [name for name in CHECKS if not found[name]]
    metrics = {name: float(holds) for name, holds in held.items()}
    metrics["score"] = sum(metrics.values()) / len(CHECKS)
    return {"metrics": metrics, "invalid": None, "details": {"failed": failed}}
