"""Make three spiral arms: the radius grows with the angle, and both carry noise.

The points of arm k lie at the angle 2 pi k / 3 + TURNS 2 pi t and the radius SCALE (0.1 + t), with t uniform in [0, 1]; the two
coordinates are measured in different units and from different origins.
"""

from pathlib import Path

import numpy as np

SEED = 731_904_226
TURNS, NOISE = 0.85, 0.05
UNITS, ORIGIN = np.array([40.0, 0.2]), np.array([120.0, -3.0])


def spiral(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    arm = rng.integers(0, 3, rows)
    t = rng.uniform(0, 1, rows)
    angle = 2 * np.pi * (arm / 3 + TURNS * t)
    points = (0.1 + t)[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(0, NOISE, (rows, 2))
    return points * UNITS + ORIGIN, arm


def main() -> None:
    rng = np.random.default_rng(SEED)
    for folder, name, rows in (("workspace", "train.npz", 1200), ("hidden", "fit.npz", 1200), ("hidden", "unseen.npz", 1500)):
        Path(folder).mkdir(exist_ok=True)
        x, y = spiral(rows, rng)
        np.savez(Path(folder) / name, x=x, y=y)


if __name__ == "__main__":
    main()
