"""Split scikit-learn's digits into a few labelled, many unlabelled and the held-out images, and put each somewhere on a larger sheet.

Where an image lies and how dark it is are drawn for each. So images of one digit are far from each other, pixel by pixel, until they are
put in one place: only then does a graph of neighbours say anything.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

SEED = 350_716_982
TEST_IMAGES = 797
LABELLED_OF_EACH = 4
SIDE, FAINTEST = 12, 0.4


def sheets(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the images (n, 8, 8), each at a place of its own on a sheet of SIDE x SIDE and with ink of its own."""
    made = np.zeros((len(images), SIDE, SIDE), dtype=int)
    places = random.integers(0, SIDE - 8 + 1, (len(images), 2))
    for sheet, image, (row, column), ink in zip(made, images, places, random.uniform(FAINTEST, 1, len(images)), strict=True):
        sheet[row : row + 8, column : column + 8] = np.rint(image * ink)
    return made


def main() -> None:
    images, digits = load_digits(return_X_y=True)
    columns = [f"p{row:02d}{column:02d}" for row in range(SIDE) for column in range(SIDE)]
    random = np.random.default_rng(SEED)
    # The shuffle also makes the ids say nothing about an image's place in the data set, which is partly in the order of the digits.
    order = random.permutation(len(digits))
    test, rest = order[:TEST_IMAGES], order[TEST_IMAGES:]
    labelled = np.sort(np.concatenate([np.flatnonzero(digits[rest] == digit)[:LABELLED_OF_EACH] for digit in range(10)]))

    pixels = pd.DataFrame(sheets(images.reshape(-1, 8, 8), random).reshape(len(images), -1), columns=columns)
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
