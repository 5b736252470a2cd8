# %%
# Two tables merged on the key as it is written, and a few aggregates: right where the tables are clean.
import pandas as pd

left, right = pd.read_csv(OPTIONS["left"]), pd.read_csv(OPTIONS["right"])
print(left.head(), right.head(), sep="\n")

# %%
left = left.drop_duplicates(OPTIONS["key"]).rename(columns=OPTIONS.get("rename", {}))
joined = left.merge(right, on=OPTIONS["on"], how="left", suffixes=("", "_right"))
result = left.set_index(OPTIONS["key"])
for column in OPTIONS.get("times", []):
    times = pd.to_datetime(result[column], format="mixed", utc=True, errors="coerce")
    result[column] = times.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
for name, aggregate in OPTIONS["aggregates"].items():
    rows = joined
    for column, value in aggregate.get("where", {}).items():
        rows = rows[rows[column] == value]
    result[name] = rows.groupby(OPTIONS["key"])[aggregate["column"]].agg(aggregate["how"])
print(result.head())

# %%
result[OPTIONS["columns"]].to_csv(OPTIONS["submission"])
