"""Make weekly records of pumps that wear out, fail and are repaired, with two columns that were written after the fact.

Wear grows by a random amount a week, faster under load and at some sites; the hazard of a failure is logistic in it, and a repair takes
it back. Readings show the wear with noise. The target is a failure in the next HORIZON weeks. `crew_hours` and `parts_cost` belong to the
week's quarter: in the old records they were completed afterwards, so they hold what the coming failure cost; in the new ones, as at the
time of every prediction, they hold the routine only.
"""

from pathlib import Path

import numpy as np
import pandas as pd

SEED = 295_610_841
HORIZON, WEEKS, SITES, TRIALS = 4, 60, 6, 60
# So many that an honest cross-validation foretells the AUC to a hundredth.
PUMPS = {"train": 200, "new": 200}


def pump_weeks(pump: int, first_week: int, after_the_fact: bool, rng: np.random.Generator) -> pd.DataFrame:
    site = rng.integers(SITES)
    nature, wear, since = rng.normal(0, 0.15), rng.uniform(0, 1.5), rng.integers(0, 30)
    rows, failed = [], []
    for week in range(WEEKS + HORIZON):
        load = np.exp(rng.normal(3, 0.35))
        wear += rng.gamma(1.2, 0.055) * (load / 20) * (1 + 0.12 * site)
        since += 1
        rows.append(
            {
                "pump": f"P{pump:03d}",
                "site": f"S{site}",
                "week": first_week + week,
                "weeks_since_repair": since,
                "load": round(load, 2),
                "vibration": round(2 + wear + nature + rng.normal(0, 0.33), 3),
                "temperature": round(55 + 2 * wear + 0.2 * load + rng.normal(0, 4), 2),
                "alarms": rng.poisson(0.15 * np.exp(0.5 * wear)),
            }
        )
        failed.append(rng.random() < 1 / (1 + np.exp(10.0 - 2.85 * wear)))
        if failed[-1]:
            wear, since = rng.uniform(0, 0.4), 0
    table = pd.DataFrame(rows)[:WEEKS]
    table["fails"] = [int(any(failed[week + 1 : week + 1 + HORIZON])) for week in range(WEEKS)]
    booked = table["fails"] * after_the_fact * (rng.random(WEEKS) < 0.97)
    table["crew_hours"] = (rng.gamma(2, 2, WEEKS) + booked * rng.gamma(9, 3, WEEKS)).round(1)
    table["parts_cost"] = (rng.gamma(2, 60, WEEKS) + booked * rng.gamma(8, 150, WEEKS)).round()
    # readings drop out now and then
    table.loc[rng.random(WEEKS) < 0.04, "vibration"] = np.nan
    return table


def main() -> None:
    rng = np.random.default_rng(SEED)
    made, pump = {}, 0
    for name, first_week in (("train", 0), ("new", WEEKS + HORIZON)):
        tables = []
        for _ in range(PUMPS[name]):
            pump += 1
            tables.append(pump_weeks(pump, first_week, name == "train", rng))
        table = pd.concat(tables, ignore_index=True)
        trial = pd.DataFrame(rng.normal(size=(len(table), TRIALS)).round(2), columns=[f"trial_{i:03d}" for i in range(TRIALS)])
        made[name] = pd.concat([table, trial], axis=1)
    for folder in ("workspace", "hidden"):
        Path(folder).mkdir(exist_ok=True)
    made["train"].to_csv("workspace/train.csv", index=False)
    new = made["new"].rename_axis("id").reset_index()
    new.drop(columns="fails").to_csv("workspace/new.csv", index=False)
    new[["id", "fails"]].to_csv("hidden/labels.csv", index=False)


if __name__ == "__main__":
    main()
