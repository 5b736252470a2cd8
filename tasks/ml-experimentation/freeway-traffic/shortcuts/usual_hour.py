"""Forecast every hour as the median of that hour on that weekday."""

import pandas as pd

train, test = (pd.read_csv(name, parse_dates=["time"]) for name in ("train.csv", "test.csv"))
usual = train.groupby([train["time"].dt.day_of_week, train["time"].dt.hour])["vehicles"].median()
hours = zip(test["time"].dt.day_of_week, test["time"].dt.hour, strict=True)
test.assign(vehicles=usual.loc[list(hours)].to_numpy())[["id", "vehicles"]].to_csv("submission.csv", index=False)
