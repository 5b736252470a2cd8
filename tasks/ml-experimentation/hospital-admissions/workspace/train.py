"""Train a model on train.csv, print its accuracy in cross-validation, and decide about the people of test.csv in submission.csv."""

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline

TARGET = "admitted"


def build_model():
    return make_pipeline(SimpleImputer(), RandomForestClassifier(n_estimators=50, random_state=0))


def main():
    train = pd.read_csv("train.csv")
    test = pd.read_csv("test.csv")
    features = [column for column in test.columns if column != "id"]

    folds = KFold(n_splits=5, shuffle=True, random_state=0)
    scores = cross_val_score(build_model(), train[features], train[TARGET], cv=folds)
    print(f"cross-validation accuracy: {np.mean(scores):.3f}")

    model = build_model().fit(train[features], train[TARGET])
    submission = pd.DataFrame({"id": test["id"], "call": model.predict(test[features])})
    submission.to_csv("submission.csv", index=False)


if __name__ == "__main__":
    main()
