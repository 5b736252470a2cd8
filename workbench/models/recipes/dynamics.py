# %%
# Sparse regression of smoothed accelerations on products of position and velocity: least squares, small coefficients set to zero.
import json

import numpy as np
import pandas as pd
from scipy.signal import savgol_filter

table = pd.read_csv(OPTIONS["runs"])
starts = pd.read_csv(OPTIONS["starts"])
seen = table.pivot(index=OPTIONS["time"], columns=OPTIONS["run"], values=OPTIONS["position"])
step = seen.index[1] - seen.index[0]
x, v, a = (savgol_filter(seen.to_numpy(), 15, 3, deriv=order, delta=step, axis=0)[7:-7] for order in range(3))
print(seen.shape, step, [values.std().round(2) for values in (x, v, a)])

# %%
powers = [(i, j) for i in range(OPTIONS["degree"] + 1) for j in range(OPTIONS["degree"] + 1 - i)]
library = np.column_stack([(x**i * v**j).ravel() for i, j in powers])
kept = np.ones(len(powers), dtype=bool)
for _ in powers:
    coefficients = np.zeros(len(powers))
    coefficients[kept] = np.linalg.lstsq(library[:, kept], a.ravel(), rcond=None)[0]
    kept = np.abs(coefficients) > 0.1
terms = {power: value for power, value in zip(powers, coefficients * kept) if value}
print(terms)


# %%
def change(state):
    x, v = np.clip(state, -1e3, 1e3)
    return np.array([v, sum(value * x**i * v**j for (i, j), value in terms.items())])


first, last, count = OPTIONS["times"]
steps = round(first / 0.01)
state, found = starts[OPTIONS["starts_at"]].to_numpy().T, []
for number in range(steps * count):
    half = state + first / steps / 2 * change(state)
    state = np.clip(state + first / steps * change(half), -1e3, 1e3)
    if (number + 1) % steps == 0:
        found.append(state[0])
answer = {
    "terms": [{"x": i, "v": j, "coefficient": float(value)} for (i, j), value in terms.items()],
    "predictions": {str(start): row.tolist() for start, row in zip(starts.iloc[:, 0], np.array(found).T)},
}
with open(OPTIONS["submission"], "w") as file:
    json.dump(answer, file)
print(np.array(found)[:3, :5].round(2))
