# %%
import json

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

patients = pd.read_csv("patients.csv")
print(patients.describe().T.round(2))
means = patients.groupby("exercise")["distance"].mean()
crude = means[1] - means[0]
print("crude", crude)

# %%
# Who gets it? And does the crude difference hold among patients who are alike ill?
grouped = patients.assign(ill=pd.cut(patients["severity"], [-1, 1, 2, 3, 4, 5, 6, 7, 8, 10]))
print(grouped.groupby("ill")["exercise"].agg(["mean", "size"]).round(2))
print(grouped.groupby(["ill", "exercise"])["distance"].mean().unstack().round(0))
print(patients.groupby("hospital")[["exercise", "distance", "age", "severity"]].mean().round(2))

# %%
# It turns round: the ill get it more often. Strength and readmission come after the decision: a step on the way, and a consequence
# of both. The week moves only the decision, so it is of no use. Severity bends, so splines; effects may differ, so everything
# interacts with the treatment, and the effects are averages of what each patient gains by the model.
FORMULA = "distance ~ exercise * (C(hospital) + smoker + bs(age, df=4) + bs(severity, df=6))"


def effects(sample):
    model = smf.ols(FORMULA, sample).fit()
    gain = model.predict(sample.assign(exercise=1)) - model.predict(sample.assign(exercise=0))
    return gain.mean(), gain[sample["exercise"] == 1].mean()


everyone, treated = effects(patients)
print("everyone", everyone, "treated", treated)

# %%
random = np.random.default_rng(0)
boot = np.array([effects(patients.iloc[random.integers(0, len(patients), len(patients))].reset_index(drop=True)) for _ in range(60)])
halves = 1.96 * boot.std(axis=0, ddof=1)
print("half lengths of the intervals", halves)

# %%
# By another way: weights from a model of the decision.
decision = smf.logit("exercise ~ C(hospital) + bs(age, df=4) + bs(severity, df=6)", patients).fit(disp=False).predict()
got = patients["exercise"] == 1
weights = np.where(got, 1 / decision, 1 / (1 - decision))
weighted = [np.average(patients["distance"][group], weights=weights[group]) for group in (got, ~got)]
print("everyone, by weights", weighted[0] - weighted[1])

# %%
answer = {
    "crude": {"estimate": crude},
    "everyone": {"estimate": everyone, "ci_low": everyone - halves[0], "ci_high": everyone + halves[0]},
    "treated": {"estimate": treated, "ci_low": treated - halves[1], "ci_high": treated + halves[1]},
    "adjusted_for": ["age", "severity", "hospital", "smoker"],
}
with open("answer.json", "w") as file:
    json.dump(answer, file, indent=2, default=float)
print(answer)
