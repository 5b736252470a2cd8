"""Fit the right model to the right columns, and take the rows for independent although people have several."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm

visits = pd.read_csv("visits.csv")
columns = ["lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp"]
fitted = sm.NegativeBinomial(visits["mdvis"], sm.add_constant(visits[columns])).fit(maxiter=200, disp=0)
effect, error, alpha = fitted.params["lncoins"] * np.log(96), fitted.bse["lncoins"] * np.log(96), fitted.params["alpha"]
answer = {"distribution": "negative_binomial", "covariates": columns, "rate_ratio": np.exp(effect)}
answer |= {"ci_low": np.exp(effect - 1.96 * error), "ci_high": np.exp(effect + 1.96 * error)}
answer["share_without_visits"] = ((1 + alpha * fitted.predict()) ** (-1 / alpha)).mean()
Path("answer.json").write_text(json.dumps(answer, default=float))
