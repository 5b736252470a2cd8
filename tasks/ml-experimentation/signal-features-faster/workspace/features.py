"""Features of sensor signals. Right, and slow."""

import math

import numpy as np

NAMES = ["mean", "std", "lowest_level", "largest_spread", "lag_1", "lag_2", "lag_3", "low", "middle", "high", "order", "sample", "run"]
WINDOW = 25


def filled(signal):
    """Return the signal with gaps (NaN) interpolated, ends repeated; one that is all gaps is all 0."""
    known = [i for i in range(len(signal)) if not math.isnan(signal[i])]
    if not known:
        return [0.0] * len(signal)
    values = []
    for i in range(len(signal)):
        before, after = [k for k in known if k <= i], [k for k in known if k >= i]
        if not before:
            values.append(float(signal[after[0]]))
        elif not after or before[-1] == i:
            values.append(float(signal[before[-1]]))
        else:
            a, b = before[-1], after[0]
            values.append(float(signal[a] + (signal[b] - signal[a]) * (i - a) / (b - a)))
    return values


def mean_std(values):
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))


def describe(signal):
    values = filled(signal)
    n = len(values)
    mean, std = mean_std(values)
    windows = [mean_std(values[i : i + WINDOW]) for i in range(n - WINDOW + 1)]
    found = [mean, std, min(m for m, _ in windows), max(s for _, s in windows)]
    if std < 1e-9:
        # a flat signal has neither rhythm nor surprise
        return found + [0.0] * (len(NAMES) - len(found))

    away = [v - mean for v in values]
    for lag in (1, 2, 3):
        found.append(sum(away[i] * away[i + lag] for i in range(n - lag)) / (n * std**2))

    power = []
    for k in range(1, n // 2 + 1):
        real = sum(away[t] * math.cos(2 * math.pi * k * t / n) for t in range(n))
        imaginary = sum(away[t] * math.sin(2 * math.pi * k * t / n) for t in range(n))
        power.append(real**2 + imaginary**2)
    third = len(power) // 3
    for part in (power[:third], power[third : 2 * third], power[2 * third :]):
        found.append(sum(part) / sum(power))

    # entropy of the orders of three successive values; of equal ones the earlier counts as smaller
    orders = [tuple(sorted((0, 1, 2), key=lambda j: values[i + j])) for i in range(n - 2)]
    shares = [orders.count(order) / len(orders) for order in set(orders)]
    found.append(-sum(share * math.log(share) for share in shares))

    # sample entropy: of the pairs of places that agree for two values, how many agree for the third
    agree_two = agree_three = 0
    for i in range(n - 2):
        for j in range(i + 1, n - 2):
            if abs(values[i] - values[j]) <= 0.2 * std and abs(values[i + 1] - values[j + 1]) <= 0.2 * std:
                agree_two += 1
                if abs(values[i + 2] - values[j + 2]) <= 0.2 * std:
                    agree_three += 1
    found.append(math.log((agree_two + 1) / (agree_three + 1)))

    longest = run = 0
    for v in away:
        run = run + 1 if v > 1e-9 else 0
        longest = max(longest, run)
    found.append(float(longest))
    return found


def features(signals):
    """Return an array (signals, features) of floats for an array (signals, length); all signals have one length, 64 to 512."""
    return np.array([describe(signal) for signal in signals])
