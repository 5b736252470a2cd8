"""A small network for regression in numpy. Its settings decide how well it learns; its training may cost BUDGET at most."""

import numpy as np

BUDGET = 30_000_000
# setting: (lowest, highest) or the choices
SETTINGS = {
    "layers": (1, 4),
    "width": (4, 256),
    "activation": ["relu", "tanh"],
    "epochs": (1, 400),
    "batch": (8, 1000),
    "learning_rate": (1e-5, 3.0),
    "momentum": (0.0, 0.99),
    "schedule": ["constant", "cosine"],
    "weight_decay": (1e-7, 0.1),
}


def check(config):
    """Raise ValueError unless every setting is there and within its limits. Those with whole limits must be whole (not momentum)."""
    if not isinstance(config, dict) or sorted(config) != sorted(SETTINGS):
        raise ValueError(f"the settings must be exactly {', '.join(SETTINGS)}")
    for name, limits in SETTINGS.items():
        value = config[name]
        if isinstance(limits, list):
            if value not in limits:
                raise ValueError(f"{name} must be one of {', '.join(limits)}")
            continue
        kinds = (int,) if isinstance(limits[1], int) else (int, float)
        if type(value) not in kinds or not limits[0] <= value <= limits[1]:
            raise ValueError(f"{name} must be from {limits[0]} to {limits[1]}" + (", a whole number" if kinds == (int,) else ""))


def cost(config, rows, inputs):
    """Return what a training costs: parameters x rows x epochs."""
    sizes = [inputs] + [config["width"]] * config["layers"] + [1]
    parameters = sum((a + 1) * b for a, b in zip(sizes[:-1], sizes[1:]))
    return parameters * rows * config["epochs"]


def forward(params, x, activation):
    layers = [x]
    for W, b in params[:-1]:
        z = layers[-1] @ W + b
        layers.append(np.maximum(z, 0) if activation == "relu" else np.tanh(z))
    W, b = params[-1]
    return layers, (layers[-1] @ W + b)[:, 0]


def train(config, x, y, seed):
    """Return a function that predicts, trained by gradient descent with momentum on the squared error."""
    check(config)
    if cost(config, *x.shape) > BUDGET:
        raise ValueError(f"the training would cost {cost(config, *x.shape):,}, more than {BUDGET:,}")
    rng = np.random.default_rng(seed)
    activation, batch, epochs = config["activation"], config["batch"], config["epochs"]
    centre, scale = (x.mean(axis=0), y.mean()), (x.std(axis=0), y.std())
    x, y = (x - centre[0]) / scale[0], (y - centre[1]) / scale[1]

    sizes = [x.shape[1]] + [config["width"]] * config["layers"] + [1]
    params = [(rng.normal(0, np.sqrt(1 / a), (a, b)), np.zeros(b)) for a, b in zip(sizes[:-1], sizes[1:])]
    velocity = [(np.zeros_like(W), np.zeros_like(b)) for W, b in params]
    for epoch in range(epochs):
        rate = config["learning_rate"]
        if config["schedule"] == "cosine":
            rate *= (1 + np.cos(np.pi * epoch / epochs)) / 2
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            layers, out = forward(params, x[rows], activation)
            delta = ((out - y[rows]) / len(rows))[:, None]
            for i in reversed(range(len(params))):
                (W, b), (vW, vb) = params[i], velocity[i]
                dW, db = layers[i].T @ delta + config["weight_decay"] * W, delta.sum(axis=0)
                if i:
                    slope = layers[i] > 0 if activation == "relu" else 1 - layers[i] ** 2
                    delta = (delta @ W.T) * slope
                vW *= config["momentum"]
                vb *= config["momentum"]
                vW -= rate * dW
                vb -= rate * db
                W += vW
                b += vb
        if not np.isfinite(out).all():
            break
    return lambda new: forward(params, (new - centre[0]) / scale[0], activation)[1] * scale[1] + centre[1]


def score(config, x, y, valid_x, valid_y, seed=0):
    """Return the root mean squared error on the validation rows in units of their standard deviation, at most 10 (also where training diverges)."""
    with np.errstate(all="ignore"):
        rmse = np.sqrt(np.mean((train(config, x, y, seed)(valid_x) - valid_y) ** 2)) / valid_y.std()
    return float(min(rmse, 10.0)) if np.isfinite(rmse) else 10.0
