"""The force of the muscle, and a fit of its five constants: basal, top, log10(EC50), n, log10(KB)."""

import numpy as np
from scipy.optimize import least_squares

LOW = np.array([0, 50, -11, 0.5, -11])
HIGH = np.array([40, 120, -3, 8, -3])


def force(constants, agonist, antagonist):
    """Return the expected force in mN for arrays of concentrations in mol/L."""
    basal, top, ec50, n, kb = constants
    half = 10.0**ec50 * (1 + np.asarray(antagonist, float) / 10.0**kb)
    return basal + (top - basal) / (1 + (half / np.maximum(agonist, 1e-30)) ** n)


def fit(agonist, antagonist, measured):
    """Return the constants with the least squares, of many starts."""
    measured = np.asarray(measured, float)

    def residuals(constants):
        return force(constants, agonist, antagonist) - measured

    starts = [np.array([5, 80, ec50, n, kb]) for ec50 in np.arange(-10.75, -3, 0.5) for kb in np.arange(-10.5, -3, 1) for n in (1.5, 4)]
    starts.sort(key=lambda start: (residuals(start) ** 2).sum())
    found = [least_squares(residuals, start, bounds=(LOW, HIGH), x_scale=[5, 5, 0.1, 0.5, 0.1]) for start in starts[:6]]
    return min(found, key=lambda each: each.cost).x
