"""Make poses of a robot arm: five links in space, and how far its hand is from a fixed point.

Forward kinematics, as in the kin family of DELVE (Ghahramani, 1996), with other links: joint i turns by its angle about z (even i) or y
(odd i), then the link leads along x. The distance carries normal noise.
"""

from pathlib import Path

import numpy as np

SEED = 417_730_658
LINKS = [0.5, 0.42, 0.36, 0.27, 0.15]
POINT = np.array([0.35, 0.25, 0.4])
REACH, NOISE = 1.35, 0.001


def turn(angles: np.ndarray, axis: int) -> np.ndarray:
    turns = np.zeros((len(angles), 3, 3))
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    turns[:, axis, axis] = 1
    turns[:, a, a] = turns[:, b, b] = np.cos(angles)
    turns[:, b, a], turns[:, a, b] = np.sin(angles), -np.sin(angles)
    return turns


def distance(angles: np.ndarray) -> np.ndarray:
    frame, hand = np.tile(np.eye(3), (len(angles), 1, 1)), np.zeros((len(angles), 3))
    for i, link in enumerate(LINKS):
        frame = frame @ turn(angles[:, i], 2 if i % 2 == 0 else 1)
        hand += link * frame[:, :, 0]
    return np.linalg.norm(hand - POINT, axis=1)


def main() -> None:
    rng = np.random.default_rng(SEED)
    for folder in ("workspace", "hidden"):
        Path(folder).mkdir(exist_ok=True)
    tables = {}
    for name, rows in (("train", 2000), ("test", 3000)):
        angles = rng.uniform(-REACH, REACH, (rows, len(LINKS)))
        tables[name] = np.column_stack([angles, distance(angles) + rng.normal(0, NOISE, rows)]).round(5)
    header = ",".join([f"angle_{i + 1}" for i in range(len(LINKS))] + ["distance"])
    np.savetxt("workspace/train.csv", tables["train"], delimiter=",", header=header, comments="", fmt="%.5f")
    np.savez("hidden/poses.npz", **tables)
    source = Path("/task/workspace/trainer.py").read_text(encoding="utf-8")
    Path("hidden/own_trainer.py").write_text(f"# The grader's own copy, out of the agent's reach.\n{source}", encoding="utf-8")


if __name__ == "__main__":
    main()
