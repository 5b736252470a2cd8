"""The loss, its gradients and Adam as the docstrings of network.py define them."""

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


def adam(params: Arrays, steps: list[Arrays], rate: float) -> Arrays:
    m, v = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    for t, gradients in enumerate(steps, start=1):
        m = [0.9 * a + 0.1 * g for a, g in zip(m, gradients, strict=True)]
        v = [0.999 * a + 0.001 * g**2 for a, g in zip(v, gradients, strict=True)]
        moves = [rate * (a / (1 - 0.9**t)) / (np.sqrt(b / (1 - 0.999**t)) + 1e-8) for a, b in zip(m, v, strict=True)]
        params = [p - move for p, move in zip(params, moves, strict=True)]
    return params
