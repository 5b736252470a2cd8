# %%
import numpy as np
from tissue import fit, force

doses, values = [], []


def ask(agonist, antagonist=0.0):
    values.append(measure(agonist, antagonist))  # noqa: F821 - a function of the task
    doses.append((agonist, antagonist))
    print(len(values), f"agonist {agonist:.2e} antagonist {antagonist:.2e}: {values[-1]}")
    return values[-1]


# %%
# The two plateaus. Half way between them is where a curve is found by halving the decades it may lie in.
middle = (ask(0) + ask(1e-2)) / 2


def halved(low, high, antagonist, times):
    for _ in range(times):
        dose = (low + high) / 2
        low, high = (low, dose) if ask(10**dose, antagonist) > middle else (dose, high)
    return low, high


low, high = halved(-12, -2, 0, 5)

# %%
# Much antagonist, so that the shift tells KB wherever that is; it can only be to the right.
print(halved(low, -2, 1e-5, 4))

# %%
# From here on each measurement is where it promises most: the expected gain of information about the worst known constant,
# in units of what each must be known to.
WANTED = np.array([4, 4, 0.05, 0.5, 0.07])
PRIOR = np.diag([1 / 10**2, 1 / 20**2, 1, 1, 1])
places = [(10**agonist, antagonist) for antagonist in (0, 1e-7, 1e-6, 1e-5) for agonist in np.arange(-12, -1.99, 0.05)]


def slopes(constants, at):
    agonist, antagonist = np.array(at).T
    steps = 1e-5 * np.eye(5)
    return np.stack(
        [(force(constants + step, agonist, antagonist) - force(constants - step, agonist, antagonist)) / 2e-5 for step in steps], 1
    )


def covariance(constants):
    known = slopes(constants, doses)
    return np.linalg.inv(known.T @ known / 2.5**2 + PRIOR)


while len(values) < 20:
    constants = fit(*np.array(doses).T, values)
    now = covariance(constants)
    tried = slopes(constants, places)
    # what one more measurement takes off the variances, weighted
    spread = tried @ now
    gain = ((spread / WANTED) ** 2).sum(1) / (2.5**2 + (spread * tried).sum(1))
    ask(*places[gain.argmax()])

# %%
constants = fit(*np.array(doses).T, values)
print(", ".join(f"{value:.3f}" for value in constants))
print("standard errors in tolerances", np.round(np.sqrt(np.diag(covariance(constants))) / WANTED, 2))
