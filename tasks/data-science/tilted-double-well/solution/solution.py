# %%
import json

import numpy as np
import pandas as pd
from scipy.optimize import least_squares
from scipy.signal import savgol_filter

runs = pd.read_csv("runs.csv")
starts = pd.read_csv("starts.csv")
seen = runs.pivot(index="t", columns="run", values="x")
step = seen.index[1] - seen.index[0]
seen = seen.to_numpy()
noise = np.std(seen - savgol_filter(seen, 11, 4, axis=0)) / np.sqrt(1 - 0.42)
print(seen.shape, "step", step, "range", seen.min(), seen.max(), "noise about", noise.round(3))
print(seen[[0, 40, 80, 120, 160], :8].round(2))

# %%
# A first guess: smooth, differentiate, regress on all ten terms. Second derivatives of noisy positions are bad, so only a guess.
POWERS = [(i, j) for i in range(4) for j in range(4 - i)]
x, v, a = (savgol_filter(seen, 31, 4, deriv=order, delta=step, axis=0) for order in range(3))
inner = slice(15, -15)
library = np.column_stack([(x[inner] ** i * v[inner] ** j).ravel() for i, j in POWERS])
guess = np.linalg.lstsq(library, a[inner].ravel(), rcond=None)[0]
print(dict(zip(POWERS, guess.round(3), strict=True)))


# %%
# Then fit the motion itself: coefficients, and where each run really began, so that the whole path passes through the measurements.
def accelerate(coefficients, x, v):
    powers = [(1.0, x, x * x, x * x * x), (1.0, v, v * v, v * v * v)]
    return sum(value * powers[0][i] * powers[1][j] for value, (i, j) in zip(coefficients, POWERS, strict=True))


def paths(coefficients, x, v, count, step):
    """Return positions at 0, step, ...; Runge and Kutta's method. All arguments may be arrays, for many motions at once."""
    found = [x]
    for _ in range(count):
        x1, v1 = v, accelerate(coefficients, x, v)
        x2, v2 = v + step / 2 * v1, accelerate(coefficients, x + step / 2 * x1, v + step / 2 * v1)
        x3, v3 = v + step / 2 * v2, accelerate(coefficients, x + step / 2 * x2, v + step / 2 * v2)
        x4, v4 = v + step * v3, accelerate(coefficients, x + step * x3, v + step * v3)
        # a wild guess may run away; its error is large enough at 10
        x = np.clip(x + step / 6 * (x1 + 2 * x2 + 2 * x3 + x4), -10, 10)
        v = np.clip(v + step / 6 * (v1 + 2 * v2 + 2 * v3 + v4), -10, 10)
        found.append(x)
    return np.array(found)


COUNT, RUNS = len(seen) - 1, seen.shape[1]


def fit(active, coefficients, x0, v0):
    """Return the least-squares solution with the ``active`` terms: coefficients, then positions and velocities at the beginning."""
    active = np.flatnonzero(active)

    def unpack(parameters):
        full = np.zeros(len(POWERS))
        full[active] = parameters[: len(active)]
        return full, parameters[len(active) : len(active) + RUNS], parameters[len(active) + RUNS :]

    def residuals(parameters):
        full, x0, v0 = unpack(parameters)
        return (paths(full, x0, v0, COUNT, step) - seen).ravel() / noise

    def jacobian(parameters):
        # Each run depends on its own beginning only: two more motions a run say all, not two for each run.
        full, x0, v0 = unpack(parameters)
        small = 1e-5
        varied = np.tile(full, (len(active) + 3, 1))
        varied[np.arange(len(active)), active] += small
        xs, vs = np.tile(x0, (len(varied), 1)), np.tile(v0, (len(varied), 1))
        xs[-3] += small
        vs[-2] += small
        motion = paths(varied.T[:, :, None], xs, vs, COUNT, step)
        slopes = (motion[:, :-1] - motion[:, -1:]) / small / noise
        result = np.zeros((COUNT + 1, RUNS, len(parameters)))
        result[:, :, : len(active)] = slopes[:, : len(active)].transpose(0, 2, 1)
        each = np.arange(RUNS)
        result[:, each, len(active) + each] = slopes[:, -2]
        result[:, each, len(active) + RUNS + each] = slopes[:, -1]
        return result.reshape(-1, len(parameters))

    begin = np.concatenate([coefficients[active], x0, v0])
    done = least_squares(residuals, begin, jac=jacobian, x_scale="jac", xtol=1e-6, ftol=1e-6, max_nfev=60)
    errors = np.sqrt(np.diag(np.linalg.inv(done.jac.T @ done.jac)))[: len(active)]
    return *unpack(done.x), 2 * done.cost, errors


# %%
# From all ten terms downwards: leave out the one that is least sure, as long as Schwarz's criterion says so.
active = np.ones(len(POWERS), dtype=bool)
state = fit(active, guess, x[0], v[0])
while True:
    coefficients, x0, v0, chi, errors = state
    terms = [POWERS[index] for index in np.flatnonzero(active)]
    sure = zip(terms, coefficients[active], errors, strict=True)
    print(f"chi2 / n = {chi / seen.size:.3f}", {term: f"{value:.3f}+-{error:.3f}" for term, value, error in sure})
    weakest = np.flatnonzero(active)[np.argmin(np.abs(coefficients[active]) / errors)]
    fewer = active.copy()
    fewer[weakest] = False
    candidate = fit(fewer, coefficients, x0, v0)
    if candidate[3] - chi > np.log(seen.size):
        break
    active, state = fewer, candidate

# %%
# Do the paths explain the measurements down to their noise, in every run?
coefficients, x0, v0, chi, errors = state
left = paths(coefficients, x0, v0, COUNT, step) - seen
print("residual by run:", left.std(axis=0).round(3))

# %%
fine = 10
motion = paths(coefficients, starts["x0"].to_numpy(), starts["v0"].to_numpy(), 24 * fine, 0.25 / fine)[fine::fine]
answer = {
    "terms": [{"x": i, "v": j, "coefficient": float(value)} for (i, j), value in zip(POWERS, coefficients, strict=True) if value],
    "predictions": {str(start): motion[:, row].round(5).tolist() for row, start in enumerate(starts["start"])},
}
with open("answer.json", "w") as file:
    json.dump(answer, file)
print(answer["terms"])
