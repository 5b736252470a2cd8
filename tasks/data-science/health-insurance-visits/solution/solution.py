# %%
import json

import numpy as np
import pandas as pd
import statsmodels.api as sm

visits = pd.read_csv("visits.csv")
print(visits.shape, "people:", visits["person"].nunique(), "rows a person:", visits.groupby("person").size().median())
print(visits.describe().T.round(2))

# %%
# A count: how is it spread, within the coinsurance rates and over all?
by_rate = visits.assign(coinsurance=np.expm1(visits["lncoins"]).round()).groupby("coinsurance")["mdvis"]
print(by_rate.agg(["size", "mean", "var", lambda counts: (counts == 0).mean()]).round(2))

# %%
# Plan and health on joining. Admissions and spending happen during the year, after the plan had its effect: not controls.
covariates = ["lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp"]
X, y = sm.add_constant(visits[covariates]), visits["mdvis"]
poisson = sm.Poisson(y, X).fit(disp=False)
mean = poisson.predict()
print("dispersion:", ((y - mean) ** 2 / mean).sum() / poisson.df_resid)
print("share without visits: observed", (y == 0).mean(), "Poisson", np.exp(-mean).mean())

# %%
# Far from Poisson. The negative binomial has the dispersion as a parameter.
plain = sm.NegativeBinomial(y, X).fit(disp=False, maxiter=1000)
mean, alpha = plain.predict(), plain.params["alpha"]
share = ((1 + alpha * mean) ** (-1 / alpha)).mean()
print("log-likelihood:", poisson.llf, "->", plain.llf, "alpha:", alpha, "share without visits:", share)

# %%
# The same people come back each year: are their counts alike beyond what the columns explain?
residual = (y - mean) / np.sqrt(mean + alpha * mean**2)
pairs = pd.DataFrame({"now": residual, "before": residual.groupby(visits["person"]).shift()}).dropna()
print("correlation with the same person's row before:", pairs.corr().iloc[0, 1])

# %%
# They are, so the standard errors have to allow for it.
groups = visits["person"].astype("category").cat.codes
model = sm.NegativeBinomial(y, X).fit(disp=False, maxiter=1000, cov_type="cluster", cov_kwds={"groups": groups})
print(pd.DataFrame({"independent rows": plain.bse, "by person": model.bse}).round(4))

# %%
step = np.log(95 + 1)
effect, error = step * model.params["lncoins"], step * model.bse["lncoins"]
answer = {
    "distribution": "negative_binomial",
    "covariates": covariates,
    "rate_ratio": float(np.exp(effect)),
    "ci_low": float(np.exp(effect - 1.96 * error)),
    "ci_high": float(np.exp(effect + 1.96 * error)),
    "share_without_visits": float(share),
}
with open("answer.json", "w") as file:
    json.dump(answer, file, indent=2)
print(answer)
