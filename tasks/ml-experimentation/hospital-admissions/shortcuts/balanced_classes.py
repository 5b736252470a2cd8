"""Weigh the classes alike with a library's switch and take its labels: the costs of a call and of a miss are not looked at."""

import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")
known = [column for column in test.columns if column != "id"]
model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
call = model.fit(train[known], train["admitted"]).predict(test[known])
pd.DataFrame({"id": test["id"], "call": call}).to_csv("submission.csv", index=False)
