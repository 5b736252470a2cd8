# %%
# Random search: settings drawn from their ranges, each tried once on held-out rows, the best handed in.
import importlib
import json
import sys

import numpy as np
import pandas as pd

sys.path.insert(0, "")
trainer = importlib.import_module(OPTIONS["trainer"])
table = pd.read_csv(OPTIONS["train"]).sample(frac=1, random_state=0)
x, y = table.drop(columns=OPTIONS["target"]).to_numpy(float), table[OPTIONS["target"]].to_numpy(float)
held = len(x) // 5
print(x.shape, trainer.SETTINGS)


# %%
def drawn(rng):
    config = {}
    for name, limits in trainer.SETTINGS.items():
        if isinstance(limits, list):
            config[name] = limits[rng.integers(len(limits))]
        elif isinstance(limits[1], int):
            config[name] = int(rng.integers(limits[0], limits[1] + 1))
        elif limits[0] > 0:
            # what spans orders of magnitude is drawn on a logarithmic scale
            config[name] = float(np.exp(rng.uniform(*np.log(limits))))
        else:
            config[name] = float(rng.uniform(*limits))
    return config


rng, tried = np.random.default_rng(0), []
while len(tried) < OPTIONS["tries"]:
    config = drawn(rng)
    if trainer.cost(config, *x.shape) <= trainer.BUDGET:
        tried.append((trainer.score(config, x[held:], y[held:], x[:held], y[:held]), config))
        print(tried[-1])

# %%
best = min(tried, key=lambda each: each[0])
print(best)
json.dump(best[1], open(OPTIONS["submission"], "w"), indent=2)
