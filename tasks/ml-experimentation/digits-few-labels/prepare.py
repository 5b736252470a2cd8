"""Split scikit-learn's digits into a few labelled, many unlabelled and the held-out images."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

SEED = 350_716_982
TEST_IMAGES = 797
LABELLED_OF_EACH = 4


def main() -> None:
    images, digits = load_digits(return_X_y=True)
    columns = [f"p{row}{column}" for row in range(8) for column in range(8)]
    # The shuffle also makes the ids say nothing about an image's place in the data set, which is partly in the order of the digits.
    order = np.random.default_rng(SEED).permutation(len(digits))
    test, rest = order[:TEST_IMAGES], order[TEST_IMAGES:]
    labelled = np.sort(np.concatenate([np.flatnonzero(digits[rest] == digit)[:LABELLED_OF_EACH] for digit in range(10)]))

    pixels = pd.DataFrame(images.astype(int), columns=columns)
    few = pixels.iloc[rest[labelled]].assign(digit=digits[rest[labelled]])
    many = pixels.iloc[np.delete(rest, labelled)]
    asked = pixels.iloc[test].reset_index(drop=True).rename_axis("id")

    workspace, hidden = Path("workspace"), Path("hidden")
    workspace.mkdir(exist_ok=True)
    hidden.mkdir(exist_ok=True)
    few.to_csv(workspace / "labelled.csv", index=False)
    many.to_csv(workspace / "unlabelled.csv", index=False)
    asked.to_csv(workspace / "test.csv")
    pd.DataFrame({"digit": digits[test]}).rename_axis("id").to_csv(hidden / "labels.csv")


if __name__ == "__main__":
    main()
