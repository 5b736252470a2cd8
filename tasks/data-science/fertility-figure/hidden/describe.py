"""Draw tables with the submitted script and print what matplotlib then holds; runs confined, together with that script."""

import json
import math
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle


def plain(values) -> list:
    return [float(value) if math.isfinite(value) else None for value in values]


def describe(axes) -> dict:
    legend = axes.get_legend()
    entries = zip(legend.get_texts(), legend.legend_handles, strict=True) if legend else []
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    segments = [part for made in axes.collections if isinstance(made, LineCollection) for part in made.get_segments() if len(part)]
    lines = [(line.get_xdata(orig=False), line.get_ydata(orig=False), line) for line in axes.lines]
    return {
        "lines": [[plain(x), plain(y), to_hex(line.get_color()), line.get_linestyle()] for x, y, line in lines],
        "bars": [plain([bar.get_x(), bar.get_width(), bar.get_y() + bar.get_height() / 2, bar.get_height()]) for bar in bars],
        "spans": [plain([*part[0], *part[-1]]) for part in segments],
        "legend": [[text.get_text(), to_hex(handle.get_color()) if isinstance(handle, Line2D) else ""] for text, handle in entries],
        "ticks": [[float(at), label.get_text()] for at, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)],
        "limits": [plain(axes.get_xlim()), plain(axes.get_ylim())],
        "texts": [axes.get_xscale(), axes.get_yscale(), axes.get_xlabel(), axes.get_ylabel()],
    }


def main(tables) -> None:
    from figure import make

    found = []
    for number, text in enumerate(tables):
        Path(f"given{number}.csv").write_text(text)
        figure = make(f"given{number}.csv")
        figure.canvas.draw()
        found.append([describe(axes) for axes in sorted(figure.axes, key=lambda axes: axes.get_position().x0)])
    print()
    print(json.dumps(found))
