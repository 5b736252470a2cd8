"""Train a model on labelled.csv, print its accuracy in cross-validation, and predict test.csv into submission.csv."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

TARGET = "digit"


def build_model():
    return LogisticRegression(max_iter=1000)


def main():
    train = pd.read_csv("labelled.csv")
    test = pd.read_csv("test.csv")
    pixels = [column for column in test.columns if column != "id"]

    folds = StratifiedKFold(n_splits=4, shuffle=True, random_state=0)
    scores = cross_val_score(build_model(), train[pixels] / 16, train[TARGET], cv=folds)
    print(f"cross-validation accuracy: {np.mean(scores):.3f}")

    model = build_model().fit(train[pixels] / 16, train[TARGET])
    submission = pd.DataFrame({"id": test["id"], TARGET: model.predict(test[pixels] / 16)})
    submission.to_csv("submission.csv", index=False)


if __name__ == "__main__":
    main()
