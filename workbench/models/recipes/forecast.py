# %%
# Seasonal naive: what was a season ago will be again, as surely as that has been true in the past.
import numpy as np
import pandas as pd

history = pd.read_csv(OPTIONS["history"]).sort_values(OPTIONS["time"])[OPTIONS["value"]].to_numpy()
future = pd.read_csv(OPTIONS["future"]).sort_values(OPTIONS["time"])
season, levels = OPTIONS["season"], OPTIONS["levels"]
print(len(history), "values,", len(future), "to forecast, season", season)

# %%
# The rule's errors depend on how many seasons it looks back.
ahead = np.arange(len(future))
seasons = ahead // season + 1
point = history[-season:][ahead % season]
spread = {back: np.quantile(history[back * season :] - history[: -back * season], list(levels.values())) for back in set(seasons)}
forecast = pd.DataFrame([value + spread[back] for value, back in zip(point, seasons)], columns=list(levels))
print(forecast.describe())

# %%
forecast.insert(0, OPTIONS["id"], future[OPTIONS["id"]].to_numpy())
forecast.to_csv(OPTIONS["submission"], index=False)
