# %%
import importlib
from pathlib import Path

import network
import numpy as np

source = Path("network.py").read_text()
print(source)
data = np.load("train.npz")
print(data["x"].shape, data["x"].std(axis=0), np.bincount(data["y"]))

# %%
# How badly does it learn, by a held-out part?
x, y = data["x"], data["y"]
model = network.train(x[:900], y[:900])
print("accuracy:", (network.predict(model, x[900:]) == y[900:]).mean())
print("a row alone:", network.predict(model, x[900:901]), "with others:", network.predict(model, x[900:])[:1])

# %%
# Are the gradients those of the loss? Central differences, with and without weight decay.
rng = np.random.default_rng(0)
params = [p + rng.normal(0, 0.3, p.shape) for p in network.init([2, 4, 4, 3], rng)]


def check(module, decay):
    _, gradients = module.loss_and_gradients(params, x[:8] / 100, y[:8], decay)
    worst = []
    for p, g in zip(params, gradients, strict=True):
        numeric = np.zeros_like(p)
        for index in np.ndindex(p.shape):
            keep = p[index]
            p[index] = keep + 1e-5
            up = module.loss_and_gradients(params, x[:8] / 100, y[:8], decay)[0]
            p[index] = keep - 1e-5
            numeric[index] = (up - module.loss_and_gradients(params, x[:8] / 100, y[:8], decay)[0]) / 2e-5
            p[index] = keep
        worst.append(float(abs(numeric - g).max()))
    return np.round(worst, 7)


print(check(network, 0.0), check(network, 0.1))

# %%
# Wrong below the last layer: tanh's derivative wants the value after tanh. With decay: its term is divided by the rows, the loss's isn't.
# Reading on: Adam's second moment averages with 1 - beta1, and predict standardises with the statistics of whatever it is asked.
edits = {
    "(layers[layer].T @ delta + decay * W) / len(x)": "layers[layer].T @ delta / len(x) + decay * W",
    "(1 - before[layer - 1] ** 2)": "(1 - layers[layer] ** 2)",
    "beta2 * v + (1 - beta1) * g**2": "beta2 * v + (1 - beta2) * g**2",
    "def standardise(x):\n": "def standardise(x, mean, scale):\n",
    "(x - x.mean(axis=0)) / x.std(axis=0)": "(x - mean) / scale",
    "    x = standardise(x)\n": "    mean, scale = x.mean(axis=0), x.std(axis=0)\n    x = standardise(x, mean, scale)\n",
    "    return params\n\n\ndef predict": '    return {"params": params, "mean": mean, "scale": scale}\n\n\ndef predict',
    "forward(model, standardise(x))": 'forward(model["params"], standardise(x, model["mean"], model["scale"]))',
}
for old, new in edits.items():
    assert source.count(old) == 1, old
    source = source.replace(old, new)
Path("network.py").write_text(source)

# %%
importlib.reload(network)
print(check(network, 0.0), check(network, 0.1))
model = network.train(x[:900], y[:900])
print("accuracy:", (network.predict(model, x[900:]) == y[900:]).mean())
print("a row alone:", network.predict(model, x[900:901]), "with others:", network.predict(model, x[900:])[:1])
