"""Split the hourly demand of Victoria into a history for the agent and two hidden weeks."""

from importlib.resources import files
from pathlib import Path

import pandas as pd

FUTURE = 14 * 24


def main() -> None:
    source = files("statsmodels.tsa.stl") / "tests" / "results" / "mstl_elec_vic.csv"
    table = pd.read_csv(source).rename(columns={"ds": "time", "y": "demand"}).round(2)
    assert (len(table), table["time"].iloc[-1]) == (3600, "2012-05-29 23:00:00")
    history, future = table.iloc[:-FUTURE], table.iloc[-FUTURE:].reset_index(drop=True).rename_axis("id")

    workspace, hidden = Path("workspace"), Path("hidden")
    workspace.mkdir(exist_ok=True)
    hidden.mkdir(exist_ok=True)
    history.to_csv(workspace / "history.csv", index=False)
    future[["time"]].to_csv(workspace / "future.csv")
    future[["demand"]].to_csv(hidden / "labels.csv")


if __name__ == "__main__":
    main()
