# %%
# The textbook's first chapters: Kaplan and Meier's curve, the area below it, and Cox's model with what each subject has in the end.
import json

import numpy as np
import pandas as pd
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight

table = pd.read_csv(OPTIONS["table"])
treated = table[OPTIONS["treated"]].fillna(0).ne(0)
curve = SurvfuncRight(table[OPTIONS["duration"]], table[OPTIONS["event"]])
print(curve.summary().head(), treated.value_counts())

# %%
early = curve.surv_times < OPTIONS["horizon"]
at_risk, events = curve.n_risk[early], curve.n_events[early]
areas = np.diff([*curve.surv_times[early], OPTIONS["horizon"]]) * curve.surv_prob[early]
mean = curve.surv_times[0] + areas.sum()
error = np.sqrt((np.cumsum(areas[::-1])[::-1] ** 2 * events / (at_risk * (at_risk - events))).sum())
print("restricted mean:", mean, error)

# %%
untreated = table[~treated]
untreated_curve = SurvfuncRight(untreated[OPTIONS["duration"]], untreated[OPTIONS["event"]])
untreated_early = untreated_curve.surv_prob[untreated_curve.surv_times <= OPTIONS["early"]][-1]
columns = table[OPTIONS["adjust"]].astype(float).assign(treated=treated.astype(float))
fit = PHReg(table[OPTIONS["duration"]], columns, status=table[OPTIONS["event"]], ties="efron").fit()
print(fit.summary())

# %%
fields = OPTIONS["fields"]
found = {
    fields["median"]: curve.quantile(0.5),
    fields["mean"]: mean,
    **dict(zip(fields["mean_ends"], [mean - 1.96 * error, mean + 1.96 * error])),
    fields["untreated_early"]: untreated_early,
    fields["ratio"]: np.exp(fit.params[-1]),
    **dict(zip(fields["ratio_ends"], np.exp(fit.conf_int()[-1]))),
}
with open(OPTIONS["submission"], "w") as file:
    json.dump({name: float(value) for name, value in found.items()}, file)
print(found)
