"""Cut the traffic record of a freeway into what is known and the three months that are to be forecast."""

import sysconfig
from pathlib import Path

import pandas as pd

# Not imported: only its data are wanted.
RECORD = Path(sysconfig.get_path("purelib")) / "autots/datasets/data/traffic_hourly.zip"
CUT = "2018-07-02"  # a Monday
ZERO_CELSIUS = 273.15


def load() -> pd.DataFrame:
    record = pd.read_csv(RECORD).dropna()
    return pd.DataFrame(
        {
            "time": record["datetime"],
            "temperature": (record["temp"] - ZERO_CELSIUS).round(2),
            "rain": record["rain_1h"],
            "clouds": record["clouds_all"].astype(int),
            "weather": record["weather_main"],
            "vehicles": record["traffic_volume"].astype(int),
        }
    )


def main() -> None:
    record = load()
    known = record[record["time"] < CUT]
    asked = record[record["time"] >= CUT].reset_index(drop=True).rename_axis("id")

    workspace, hidden = Path("workspace"), Path("hidden")
    workspace.mkdir(exist_ok=True)
    hidden.mkdir(exist_ok=True)
    known.to_csv(workspace / "train.csv", index=False)
    asked.drop(columns="vehicles").to_csv(workspace / "test.csv")
    asked[["time", "vehicles"]].to_csv(hidden / "labels.csv")


if __name__ == "__main__":
    main()
