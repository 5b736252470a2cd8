# %%
import pandas as pd

stays, labs, patients, hospitals = (pd.read_csv(f"{name}.csv", dtype=str) for name in ("stays", "labs", "patients", "hospitals"))
for table in (stays, labs, patients, hospitals):
    print(table.shape, "rows twice:", table.duplicated().sum(), table.head(4), sep="\n")
for column in ("test", "unit", "status"):
    print(labs[column].value_counts().to_dict())

# %%
# Patients: the digits are the number; then follow the register to the number that was not replaced.
merged = patients.dropna(subset="merged_into").set_index("mrn")["merged_into"].to_dict()


def person(written):
    number = written.str.strip().str.removesuffix(".0").str.extract(r"(\d+)$", expand=False).str.lstrip("0")
    assert number.isin(patients["mrn"]).all()
    while number.isin(merged.keys()).any():
        number = number.replace(merged)
    return number


stays, labs = stays.drop_duplicates(), labs.drop_duplicates()
stays["patient"], labs["patient"] = person(stays["patient"]), person(labs["patient"])
assert stays["stay"].is_unique
print(stays["patient"].nunique(), "people")

# %%
# Times: local ones by the hospital's zone and way of writing, the laboratory's with their offsets.
FORMATS = {"LIS": "%Y-%m-%d %H:%M", "VIE": "%d.%m.%Y %H:%M", "ATH": "%d/%m/%Y %I:%M %p"}
zones = hospitals.set_index("hospital")["time_zone"]
parts = [
    pd.to_datetime(rows["admitted"], format=FORMATS[hospital]).dt.tz_localize(zones[hospital]).dt.tz_convert("UTC")
    for hospital, rows in stays.groupby("hospital")
]
stays["admitted"] = pd.concat(parts)
for column in ("collected", "reported"):
    labs[column] = pd.to_datetime(labs[column], utc=True)
print(stays["admitted"].describe())

# %%
# Messages: the last of each specimen, in one unit a test.
last = labs.sort_values("reported").drop_duplicates("specimen", keep="last")
results = last[last["status"] != "cancelled"].copy()
initial = results["test"].str.strip().str.lower().str.removeprefix("s-").str.removeprefix("p-").str[:2]
results["test"] = initial.map({"cr": "creatinine", "gl": "glucose", "so": "sodium", "na": "sodium"})
in_mg = results["unit"].str.lower() == "mg/dl"
factor = results["test"].map({"creatinine": 88.42, "glucose": 1 / 18.016}).where(in_mg, 1)
results["value"] = results["value"].str.replace(",", ".").astype(float) * factor
print(results.groupby(["test", "unit"])["value"].describe().round(1))

# %%
joined = stays.merge(results, on="patient").sort_values("collected")
since = joined["collected"] - joined["admitted"]
joined = joined[(since >= pd.Timedelta(0)) & (since < pd.Timedelta(hours=24))]
of = {test: rows.groupby("stay")["value"] for test, rows in joined.groupby("test")}
clean = pd.DataFrame({"patient": stays.set_index("stay")["patient"]})
clean["admitted_utc"] = stays.set_index("stay")["admitted"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
clean["specimens"] = joined.groupby("stay").size().reindex(clean.index, fill_value=0)
clean["creatinine_first"], clean["glucose_max"] = of["creatinine"].first(), of["glucose"].max()
clean.to_csv("clean.csv")
print(clean.describe(include="all"))
