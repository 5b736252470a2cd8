"""Make sensor signals: a sum of sines, autoregressive noise and a drift; some have gaps, steps, or are flat."""

from pathlib import Path

import numpy as np

SEED = 602_117_948


def signals(count: int, length: int, rng: np.random.Generator) -> np.ndarray:
    t = np.arange(length)
    made = np.empty((count, length))
    for i in range(count):
        noise = rng.normal(0, 1, length)
        for k in range(1, length):
            noise[k] += rng.uniform(0.3, 0.9) * noise[k - 1]
        waves = sum(rng.uniform(0, 2) * np.sin(2 * np.pi * rng.uniform(0.005, 0.45) * t + rng.uniform(0, 6)) for _ in range(3))
        made[i] = rng.normal(0, 50) + waves + noise + rng.normal(0, 1) * t / length
        kind = i % 8
        if kind == 1:
            made[i, rng.random(length) < 0.2] = np.nan
        elif kind == 2:
            made[i, : rng.integers(1, 20)] = made[i, -rng.integers(1, 20) :] = np.nan
        elif kind == 3:
            # a coarse sensor: many equal values in succession
            made[i] = np.round(made[i])
        elif kind == 4 and i % 16 == 4:
            made[i] = rng.choice([0.1, 7.3])
        elif kind == 5 and i % 16 == 5:
            made[i] = np.nan
        elif kind == 6 and i % 16 == 6:
            made[i] = np.nan
            made[i, rng.integers(length)] = 4.2
    return made


def main() -> None:
    rng = np.random.default_rng(SEED)
    for folder in ("workspace", "hidden"):
        Path(folder).mkdir(exist_ok=True)
    np.save("workspace/signals.npy", signals(32, 256, rng))
    for name, count, length in (("long", 48, 256), ("odd", 16, 127)):
        np.save(f"hidden/{name}.npy", signals(count, length, rng))
    source = Path("/task/workspace/features.py").read_text(encoding="utf-8")
    Path("hidden/starter_features.py").write_text(f"# The starter, to compare with.\n{source}", encoding="utf-8")


if __name__ == "__main__":
    main()
