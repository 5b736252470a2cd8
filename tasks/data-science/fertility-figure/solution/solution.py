# %%
import pandas as pd

table = pd.read_csv("fertility.csv")
print(table.head(), table["births"].isna().sum(), "empty of", len(table))
print(table.groupby("country")["year"].agg(["min", "max", "count"]))
print(table.duplicated(["country", "year"]).sum(), "duplicates")

# %%
script = '''"""Births per woman by country, and their mean by decade."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

REPLACEMENT = 2.1
FEWEST = 5


def draw_countries(axes, wide):
    years = wide.index
    last = wide.apply(lambda values: values.dropna().iloc[-1])
    for country in last.sort_values(ascending=False).index:
        axes.plot(years, wide[country], label=f"{country} ({last[country]:.1f})")
    axes.axhline(REPLACEMENT, color="black", linestyle="--", label=f"replacement ({REPLACEMENT})")
    axes.set(yscale="log", xlabel="Year", ylabel="Births per woman", xlim=(years[0], years[-1]))
    axes.legend(fontsize="small")


def draw_decades(axes, wide):
    decade = wide.index // 10 * 10
    means = wide.groupby(decade).mean().where(wide.groupby(decade).count() >= FEWEST)
    counts = means.count(axis=1)
    means, counts = means[counts > 0], counts[counts > 0]
    # one country alone has no standard deviation, so that its half-width is NaN: no error bar
    half = stats.t.ppf(0.975, (counts - 1).clip(lower=1)) * means.std(axis=1) / np.sqrt(counts)
    labels = [f"{start}s (n={count})" for start, count in counts.items()]
    axes.barh(labels, means.mean(axis=1), xerr=half, capsize=3)
    axes.invert_yaxis()
    axes.set(xlabel="Mean births per woman (95% CI)")


def make(path):
    table = pd.read_csv(path)
    years = range(table["year"].min(), table["year"].max() + 1)
    wide = table.pivot(index="year", columns="country", values="births").reindex(years)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    draw_countries(left, wide)
    draw_decades(right, wide)
    return figure
'''
with open("figure.py", "w") as file:
    file.write(script)

# %%
from figure import make  # noqa: E402

make("fertility.csv")

# %%
# What does it hold? And a table with one country, a short decade and a gap at the end.
small = table[(table["year"] > 1964) & (table["country"] == table["country"].iloc[0])].copy()
small.loc[small["year"] > 2003, "births"] = float("nan")
small.to_csv("small.csv", index=False)
for path in ("fertility.csv", "small.csv"):
    left, right = make(path).axes
    print([text.get_text() for text in left.get_legend().get_texts()], left.get_xlim())
    print([text.get_text() for text in right.get_yticklabels()], [round(bar.get_width(), 2) for bar in right.patches])
