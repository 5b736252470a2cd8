"""Make one table of person-years from the RAND Health Insurance Experiment, and split it by person.

Each row has what was known before the year began, with the care of the year before; the label is whether the person was then
admitted to hospital. A person's row also tells the label of the row before it, so a held-out person has only the last one.
"""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 482_917_365
TEST_SHARE = 0.5
PERSON = {
    "year": "year",
    "coins": "coinsurance",
    "idp": "deductible",
    "xage": "age",
    "female": "female",
    "educdec": "education",
    "linc": "log_income",
    "num": "family_size",
    "child": "child",
    "disea": "chronic_diseases",
    "physlm": "limitation",
    "mhi": "mental_health",
    "ghindx": "general_health",
    "hlthg": "rated_good",
    "hlthf": "rated_fair",
    "hlthp": "rated_poor",
}
BEFORE = {
    "totadm": "last_admissions",
    "mdvis": "last_physician_visits",
    "notmdvis": "last_other_visits",
    "mentvis": "last_mental_visits",
    "outpdol": "last_outpatient_dollars",
    "drugdol": "last_drug_dollars",
    "inpdol": "last_inpatient_dollars",
}


def load() -> pd.DataFrame:
    table = pd.read_csv(files("statsmodels.datasets.randhie") / "src" / "randhie.csv").sort_values(["zper", "year"])
    by_person = table.groupby("zper")
    made = table[["zper", *PERSON]].rename(columns=PERSON)
    for column, name in BEFORE.items():
        made[name] = by_person[column].shift()
    made["admitted"] = (table["totadm"] > 0).astype(int)
    follows = by_person["year"].diff() == 1
    return made[follows].round(3)


def main() -> None:
    table = load()
    source = np.random.default_rng(SEED)
    people = source.permutation(table["zper"].unique())
    held_out = set(people[: int(TEST_SHARE * len(people))])
    test = table[table["zper"].isin(held_out)].groupby("zper").tail(1)
    train = table[~table["zper"].isin(held_out)]
    train = train.iloc[source.permutation(len(train))].copy()
    # Numbers of our own: the original ones also say where a person lived.
    train["zper"] = train["zper"].map({person: place for place, person in enumerate(train["zper"].unique())})
    train = train.rename(columns={"zper": "person"})
    test = test.iloc[source.permutation(len(test))].drop(columns="zper").reset_index(drop=True).rename_axis("id")

    workspace, hidden = Path("workspace"), Path("hidden")
    workspace.mkdir(exist_ok=True)
    hidden.mkdir(exist_ok=True)
    train.to_csv(workspace / "train.csv", index=False)
    test.drop(columns="admitted").to_csv(workspace / "test.csv")
    test[["admitted"]].to_csv(hidden / "labels.csv")


if __name__ == "__main__":
    main()
