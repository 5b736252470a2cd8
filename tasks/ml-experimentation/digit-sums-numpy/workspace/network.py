"""Read the sum of two handwritten digits. The starter: softmax regression on the 128 pixels, one class a sum."""

import numpy as np

SUMS = 19


def train(x, y, seed):
    """Return a model of the images ``x`` (n, 8, 16), 0 to 16, and their sums ``y`` (n,), 0 to 18."""
    rng = np.random.default_rng(seed)
    pixels = x.reshape(len(x), -1) / 16
    W, b = rng.normal(0, 0.01, (pixels.shape[1], SUMS)), np.zeros(SUMS)
    for _ in range(300):
        p = probabilities(W, b, pixels)
        p[np.arange(len(y)), y] -= 1
        W -= 0.5 * pixels.T @ p / len(y)
        b -= 0.5 * p.mean(axis=0)
    return W, b


def probabilities(W, b, pixels):
    logits = pixels @ W + b
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def predict(model, x):
    """Return the sum that each image shows, an integer a row."""
    return probabilities(*model, x.reshape(len(x), -1) / 16).argmax(axis=1)
