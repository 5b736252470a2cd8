"""Write the RAND Health Insurance Experiment's table, and the reference answers by fitting the reference models."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from statsmodels.datasets import randhie

PLAN = ["lncoins", "idp", "lpi", "fmde"]
HEALTH = ["physlm", "disea", "hlthg", "hlthf", "hlthp"]
COVARIATES = PLAN + HEALTH
COMPARED = np.log(95 + 1)  # lncoins at 95 % coinsurance; free care has 0


def load() -> pd.DataFrame:
    """Return the table of Cameron and Trivedi with the person's number and two outcomes from the full file beside it."""
    table = randhie.load_pandas().data
    full = pd.read_csv(files("statsmodels.datasets.randhie") / "src" / "randhie.csv")
    # The two files are joined by position; these would differ if it were another.
    assert (table["mdvis"].to_numpy() == full["mdvis"].to_numpy()).all()
    assert np.allclose(table[["idp", "lpi", "fmde", "disea"]], full[["idp", "lpi", "fmde", "disea"]])
    table.insert(0, "person", full["zper"].astype(int))
    table["admissions"] = full["totadm"].astype(int)
    table["outpatient_dollars"] = full["outpdol"].round(2)
    for column in ("mdvis", "idp", "hlthg", "hlthf", "hlthp"):
        table[column] = table[column].astype(int)
    return table


def reference(table: pd.DataFrame, variance: str) -> dict[str, float]:
    """Return the answers of a negative binomial regression with standard errors that are robust within persons."""
    model = sm.NegativeBinomial(table["mdvis"], sm.add_constant(table[COVARIATES]), loglike_method=variance)
    groups = table["person"].astype("category").cat.codes
    fit = model.fit(disp=False, maxiter=1000, cov_type="cluster", cov_kwds={"groups": groups})
    assert fit.mle_retvals["converged"]
    low, high = fit.conf_int().loc["lncoins"]
    mean, alpha = fit.predict(), fit.params["alpha"]
    none = (1 + alpha * mean) ** (-1 / alpha) if variance == "nb2" else (1 + alpha) ** (-mean / alpha)
    return {
        "rate_ratio": float(np.exp(COMPARED * fit.params["lncoins"])),
        "ci_low": float(np.exp(COMPARED * low)),
        "ci_high": float(np.exp(COMPARED * high)),
        "share_without_visits": float(none.mean()),
        "log_likelihood": float(fit.llf),
    }


def main() -> None:
    workspace, hidden = Path("workspace"), Path("hidden")
    workspace.mkdir(exist_ok=True)
    hidden.mkdir(exist_ok=True)
    load().to_csv(workspace / "visits.csv", index=False)
    # What an analyst reads from the file, so that rounding is the same.
    table = pd.read_csv(workspace / "visits.csv")
    expected = {
        "covariates": COVARIATES,
        # The data prefer the variance linear in the mean (NB1) to the usual quadratic one (NB2): either is a sound answer.
        "references": {variance: reference(table, variance) for variance in ("nb2", "nb1")},
    }
    (hidden / "expected.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
