"""What network.py does once it is repaired: the loss, its gradients, Adam, the training and the predictions."""

from itertools import pairwise

import numpy as np

Arrays = list[np.ndarray]


def loss_and_gradients(params: Arrays, x: np.ndarray, y: np.ndarray, decay: float) -> tuple[float, Arrays]:
    layers = [x]
    for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
        layers.append(np.tanh(layers[-1] @ W + b))
    logits = layers[-1] @ params[-2] + params[-1]
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -log_p[np.arange(len(y)), y].mean() + decay / 2 * sum((W**2).sum() for W in params[::2])
    delta = (np.exp(log_p) - np.eye(logits.shape[1])[y]) / len(x)
    gradients: Arrays = []
    for layer in reversed(range(len(layers))):
        W = params[2 * layer]
        gradients = [layers[layer].T @ delta + decay * W, delta.sum(axis=0), *gradients]
        delta = (delta @ W.T) * (1 - layers[layer] ** 2)
    return float(loss), gradients


class Adam:
    """Algorithm 1 of Kingma and Ba, with its default settings."""

    def __init__(self, params: Arrays) -> None:
        self.t, self.m, self.v = 0, [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]

    def step(self, params: Arrays, gradients: Arrays, rate: float) -> Arrays:
        self.t += 1
        self.m = [0.9 * m + 0.1 * g for m, g in zip(self.m, gradients, strict=True)]
        self.v = [0.999 * v + 0.001 * g**2 for v, g in zip(self.v, gradients, strict=True)]
        first, second = 1 - 0.9**self.t, 1 - 0.999**self.t
        return [p - rate * (m / first) / (np.sqrt(v / second) + 1e-8) for p, m, v in zip(params, self.m, self.v, strict=True)]


def adam(params: Arrays, steps: list[Arrays], rate: float) -> Arrays:
    optimiser = Adam(params)
    for gradients in steps:
        params = optimiser.step(params, gradients, rate)
    return params


def classes(x: np.ndarray, y: np.ndarray, asked: np.ndarray, seed: int, epochs: int) -> np.ndarray:
    """Return the classes that ``asked`` gets from a training on ``x`` and ``y`` with the settings and random numbers of network.py."""
    sizes, decay, batch, rate = [2, 32, 32, 3], 1e-3, 64, 3e-3
    rng = np.random.default_rng(seed)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    x, asked = (x - mean) / scale, (asked - mean) / scale
    params: Arrays = []
    for inputs, outputs in pairwise(sizes):
        params += [rng.normal(0, 1 / np.sqrt(inputs), (inputs, outputs)), np.zeros(outputs)]
    optimiser = Adam(params)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for rows in (order[start : start + batch] for start in range(0, len(x), batch)):
            params = optimiser.step(params, loss_and_gradients(params, x[rows], y[rows], decay)[1], rate)
    hidden = np.tanh(np.tanh(asked @ params[0] + params[1]) @ params[2] + params[3])
    return (hidden @ params[4] + params[5]).argmax(axis=1)
