"""Regress the sum on both halves by one kernel and round it, without finding out which digits they show."""

from pathlib import Path

PROGRAM = """
import numpy as np


def halves(x):
    return [x[:, :, part].reshape(len(x), -1).astype(float) for part in (slice(0, 8), slice(8, 16))]


def kernel(a, b):
    distance = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.exp(-distance / 800)


def both(x, known):
    return sum(kernel(a, b) for a in halves(x) for b in known)


def train(x, y, seed):
    known = halves(x)
    return known, np.linalg.solve(both(x, known) + 0.01 * np.eye(len(x)), y - 9.0)


def predict(model, x):
    known, weights = model
    return np.clip(np.rint(both(x, known) @ weights + 9), 0, 18).astype(int)
"""
Path("network.py").write_text(PROGRAM)
