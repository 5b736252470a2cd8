# %%
import json

import numpy as np
import pandas as pd
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight

patients = pd.read_csv("patients.csv")
print(patients.describe().T.round(2))
print(patients["died"].value_counts(), patients["transplant_day"].notna().value_counts())

# %%
# A quarter of the lives are censored, so no plain means or medians. All patients, from acceptance:
curve = SurvfuncRight(patients["last_day"], patients["died"])
median = curve.quantile(0.5)
print("median:", median, "interval:", curve.quantile_ci(0.5))

# %%
# The area below the curve until day 365; its variance follows from Greenwood's.
horizon = 365
early = curve.surv_times < horizon
at_risk, deaths = curve.n_risk[early], curve.n_events[early]
areas = np.diff([*curve.surv_times[early], horizon]) * curve.surv_prob[early]
mean = curve.surv_times[0] + areas.sum()
still = np.cumsum(areas[::-1])[::-1]
mean_error = np.sqrt((still**2 * deaths / (at_risk * (at_risk - deaths))).sum())
print("restricted mean:", mean, "+-", mean_error)

# %%
# How long did those wait who got a heart, and how long did the others live? Who dies early never gets one: sorting the patients by
# whether they ever did would credit the heart with the days before it.
got_one = patients["transplant_day"].notna()
print(patients.loc[got_one, "transplant_day"].describe(), patients.loc[~got_one, "last_day"].describe(), sep="\n")

# %%
# Until a transplant every patient is one who waits; the transplant ends that observation.
until = patients["transplant_day"].fillna(patients["last_day"])
died_waiting = patients["died"].where(~got_one, 0)
waiting = SurvfuncRight(until, died_waiting)
alive = waiting.surv_prob[waiting.surv_times <= 90][-1]
print("alive on day 90 without transplant:", alive)

# %%
# The same in the Cox model: one row for the time without, one for the time with the new heart.
without = patients.assign(start=0.0, stop=until, event=died_waiting, heart=0.0)
treated = patients[got_one]
with_heart = treated.assign(start=treated["transplant_day"], stop=treated["last_day"], event=treated["died"], heart=1.0)
states = pd.concat([without, with_heart])
states = states[states["stop"] > states["start"]]  # a transplant on day 0 leaves no time without
assert states["event"].sum() == patients["died"].sum()
columns = states[["heart", "age", "year", "surgery"]].astype(float)
fit = PHReg(states["stop"], columns, status=states["event"], entry=states["start"], ties="efron").fit()
print(fit.summary())

# %%
effect, error = fit.params[0], fit.bse[0]
answer = {
    "median_days": float(median),
    "mean_days": float(mean),
    "mean_low": float(mean - 1.96 * mean_error),
    "mean_high": float(mean + 1.96 * mean_error),
    "alive_without_transplant": float(alive),
    "hazard_ratio": float(np.exp(effect)),
    "ratio_low": float(np.exp(effect - 1.96 * error)),
    "ratio_high": float(np.exp(effect + 1.96 * error)),
}
with open("answer.json", "w") as file:
    json.dump(answer, file, indent=2)
print(answer)
