"""Write expected.json from the wheel's table: ``python make_expected.py penguins-raw.csv``.

For each question the estimate, and every p-value and interval of a method that suits the design.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

SEED = 1


def welch(first: np.ndarray, second: np.ndarray) -> tuple[float, list[float]]:
    test = stats.ttest_ind(first, second, equal_var=False)
    return test.pvalue, list(test.confidence_interval())


def diet(birds: pd.DataFrame) -> dict:
    mates = birds[birds["kind"] == "Gentoo"].pivot(index="nest", columns="Sex", values="Delta 15 N (o/oo)").dropna()
    difference = mates["MALE"] - mates["FEMALE"]
    paired = stats.ttest_rel(mates["MALE"], mates["FEMALE"])
    return {
        "p_values": [paired.pvalue, stats.wilcoxon(difference).pvalue],
        "estimate": difference.mean(),
        "intervals": [list(paired.confidence_interval())],
    }


def clutches(birds: pd.DataFrame) -> dict:
    nests = birds.drop_duplicates("nest")
    table = pd.crosstab(nests["kind"], nests["Clutch Completion"]).loc[["Chinstrap", "Gentoo"], ["No", "Yes"]].to_numpy()
    counts, totals = table[:, 0], table.sum(axis=1)
    tests = [stats.fisher_exact(table), stats.barnard_exact(table.T), stats.boschloo_exact(table.T)]
    return {
        "p_values": [test.pvalue for test in tests],
        "estimate": counts[0] / totals[0] - counts[1] / totals[1],
        "intervals": [
            list(confint_proportions_2indep(counts[0], totals[0], counts[1], totals[1], compare="diff", method=method))
            for method in ("newcomb", "agresti-caffo", "score")
        ],
    }


def bills(birds: pd.DataFrame) -> dict:
    sizes = birds.loc[birds["Sex"] == "FEMALE", ["kind", "Culmen Length (mm)", "Culmen Depth (mm)"]].dropna()
    within = sizes.drop(columns="kind") - sizes.groupby("kind").transform("mean")
    n, given = len(within), sizes["kind"].nunique() - 1
    r = within.corr().iloc[0, 1]
    t = r * np.sqrt((n - 2 - given) / (1 - r**2))
    half = stats.norm.ppf(0.975) / np.sqrt(n - 3 - given)
    return {
        "p_values": [2 * stats.t.sf(abs(t), n - 2 - given)],
        "estimate": r,
        "intervals": [[np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)]],
    }


def lengths(birds: pd.DataFrame) -> dict:
    females = birds[birds["Sex"] == "FEMALE"].groupby("kind")["Culmen Length (mm)"]
    first, second = (females.get_group(kind).dropna() for kind in ("Chinstrap", "Gentoo"))
    p_value, interval = welch(first, second)
    return {"p_values": [p_value], "estimate": first.mean() - second.mean(), "intervals": [interval]}


def standardised(first: np.ndarray, second: np.ndarray) -> float:
    n, m = len(first), len(second)
    pooled = np.sqrt(((n - 1) * first.var(ddof=1) + (m - 1) * second.var(ddof=1)) / (n + m - 2))
    return (first.mean() - second.mean()) / pooled


def seasons(birds: pd.DataFrame) -> dict:
    females = birds[(birds["Sex"] == "FEMALE") & (birds["kind"] == "Adelie")].groupby("studyName")["Culmen Depth (mm)"]
    first, second = (females.get_group(season).dropna().to_numpy() for season in ("PAL0910", "PAL0708"))
    n, m = len(first), len(second)
    correction, scale = 1 - 3 / (4 * (n + m) - 9), np.sqrt(n * m / (n + m))
    d = standardised(first, second)
    g = correction * d
    half = stats.norm.ppf(0.975) * np.sqrt(1 / scale**2 + g**2 / (2 * (n + m)))
    exact = [correction * limit / scale for limit in noncentral(d * scale, n + m - 2)]
    random = np.random.default_rng(SEED)
    draws = [correction * standardised(random.choice(first, n), random.choice(second, m)) for _ in range(20_000)]
    return {
        "p_values": [welch(first, second)[0]],
        "estimate": g,
        "intervals": [[g - half, g + half], exact, list(np.quantile(draws, [0.025, 0.975]))],
    }


def noncentral(t: float, freedom: int) -> list[float]:
    """Return the noncentralities at which ``t`` is the upper and the lower 2.5 % point."""
    grid = np.linspace(t - 5, t + 5, 20_001)
    below = stats.nct.cdf(t, freedom, grid)
    return [float(grid[np.argmin(abs(below - share))]) for share in (0.975, 0.025)]


def islands(birds: pd.DataFrame) -> dict:
    females = birds[(birds["Sex"] == "FEMALE") & (birds["kind"] == "Adelie")].groupby("Island")["Body Mass (g)"]
    first, second = (females.get_group(island).dropna() for island in ("Torgersen", "Dream"))
    above = stats.ttest_ind(first + 150, second, equal_var=False, alternative="greater")
    below = stats.ttest_ind(first - 150, second, equal_var=False, alternative="less")
    interval = welch(first, second)[1]
    return {"p_values": [max(above.pvalue, below.pvalue)], "estimate": first.mean() - second.mean(), "intervals": [interval]}


def main(path: str) -> None:
    birds = pd.read_csv(path)
    birds["kind"] = birds["Species"].str.split().str[0]
    birds["nest"] = birds["studyName"] + birds["kind"] + birds["Individual ID"].str.split("A").str[0]
    # An unsexed bird has no place in a pair of a male and a female.
    sexed = birds.dropna(subset=["Sex"])
    questions = {
        "diet": diet(sexed),
        "clutches": clutches(birds),
        "bills": bills(birds),
        "lengths": lengths(birds),
        "seasons": seasons(birds),
        "islands": islands(birds),
    }
    stand = multipletests([answer["p_values"][0] for answer in questions.values()], method="holm")[0]
    expected = {"questions": questions, "significant": [name for name, stands in zip(questions, stand, strict=True) if stands]}
    text = json.dumps(expected, indent=2, default=float) + "\n"
    (Path(__file__).parent / "expected.json").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1])
