"""The organ bath: a Hill curve that a competitive antagonist shifts, and noise that only depends on how many were measured before."""

import random

from tissue_constants import BASAL, EC50, HILL, KB, TOP

NOISE = 2.5
SEED = 740_915_268
LOWEST, HIGHEST = 1e-12, 1e-2


def _checked(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (value == 0 or LOWEST <= value <= HIGHEST):
        raise ValueError(f"{name} must be 0, or a number from {LOWEST:g} to {HIGHEST:g} mol/L")
    return float(value)


class Bath:
    """Strips of muscle, each good for one measurement."""

    def __init__(self) -> None:
        self._measured = 0

    def measure(self, agonist: float, antagonist: float = 0.0) -> float:
        """Return the force in mN of a fresh strip with these concentrations in mol/L; each 0, or from 1e-12 to 1e-2."""
        agonist, antagonist = _checked(agonist, "agonist"), _checked(antagonist, "antagonist")
        noise = random.Random(f"{SEED}-{self._measured}").gauss(0, NOISE)
        self._measured += 1
        bound = agonist**HILL
        half = (EC50 * (1 + antagonist / KB)) ** HILL
        return round(BASAL + (TOP - BASAL) * bound / (bound + half) + noise, 2)
