"""Let an overconfident reader of digits score images from three scanners.

The reader is Gaussian naive Bayes, which takes each pixel for independent of the others and so counts the same evidence many times. It has
learned from scanner a, which gives scikit-learn's digits as they are. Scanner b smears: each image is the mean of itself and itself one
pixel to the right. Scanner c is pale and noisy: three quarters of the ink, and normal noise of 0.2 on each pixel.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

SEED = 629_350_147
LEARNED = 400
LABELLED = 600


def scanned(images: np.ndarray, scanner: np.ndarray, source: np.random.Generator) -> np.ndarray:
    """Return the images, of 8 x 8 pixels from 0 to 1, as their scanners give them."""
    smeared = images.copy()
    smeared[:, :, 1:] = (images[:, :, 1:] + images[:, :, :-1]) / 2
    smeared[:, :, 0] = images[:, :, 0] / 2
    noisy = np.clip(0.75 * images + source.normal(0, 0.2, images.shape), 0, 1)
    of_scanner = scanner[:, None, None]
    return np.select([of_scanner == "a", of_scanner == "b"], [images, smeared], noisy)


def main() -> None:
    source = np.random.default_rng(SEED)
    images, digits = load_digits(return_X_y=True)
    order = source.permutation(len(digits))
    images, digits = images[order].reshape(-1, 8, 8) / 16, digits[order]
    reader = GaussianNB(var_smoothing=0.03).fit(images[:LEARNED].reshape(-1, 64), digits[:LEARNED])

    scanner = source.choice(["a", "b", "c"], len(digits))
    scores = reader.predict_log_proba(scanned(images, scanner, source).reshape(-1, 64))
    table = pd.DataFrame(scores.round(3), columns=[f"score_{digit}" for digit in range(10)])
    table.insert(0, "scanner", scanner)
    table["digit"] = digits
    train = table.iloc[LEARNED : LEARNED + LABELLED]
    test = table.iloc[LEARNED + LABELLED :].reset_index(drop=True).rename_axis("id")

    workspace, hidden = Path("workspace"), Path("hidden")
    workspace.mkdir(exist_ok=True)
    hidden.mkdir(exist_ok=True)
    train.to_csv(workspace / "train.csv", index=False)
    test.drop(columns="digit").to_csv(workspace / "test.csv")
    test[["scanner", "digit"]].to_csv(hidden / "labels.csv")


if __name__ == "__main__":
    main()
