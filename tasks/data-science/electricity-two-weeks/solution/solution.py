# %%
import numpy as np
import pandas as pd

history = pd.read_csv("history.csv", parse_dates=["time"]).set_index("time")["demand"]
future = pd.read_csv("future.csv", parse_dates=["time"])
print(history.describe().round(0), history.isna().sum(), history.index.to_series().diff().value_counts())
print(history.resample("D").mean().tail(28).round(0).to_string())

# %%
# People live by their own clocks: put the summer on the clock of the autumn, else its mornings come an hour too early.
autumn = pd.Timestamp("2012-04-01 02:00")
print(history.groupby([history.index < autumn, history.index.hour]).mean().unstack(0).round(0).iloc[3:10])
local = history.copy()
local.index = history.index.where(history.index >= autumn, history.index + pd.Timedelta("1h"))
local = local[~local.index.duplicated()]

# %%
# A profile: the mean of each hour on working days, Saturdays and Sundays of the last few weeks, without holidays.
HOLIDAYS = pd.to_datetime(["2012-01-02", "2012-01-26", "2012-03-12", "2012-04-06", "2012-04-07", "2012-04-08", "2012-04-09", "2012-04-25"])
LEVELS = [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975]
HOURS = 14 * 24


def ordinary(series):
    return series[~series.index.normalize().isin(HOLIDAYS)]


def kinds(index):
    return pd.MultiIndex.from_arrays([np.maximum(index.day_of_week, 4), index.hour])


def profile(past, index, weeks):
    recent = ordinary(past.iloc[-weeks * 7 * 24 :])
    return recent.groupby(kinds(recent.index)).mean().reindex(kinds(index)).to_numpy()


def backtest(past, weeks, days=35):
    """Return actual / forecast for two weeks from each of the last midnights, whatever of them has happened."""
    ratios = []
    for back in range(1, days + 1):
        start = len(past) - 24 * back
        actual = ordinary(past.iloc[start : start + HOURS])
        ratios.append(actual / profile(past.iloc[:start], actual.index, weeks))
    return pd.concat(ratios).to_numpy()


def quantiles(past, index, weeks):
    return profile(past, index, weeks)[:, None] * np.quantile(backtest(past, weeks), LEVELS)


def pinball(actual, forecast):
    error = np.asarray(actual)[:, None] - forecast
    return np.maximum(LEVELS * error, (np.array(LEVELS) - 1) * error).mean()


# %%
# How many weeks? Forecast weeks that are over, each from what was known before it, with quantiles from what was known before it.
scores = {}
for weeks in (2, 3, 4):
    for back in (14, 17, 20):
        past, actual = local.iloc[: -24 * back], local.iloc[-24 * back :].iloc[:HOURS]
        scores[weeks, back] = pinball(actual, quantiles(past, actual.index, weeks))
print(pd.Series(scores).unstack().assign(mean=lambda table: table.mean(axis=1)).round(1))

# %%
# The fewest weeks do best: the level is rising. The spread of the backtest's ratios is what two weeks ahead can really go wrong.
weeks = 2
print("ratios:", np.quantile(backtest(local, weeks), LEVELS).round(3))
inside = ordinary(local.iloc[-weeks * 7 * 24 :])
print("within the weeks it is made of:", np.quantile(inside / profile(local, inside.index, weeks), LEVELS).round(3))

# %%
forecast = quantiles(local, pd.DatetimeIndex(future["time"]), weeks)
columns = ["q025", "q10", "q25", "q50", "q75", "q90", "q975"]
submission = pd.concat([future["id"], pd.DataFrame(forecast, columns=columns).round(2)], axis=1)
assert np.isfinite(forecast).all() and (np.diff(forecast) >= 0).all()
submission.to_csv("forecast.csv", index=False)
print(submission.describe().T.round(0))
