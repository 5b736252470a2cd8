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
    made = {}
    for name, part in parts.items():
        left, right = rng.choice(part, (2, PAIRS[name]))
        pairs, sums = np.concatenate([images[left], images[right]], axis=2), digits[left] + digits[right]
        made |= {f"{name}_x": pairs, f"{name}_y": sums}
    np.savez_compressed("workspace/train.npz", x=made["train_x"], y=made["train_y"])
    np.savez_compressed("hidden/pairs.npz", **made)


if __name__ == "__main__":
    main()
