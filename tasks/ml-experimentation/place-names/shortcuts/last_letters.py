"""Look each name's last three letters up in the training names, else the last two, else the last."""

import pandas as pd

train, test = (pd.read_csv(name, keep_default_na=False) for name in ("train.csv", "test.csv"))
known = {}
for length in (3, 2, 1):
    ends = train.groupby(train["name"].str[-length:].str.lower())["country"].agg(lambda countries: countries.mode()[0])
    known |= ends.to_dict()
country = [next((known[end] for n in (3, 2, 1) if (end := name[-n:].lower()) in known), "RU") for name in test["name"]]
test.assign(country=country)[["id", "country"]].to_csv("submission.csv", index=False)
