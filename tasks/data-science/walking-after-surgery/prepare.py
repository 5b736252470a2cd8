"""Draw the patients of a documented structural model, in which every patient's walking distance under either treatment is known.

Arrows, in order of time (what is after the decision is marked *):

    age, severity, hospital -> exercise            the sick, and one hospital, get the supervised exercise more often
    week                    -> exercise            the therapist's weeks on duty: nothing else depends on them
    age, severity, hospital -> distance*           severity with a bend: beyond a point, each step costs more
    smoker                  -> distance*
    exercise                -> strength*           a mediator: most of what exercise does, it does through strength
    strength, exercise      -> distance*           and it does more for the severe
    exercise, distance      -> readmitted*         a collider: the exercised are watched, those who walk badly come back

So everyone's mean effect is identified by age, severity and hospital; strength takes part of the effect away, readmission opens a path
that is not there, and a line through severity leaves confounding over, since both its arrows bend.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 827_364_519
PATIENTS = 12_000
HOSPITALS = np.array(["Ahorn", "Birke", "Linde"])


def draw(random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the patients as recorded, and their distances under both treatments."""
    n = PATIENTS
    hospital = random.choice(3, n, p=[0.45, 0.35, 0.2])
    age = np.clip(random.normal(66 + 3 * (hospital == 2), 9, n), 40, 92).round()
    severity = np.clip(random.gamma(4, 0.85, n) + 0.03 * (age - 66), 0, 10).round(1)
    week = random.integers(1, 5, n)
    smoker = random.binomial(1, 0.25, n)
    bend = np.maximum(severity - 3.5, 0)
    logit = -1.3 + 0.1 * severity + 0.55 * bend - 0.03 * (age - 66) + np.array([0.0, -0.5, 0.9])[hospital] + 0.5 * (week == 2)
    exercise = random.binomial(1, 1 / (1 + np.exp(-logit)))
    noise_strength, noise_distance = random.normal(0, 3, n), random.normal(0, 35, n)

    def lived(treated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        strength = 30 - 0.15 * (age - 66) + (0.5 + 1.2 * severity) * treated + noise_strength
        distance = 440 - 2 * severity - 42 * bend - 2.2 * (age - 66) + np.array([0, 15, -30])[hospital]
        return strength, distance - 18 * smoker + 4 * (strength - 30) + 8 * treated + noise_distance

    (_, without), (_, with_) = lived(np.zeros(n)), lived(np.ones(n))
    strength, distance = lived(exercise)
    readmitted = random.binomial(1, 1 / (1 + np.exp(-(-1.6 + 2.2 * exercise - (distance - 380) / 35))))
    table = pd.DataFrame(
        {
            "hospital": HOSPITALS[hospital],
            "week": week,
            "age": age.astype(int),
            "smoker": smoker,
            "severity": severity,
            "exercise": exercise,
            "strength": strength.round(1),
            "readmitted": readmitted,
            "distance": distance.round(),
        }
    )
    return table, pd.DataFrame({"without": without, "with": with_})


def main() -> None:
    workspace, hidden = Path("workspace"), Path("hidden")
    workspace.mkdir(exist_ok=True)
    hidden.mkdir(exist_ok=True)
    table, potential = draw(np.random.default_rng(SEED))
    table.to_csv(workspace / "patients.csv", index=False)
    gain, treated = potential["with"] - potential["without"], table["exercise"] == 1
    groups = table.groupby("exercise")["distance"].mean()
    expected = {"crude": groups[1] - groups[0], "everyone": gain.mean(), "treated": gain[treated].mean()}
    (hidden / "expected.json").write_text(json.dumps(expected, default=float, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
