# %%
import cProfile
import importlib
import pstats
import time
from pathlib import Path

import features
import numpy as np

print(Path("features.py").read_text())
signals = np.load("signals.npy")
print(signals.shape, np.isnan(signals).sum(axis=1))

# %%
# Keep what the slow one says, of another length too, and see where its time goes.
samples = [signals, signals[:8, :101]]
with cProfile.Profile() as profile:
    expected = [features.features(each) for each in samples]
pstats.Stats(profile).sort_stats("tottime").print_stats(6)

# %%
# Two loops are quadratic: the Fourier transform by hand and sample entropy. The first is an FFT, the second a table of pairs: what
# agrees for one value, shifted along its diagonal. The rest are windows and comparisons of arrays. Flat signals leave early still.
code = '''
"""Features of sensor signals."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

NAMES = ["mean", "std", "lowest_level", "largest_spread", "lag_1", "lag_2", "lag_3", "low", "middle", "high", "order", "sample", "run"]
WINDOW = 25


def filled(signal):
    """Return the signal with gaps (NaN) interpolated, ends repeated; one that is all gaps is all 0."""
    known = ~np.isnan(signal)
    if known.all():
        return signal
    if not known.any():
        return np.zeros(len(signal))
    places = np.arange(len(signal))
    return np.interp(places, places[known], signal[known])


def sample_entropy(values, tolerance):
    near = np.abs(values[:, None] - values[None, :]) <= tolerance
    two = near[:-2, :-2] & near[1:-1, 1:-1]
    # every pair is in the table twice, and each place agrees with itself
    places = len(values) - 2
    pairs_two = (np.count_nonzero(two) - places) // 2
    pairs_three = (np.count_nonzero(two & near[2:, 2:]) - places) // 2
    return np.log((pairs_two + 1) / (pairs_three + 1))


def features(signals):
    """Return an array (signals, features) of floats for an array (signals, length)."""
    values = np.array([filled(signal) for signal in np.asarray(signals, dtype=float)])
    count, n = values.shape
    mean, std = values.mean(axis=1), values.std(axis=1)
    windows = sliding_window_view(values, WINDOW, axis=1)
    found = np.zeros((count, len(NAMES)))
    found[:, :4] = np.column_stack([mean, std, windows.mean(axis=2).min(axis=1), windows.std(axis=2).max(axis=1)])

    lively = np.flatnonzero(std >= 1e-9)
    values, std = values[lively], std[lively]
    away = values - mean[lively, None]
    lags = [(away[:, :-lag] * away[:, lag:]).sum(axis=1) / (n * std**2) for lag in (1, 2, 3)]

    power = np.abs(np.fft.rfft(away, axis=1)[:, 1:]) ** 2
    third = power.shape[1] // 3
    parts = (power[:, :third], power[:, third : 2 * third], power[:, 2 * third :])
    bands = [part.sum(axis=1) / power.sum(axis=1) for part in parts]

    a, b, c = values[:, :-2], values[:, 1:-1], values[:, 2:]
    codes = 4 * (a <= b) + 2 * (b <= c) + (a <= c)
    shares = (codes[:, :, None] == np.arange(8)).mean(axis=1)
    order = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1)

    above = away > 1e-9
    run, longest = np.zeros(len(lively)), np.zeros(len(lively))
    for column in above.T:
        run = (run + 1) * column
        longest = np.maximum(longest, run)

    sample = [sample_entropy(row, 0.2 * spread) for row, spread in zip(values, std)]
    found[lively, 4:] = np.column_stack([*lags, *bands, order, sample, longest])
    return found
'''
Path("features.py").write_text(code.lstrip())

# %%
importlib.reload(features)
for each, slow in zip(samples, expected, strict=True):
    began = time.perf_counter()
    fast = features.features(each)
    print(f"{time.perf_counter() - began:.4f} s", np.abs(fast - slow).max(axis=0).round(12))
    assert np.allclose(fast, slow, rtol=1e-6, atol=1e-8)
