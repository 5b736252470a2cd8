"""Simulate an oscillator, observe its position with noise, and keep other initial conditions for the predictions.

A light beam between two magnets has two places of rest: its force is 1.35 x - 0.13 x^2 - 0.85 x^3, as the magnets differ,
and 0.24 more because the table is tilted. Air blown at it feeds small movements and damps wide ones:
(0.48 - 0.90 x^2) v, as in van der Pol's oscillator. Units are chosen so that numbers are near 1. Only the
position is observed; each observation's error is Gaussian and independent.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 902_417_386
TERMS = {(0, 0): 0.24, (1, 0): 1.35, (2, 0): -0.13, (3, 0): -0.85, (0, 1): 0.48, (2, 1): -0.90}
RUNS, STEP, SECONDS, NOISE = 30, 0.05, 8.0, 0.07
HIDDEN, TIMES = 30, np.linspace(0.25, 6, 24)
# What an estimate from these data is wrong by; a hidden run that this would change much would grade luck.
ERROR, CHANGE = 0.03, 0.05


def simulate(terms: dict[tuple[int, int], float], position: np.ndarray, velocity: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return positions, a row a run and a column a time; Runge and Kutta's method in steps of 0.005."""

    def change(state: np.ndarray) -> np.ndarray:
        x, v = state
        return np.array([v, sum(value * x**i * v**j for (i, j), value in terms.items())])

    step = 0.005
    state, seen = np.array([position, velocity]), []
    wanted = set(np.rint(times / step).astype(int))
    for number in range(max(wanted) + 1):
        if number in wanted:
            seen.append(state[0])
        a = change(state)
        b = change(state + step / 2 * a)
        c = change(state + step / 2 * b)
        d = change(state + step * c)
        state = state + step / 6 * (a + 2 * b + 2 * c + d)
    return np.array(seen).T


def robust(position: np.ndarray, velocity: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Return which runs hardly change with the coefficients."""
    true = simulate(TERMS, position, velocity, TIMES)
    worst = np.zeros(len(position))
    for _ in range(12):
        other = {powers: value * (1 + random.normal(0, ERROR)) for powers, value in TERMS.items()}
        worst = np.maximum(worst, np.sqrt(((simulate(other, position, velocity, TIMES) - true) ** 2).mean(axis=1)))
    return worst < CHANGE


def main() -> None:
    random = np.random.RandomState(SEED)
    workspace, hidden = Path("workspace"), Path("hidden")
    workspace.mkdir(exist_ok=True)
    hidden.mkdir(exist_ok=True)

    times = np.arange(0, SECONDS + STEP / 2, STEP)
    seen = simulate(TERMS, random.uniform(-2, 2, RUNS), random.uniform(-2, 2, RUNS), times)
    seen = seen + random.normal(0, NOISE, seen.shape)
    columns = {"run": np.repeat(np.arange(RUNS), len(times)), "t": np.tile(times, RUNS), "x": seen.ravel()}
    pd.DataFrame(columns).round(4).to_csv(workspace / "runs.csv", index=False)

    position, velocity = random.uniform(-2, 2, 4 * HIDDEN).round(3), random.uniform(-2, 2, 4 * HIDDEN).round(3)
    kept = np.flatnonzero(robust(position, velocity, random))[:HIDDEN]
    assert len(kept) == HIDDEN
    starts = pd.DataFrame({"x0": position[kept], "v0": velocity[kept]}).rename_axis("start")
    starts.to_csv(workspace / "starts.csv")
    expected = {
        "terms": [{"x": i, "v": j, "coefficient": value} for (i, j), value in TERMS.items()],
        "predictions": simulate(TERMS, position[kept], velocity[kept], TIMES).round(6).tolist(),
    }
    (hidden / "expected.json").write_text(json.dumps(expected) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
