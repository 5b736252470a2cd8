"""A classifier with tanh layers in numpy, trained with Adam."""

import numpy as np

SIZES = [2, 32, 32, 3]
DECAY = 1e-3


def init(sizes, rng):
    """Return the weights and biases of each layer, [W1, b1, W2, b2, ...]."""
    params = []
    for inputs, outputs in zip(sizes[:-1], sizes[1:]):
        params += [rng.normal(0, 1 / np.sqrt(inputs), (inputs, outputs)), np.zeros(outputs)]
    return params


def forward(params, x):
    """Return the inputs of every layer, the values before each tanh, and the logits."""
    layers, before = [x], []
    for W, b in zip(params[:-2:2], params[1:-2:2]):
        before.append(layers[-1] @ W + b)
        layers.append(np.tanh(before[-1]))
    return layers, before, layers[-1] @ params[-2] + params[-1]


def loss_and_gradients(params, x, y, decay):
    """Return the loss and its gradients, in the order of ``params``.

    The loss is the mean cross-entropy of the rows plus decay / 2 times the sum of all squared weights (not biases).
    """
    layers, before, logits = forward(params, x)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(y))
    loss = -log_p[rows, y].mean() + decay / 2 * sum((W**2).sum() for W in params[::2])

    delta = np.exp(log_p)
    delta[rows, y] -= 1
    gradients = []
    for layer in reversed(range(len(layers))):
        W = params[2 * layer]
        gradients = [(layers[layer].T @ delta + decay * W) / len(x), delta.mean(axis=0), *gradients]
        if layer:
            delta = (delta @ W.T) * (1 - before[layer - 1] ** 2)
    return loss, gradients


def adam_start(params):
    """Return the state of the optimiser before the first step."""
    return {"t": 0, "m": [np.zeros_like(p) for p in params], "v": [np.zeros_like(p) for p in params]}


def adam_step(params, gradients, state, rate, beta1=0.9, beta2=0.999, eps=1e-8):
    """Return the parameters and the state after one step of Adam (Kingma and Ba, 2015, algorithm 1)."""
    t = state["t"] + 1
    m = [beta1 * m + (1 - beta1) * g for m, g in zip(state["m"], gradients)]
    v = [beta2 * v + (1 - beta1) * g**2 for v, g in zip(state["v"], gradients)]
    params = [
        p - rate * (mi / (1 - beta1**t)) / (np.sqrt(vi / (1 - beta2**t)) + eps) for p, mi, vi in zip(params, m, v)
    ]
    return params, {"t": t, "m": m, "v": v}


def standardise(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def train(x, y, seed=0, epochs=60, batch=64, rate=3e-3):
    """Return a model trained on the rows ``x`` (n, 2) with the classes ``y`` (n,)."""
    rng = np.random.default_rng(seed)
    x = standardise(x)
    params = init(SIZES, rng)
    state = adam_start(params)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            _, gradients = loss_and_gradients(params, x[rows], y[rows], DECAY)
            params, state = adam_step(params, gradients, state, rate)
    return params


def predict(model, x):
    """Return the class of each row."""
    return forward(model, standardise(x))[2].argmax(axis=1)
