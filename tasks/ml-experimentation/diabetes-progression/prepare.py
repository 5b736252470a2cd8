"""Split scikit-learn's diabetes data into the workspace's tables and the hidden labels."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes

SEED = 0
TEST_ROWS = 142


def main() -> None:
    table = load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "progression"})
    # The shuffle also makes the ids say nothing about a row's place in the published table.
    order = np.random.RandomState(SEED).permutation(len(table))
    test = table.iloc[order[:TEST_ROWS]].reset_index(drop=True).rename_axis("id")
    train = table.iloc[order[TEST_ROWS:]]

    workspace, hidden = Path("workspace"), Path("hidden")
    workspace.mkdir(exist_ok=True)
    hidden.mkdir(exist_ok=True)
    train.to_csv(workspace / "train.csv", index=False)
    test.drop(columns="progression").to_csv(workspace / "test.csv")
    test[["progression"]].to_csv(hidden / "labels.csv")


if __name__ == "__main__":
    main()
