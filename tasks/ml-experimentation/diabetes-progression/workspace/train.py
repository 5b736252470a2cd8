"""Train a model on train.csv, print its cross-validation RMSE, and predict test.csv into submission.csv."""

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, cross_val_score
from sklearn.tree import DecisionTreeRegressor

TARGET = "progression"


def build_model():
    return DecisionTreeRegressor(max_depth=4, random_state=0)


def main():
    train = pd.read_csv("train.csv")
    test = pd.read_csv("test.csv")
    features = [column for column in train.columns if column != TARGET]

    folds = KFold(n_splits=5, shuffle=True, random_state=0)
    scores = cross_val_score(build_model(), train[features], train[TARGET], cv=folds, scoring="neg_root_mean_squared_error")
    print(f"cross-validation RMSE: {-np.mean(scores):.2f}")

    model = build_model().fit(train[features], train[TARGET])
    submission = pd.DataFrame({"id": test["id"], TARGET: model.predict(test[features])})
    submission.to_csv("submission.csv", index=False)


if __name__ == "__main__":
    main()
