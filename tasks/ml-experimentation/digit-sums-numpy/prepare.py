"""Put scikit-learn's handwritten digits side by side, two and two, labelled with their sum only.

No handwritten digit of the test pairs occurs in a training pair. A digit occurs in several pairs of its own part.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

SEED = 860_514_933
PAIRS = {"train": 3000, "test": 1000}
TRAIN_DIGITS = 1200


def main() -> None:
    rng = np.random.default_rng(SEED)
    images, digits = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.uint8)
    order = rng.permutation(len(digits))
    parts = {"train": order[:TRAIN_DIGITS], "test": order[TRAIN_DIGITS:]}
    for folder in ("workspace", "hidden"):
        Path(folder).mkdir(exist_ok=True)
    for name, part in parts.items():
        left, right = rng.choice(part, (2, PAIRS[name]))
        pairs, sums = np.concatenate([images[left], images[right]], axis=2), digits[left] + digits[right]
        np.savez_compressed(Path("hidden") / f"{name}.npz", x=pairs, y=sums)
        if name == "train":
            np.savez_compressed(Path("workspace/train.npz"), x=pairs, y=sums)


if __name__ == "__main__":
    main()
