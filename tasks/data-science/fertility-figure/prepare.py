"""Make tables of births per woman: one for the agent, three for the grader, with gaps where values were left out."""

from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.datasets import fertility

SEED = 730_915_248
SHOWN = ["Peru", "Niger", "Japan", "Ireland", "Iran, Islamic Rep.", "Thailand", "Kenya"]
HIDDEN = [
    (["Brazil", "Sweden", "Mali", "Korea, Rep.", "Turkey"], 1960, 2011),
    (["Bangladesh", "France", "Chad", "Mexico", "Poland", "Vietnam", "Yemen, Rep.", "Australia", "Ghana"], 1963, 2006),
    (["Tunisia", "Italy", "Uganda"], 1966, 2011),
]


def table(countries: list[str], first: int, last: int, random: np.random.RandomState) -> pd.DataFrame:
    """Return one row a country and year in no order, with a gap in each country, some of which reach its first or last year."""
    data = fertility.load_pandas().data.set_index("Country Name")
    years = range(first, last + 1)
    wide = data.loc[countries, [str(year) for year in years]].set_axis(years, axis=1)
    assert wide.notna().all(axis=None)
    for country in countries:
        start = random.randint(first - 4, last - 2)
        wide.loc[country, start : start + random.randint(4, 12)] = np.nan
    # A decade in which only one country counts.
    decade = range(first, first // 10 * 10 + 10)
    wide.loc[countries[1:], decade] = np.nan
    wide.loc[countries[0], decade] = data.loc[countries[0], [str(year) for year in decade]].to_numpy()
    # A year that no row has.
    nowhere = first + 21
    wide[nowhere] = np.nan
    long = wide.rename_axis("country").reset_index().melt("country", var_name="year", value_name="births")
    # Of the missing values, half have an empty field and half no row; the first and the last year stay.
    absent = long["births"].isna() & (random.rand(len(long)) < 0.5) & ~long["year"].isin([first, last])
    absent |= long["year"] == nowhere
    return long[~absent].iloc[random.permutation((~absent).sum())]


def main() -> None:
    random = np.random.RandomState(SEED)
    workspace, hidden = Path("workspace"), Path("hidden")
    workspace.mkdir(exist_ok=True)
    hidden.mkdir(exist_ok=True)
    table(SHOWN, 1960, 2011, random).to_csv(workspace / "fertility.csv", index=False)
    for number, (countries, first, last) in enumerate(HIDDEN):
        table(countries, first, last, random).to_csv(hidden / f"table{number}.csv", index=False)


if __name__ == "__main__":
    main()
