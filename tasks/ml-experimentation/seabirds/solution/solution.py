# %%
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

print(Path("cluster.py").read_text())
birds = pd.read_csv("birds.csv")
measured = birds.columns.drop(["id", "sex"])
print(birds.describe().T.round(1))
print(birds.groupby("sex")[measured].mean().round(1))

# %%
# Grams outweigh millimetres in the starter, so all are to be put on one scale. K-means also takes groups for round, and these are not:
# within a species the measurements go together. A mixture of normal distributions allows for that, and its BIC tells how many there are.
X = StandardScaler().fit_transform(birds[measured])
print(pd.DataFrame(X, columns=measured).corr().round(2))
fits = {}
for form in ("full", "tied", "diag"):
    for count in range(1, 8):
        fits[form, count] = GaussianMixture(count, covariance_type=form, n_init=10, random_state=0).fit(X)
bic = pd.Series({key: fit.bic(X) for key, fit in fits.items()}).unstack()
print(bic.round(0).T)

# %%
# Is a group one sex of a species rather than a species? Then it would hold hardly any birds of the other.
groups = fits["full", bic.loc["full"].idxmin()].predict(X)
print(pd.crosstab(groups, birds["sex"]))
print(birds.groupby(groups)[measured].agg(["mean", "std"]).round(1).T)

# %%
pd.DataFrame({"id": birds["id"], "group": groups}).to_csv("submission.csv", index=False)
print(np.bincount(groups))
