# %%
# One least-squares regression a question, on the rows and columns as they are: the difference or slope that a table shows.
import json

import pandas as pd
import statsmodels.api as sm

table = pd.read_csv(OPTIONS["table"])
print(table.shape, table.dtypes.value_counts().to_dict())


# %%
def associated(outcome, exposure, levels=None, event=None, where=None, controls=()):
    rows = table
    for column, value in (where or {}).items():
        rows = rows[rows[column] == value]
    rows = rows[rows[exposure].isin(levels)] if levels else rows
    rows = rows[[outcome, exposure, *controls]].dropna()
    y = rows[outcome] if event is None else rows[outcome] == event
    x = rows[exposure] if levels is None else rows[exposure] == levels[1]
    design = pd.get_dummies(pd.concat([x, rows[list(controls)]], axis=1), drop_first=True)
    design = sm.add_constant(design.astype(float))
    fit = sm.OLS(y.astype(float), design).fit()
    low, high = fit.conf_int().loc[exposure]
    return {"p_value": fit.pvalues[exposure], "estimate": fit.params[exposure], "ci_low": low, "ci_high": high}


answer = {name: associated(**question) for name, question in OPTIONS["questions"].items()}
print(pd.DataFrame(answer).T)

# %%
answer["significant"] = [name for name, found in answer.items() if found["p_value"] < 0.05]
with open(OPTIONS["submission"], "w") as file:
    json.dump({**answer, **OPTIONS.get("also", {})}, file, default=float)
