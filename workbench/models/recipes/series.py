# %%
# Gradient boosting on the calendar and on what is known of the hours to come: what a series says about the time of the year, week and day.
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

train, test = (pd.read_csv(OPTIONS[name], parse_dates=[OPTIONS["time"]]) for name in ("train", "test"))
start = train[OPTIONS["time"]].min()
print(train.shape, test.shape, start, test[OPTIONS["time"]].max())


def features(table):
    time = table[OPTIONS["time"]].dt
    calendar = {name: getattr(time, name) for name in ("month", "day", "day_of_week", "hour")}
    known = table[[column for column in test.columns if column not in (OPTIONS["id"], OPTIONS["time"])]]
    return pd.DataFrame({"age": (table[OPTIONS["time"]] - start).dt.days, **calendar}).join(known.select_dtypes("number"))


# %%
# How well would it have done on the last part of what is known?
later = train[OPTIONS["time"]] > train[OPTIONS["time"]].quantile(0.85)
model = HistGradientBoostingRegressor(random_state=0, early_stopping=False)
model.fit(features(train[~later]), train.loc[~later, OPTIONS["target"]])
print("mean absolute error:", (model.predict(features(train[later])) - train.loc[later, OPTIONS["target"]]).abs().mean())

# %%
model.fit(features(train), train[OPTIONS["target"]])
predicted = model.predict(features(test))
pd.DataFrame({OPTIONS["id"]: test[OPTIONS["id"]], OPTIONS["column"]: predicted}).to_csv(OPTIONS["submission"], index=False)
print(predicted[:5])
