"""Turn the published table, one row a patient and state, into one row a patient, and compute the reference answers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight

SEED = 640_281_975
HORIZON, EARLY = 365, 90


def patients(states: pd.DataFrame) -> pd.DataFrame:
    """Return one row a patient; the order of the published table is not kept."""
    by_patient = states.groupby("id")
    table = pd.DataFrame(
        {
            "year": by_patient["year"].first().round(2),
            "age": (48 + by_patient["age"].first()).round(2),  # the published age is in years above 48
            "surgery": by_patient["surgery"].first(),
            "transplant_day": states[states["transplant"] == 1].set_index("id")["start"],
            "last_day": by_patient["stop"].max(),
            "died": by_patient["event"].last(),
        }
    )
    table = table.iloc[np.random.RandomState(SEED).permutation(len(table))].reset_index(drop=True)
    table.insert(0, "patient", range(1, len(table) + 1))
    return table


def restricted_mean(curve: SurvfuncRight, until: float) -> tuple[float, float]:
    """Return the area below a Kaplan-Meier curve, and its standard error."""
    early = curve.surv_times < until
    at_risk, deaths = curve.n_risk[early], curve.n_events[early]
    areas = np.diff([*curve.surv_times[early], until]) * curve.surv_prob[early]
    mean = curve.surv_times[0] + areas.sum()
    still = np.cumsum(areas[::-1])[::-1]
    return float(mean), float(np.sqrt((still**2 * deaths / (at_risk * (at_risk - deaths))).sum()))


def hazard_ratio(table: pd.DataFrame) -> tuple[float, float, float]:
    """Return the ratio and its interval from a Cox model in which a patient counts as treated from the transplant on."""
    waiting = table.assign(start=0.0, stop=table["transplant_day"].fillna(table["last_day"]), heart=0.0)
    waiting["event"] = table["died"].where(table["transplant_day"].isna(), 0)
    treated = table.dropna(subset="transplant_day").assign(heart=1.0)
    treated = treated.assign(start=treated["transplant_day"], stop=treated["last_day"], event=treated["died"])
    states = pd.concat([waiting, treated])
    states = states[states["stop"] > states["start"]]
    columns = states[["heart", "age", "year", "surgery"]].astype(float)
    fit = PHReg(states["stop"], columns, status=states["event"], entry=states["start"], ties="efron").fit()
    effect, error = fit.params[0], fit.bse[0]
    return tuple(float(np.exp(effect + side * 1.96 * error)) for side in (0, -1, 1))


def main() -> None:
    workspace, hidden = Path("workspace"), Path("hidden")
    workspace.mkdir(exist_ok=True)
    hidden.mkdir(exist_ok=True)
    patients(pd.read_csv(Path(__file__).with_name("stanford_heart.csv"))).to_csv(workspace / "patients.csv", index=False)
    # What an analyst reads from the file, so that rounding is the same.
    table = pd.read_csv(workspace / "patients.csv")
    assert (len(table), table["died"].sum(), table["transplant_day"].count()) == (103, 75, 69)
    curve = SurvfuncRight(table["last_day"], table["died"])
    mean, error = restricted_mean(curve, HORIZON)
    until_transplant = table["transplant_day"].fillna(table["last_day"])
    waiting = SurvfuncRight(until_transplant, table["died"].where(table["transplant_day"].isna(), 0))
    ratio, low, high = hazard_ratio(table)
    expected = {
        "median_days": float(curve.quantile(0.5)),
        "mean_days": mean,
        "mean_low": mean - 1.96 * error,
        "mean_high": mean + 1.96 * error,
        "alive_without_transplant": float(waiting.surv_prob[waiting.surv_times <= EARLY][-1]),
        "hazard_ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
    }
    (hidden / "expected.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
