# %%
import json

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

birds = pd.read_csv("penguins-raw.csv")
birds["kind"] = birds["Species"].str.split().str[0]
birds["nest"] = birds["studyName"] + " " + birds["kind"] + " " + birds["Individual ID"].str.extract(r"^(N\d+)A", expand=False)
print(birds.isna().sum().loc[lambda count: count > 0])
print(
    "birds a nest:",
    birds.groupby("nest").size().value_counts().to_dict(),
    "clutch differs:",
    birds.groupby("nest")["Clutch Completion"].nunique().max(),
)
answer = {}

# %%
# diet: mates share a nest and perhaps their food, so compare within the nest.
isotopes = birds[(birds["kind"] == "Gentoo") & birds["Sex"].notna()].pivot(index="nest", columns="Sex", values="Delta 15 N (o/oo)").dropna()
paired = stats.ttest_rel(isotopes["MALE"], isotopes["FEMALE"])
low, high = paired.confidence_interval()
print(len(isotopes), "nests, correlation of mates", isotopes.corr().iloc[0, 1], paired)
answer["diet"] = {"p_value": paired.pvalue, "estimate": (isotopes["MALE"] - isotopes["FEMALE"]).mean(), "ci_low": low, "ci_high": high}

# %%
# clutches: both mates carry the nest's value, so a nest counts once.
nests = birds.drop_duplicates("nest")
table = pd.crosstab(nests["kind"], nests["Clutch Completion"]).loc[["Chinstrap", "Gentoo"], ["No", "Yes"]]
print(table)
(a, b), (c, d) = table.to_numpy()
low, high = confint_proportions_2indep(a, a + b, c, c + d, compare="diff", method="newcomb")
answer["clutches"] = {"p_value": stats.fisher_exact(table).pvalue, "estimate": a / (a + b) - c / (c + d), "ci_low": low, "ci_high": high}

# %%
# bills: over all species the sign is another one, since species differ in both. Females only, so that a nest counts once.
females = birds[birds["Sex"] == "FEMALE"]
sizes = females[["kind", "Culmen Length (mm)", "Culmen Depth (mm)"]].dropna()
within = sizes.drop(columns="kind") - sizes.groupby("kind").transform("mean")
r, freedom = within.corr().iloc[0, 1], len(sizes) - 2 - 2
half = stats.norm.ppf(0.975) / np.sqrt(freedom - 1)
print("pooled", sizes.corr(numeric_only=True).iloc[0, 1], "within species", r)
answer["bills"] = {
    "p_value": 2 * stats.t.sf(abs(r) * np.sqrt(freedom / (1 - r**2)), freedom),
    "estimate": r,
    "ci_low": np.tanh(np.arctanh(r) - half),
    "ci_high": np.tanh(np.arctanh(r) + half),
}


# %%
# The other three compare two groups of females, whose spreads differ: Welch.
def compared(first, second):
    print(first.describe().round(2).to_dict(), second.describe().round(2).to_dict(), sep="\n")
    test = stats.ttest_ind(first, second, equal_var=False)
    low, high = test.confidence_interval()
    return {"p_value": test.pvalue, "estimate": first.mean() - second.mean(), "ci_low": low, "ci_high": high}


lengths = females.groupby("kind")["Culmen Length (mm)"]
answer["lengths"] = compared(lengths.get_group("Chinstrap").dropna(), lengths.get_group("Gentoo").dropna())

adelies = females[females["kind"] == "Adelie"]
depths = adelies.groupby("studyName")["Culmen Depth (mm)"]
late, early = depths.get_group("PAL0910").dropna(), depths.get_group("PAL0708").dropna()
n, m = len(late), len(early)
pooled = np.sqrt(((n - 1) * late.var() + (m - 1) * early.var()) / (n + m - 2))
g = (1 - 3 / (4 * (n + m) - 9)) * (late.mean() - early.mean()) / pooled
half = 1.96 * np.sqrt((n + m) / (n * m) + g**2 / (2 * (n + m)))
answer["seasons"] = {**compared(late, early), "estimate": g, "ci_low": g - half, "ci_high": g + half}

# %%
# islands: that a difference is not significant does not show that there is none. Two one-sided tests do.
masses = adelies.groupby("Island")["Body Mass (g)"]
torgersen, dream = masses.get_group("Torgersen").dropna(), masses.get_group("Dream").dropna()
above = stats.ttest_ind(torgersen + 150, dream, equal_var=False, alternative="greater")
below = stats.ttest_ind(torgersen - 150, dream, equal_var=False, alternative="less")
answer["islands"] = {**compared(torgersen, dream), "p_value": max(above.pvalue, below.pvalue)}

# %%
names = list(answer)
stands, corrected, *_ = multipletests([answer[name]["p_value"] for name in names], method="holm")
print(pd.DataFrame(answer).T.assign(holm=corrected, stands=stands).round(4))
answer["significant"] = [name for name, holds in zip(names, stands, strict=True) if holds]
with open("answer.json", "w") as file:
    json.dump(answer, file, indent=2, default=float)
