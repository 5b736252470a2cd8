# %%
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict

print(Path("calibrate.py").read_text())
train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")
scores = [f"score_{digit}" for digit in range(10)]
digits = train["digit"].to_numpy()
print(train.groupby("scanner").size().to_dict(), train[scores].describe().T.round(1))

# %%
# How sure is it, and how often right? And which digits does it see where it is wrong?
said = train[scores].to_numpy().argmax(axis=1)
sure = softmax(train[scores].to_numpy(), axis=1).max(axis=1)
print(pd.DataFrame({"sure": sure, "right": said == digits}).groupby(train["scanner"]).mean())
print(pd.crosstab(train["scanner"], said), pd.crosstab(train["scanner"], digits), sep="\n")

# %%
# What is one temperature for each scanner worth?
for scanner, part in train.groupby("scanner"):

    def loss(temperature, part=part):
        return log_loss(part["digit"], softmax(part[scores].to_numpy() / temperature, axis=1), labels=range(10))

    found = minimize_scalar(loss, bounds=(1, 100), method="bounded")
    print(scanner, "temperature", round(found.x, 1), "log loss", round(found.fun, 3))

# %%
# Not enough: it is not only too sure, it also prefers some digits, and others with another scanner. A multinomial regression on the scores
# can weigh each score anew for each digit. The scanners share weights, and each may differ from them as far as the penalty lets it.
SCALE = 10


def features(table):
    given = table[scores].to_numpy() / SCALE
    of_scanner = [(table["scanner"] == scanner).to_numpy()[:, None] for scanner in "abc"]
    return np.hstack([given, *(given * chosen for chosen in of_scanner), *of_scanner])


folds = StratifiedKFold(5, shuffle=True, random_state=0)
losses = {}
for c in (0.03, 0.1, 0.3):
    model = LogisticRegression(C=c, max_iter=5000)
    losses[c] = log_loss(digits, cross_val_predict(model, features(train), digits, cv=folds, method="predict_proba"))
print(losses)

# %%
# A forest on the scores errs in other places than a linear model, and the mean of two that err apart is better than either.
best = LogisticRegression(C=min(losses, key=losses.get), max_iter=5000)
forest = RandomForestClassifier(500, min_samples_leaf=2, random_state=0)
parts = [cross_val_predict(model, features(train), digits, cv=folds, method="predict_proba") for model in (best, forest)]
print([log_loss(digits, part) for part in parts], "mean of both", log_loss(digits, np.mean(parts, axis=0)))

# %%
probabilities = np.mean([model.fit(features(train), digits).predict_proba(features(test)) for model in (best, forest)], axis=0)
submission = pd.DataFrame(probabilities, columns=[f"p{digit}" for digit in range(10)])
submission.insert(0, "id", test["id"])
submission.to_csv("submission.csv", index=False)
print(submission.describe().T)
