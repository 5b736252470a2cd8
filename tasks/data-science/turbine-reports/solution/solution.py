# %%
import re

import pandas as pd

labelled, reports = pd.read_csv("labelled.csv"), pd.read_csv("reports.csv")
for text in labelled["text"].head(12):
    print(text, "\n")

# %%
# One form for all: lower case, one space. Names of parts as they occur.
PARTS = {
    "gearbox": "gear ?bo?x",
    "generator": "generator|genny",
    "pitch motor": "pitch motor|blade pitch drive",
    "yaw drive": "yaw drive|yaw motor",
    "converter": "converter|inverter cabinet",
    "brake": "brake(?: caliper)?",
}
WORDS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
LENGTH = r"(\d+) ?h ?(\d\d)m?\b|(\d+[.,]5) ?h|(\d+) min"


def date_of(text):
    found = re.search(r"\d{4}-\d\d-\d\d|\d\d\.\d\d\.\d{4}|\d\d?-[a-z]{3}-\d\d|\d\d? [a-z]{3,} \d{4}", text).group()
    for form in ("%Y-%m-%d", "%d.%m.%Y", "%d-%b-%y", "%d %B %Y"):
        day = pd.to_datetime(found, format=form, errors="coerce")
        if not pd.isna(day):
            return str(day.date())
    raise ValueError(found)


def part_of(text):
    before, after = "fault was in the|replaced the|found the", "had failed|defective"
    named = {name: rf"(?:(?<!no )(?:{before}) (?:{pattern})\b|the (?:{pattern}) (?:{after}))" for name, pattern in PARTS.items()}
    return next((name for name, pattern in named.items() if re.search(pattern, text)), None)


def downtime_of(text):
    span = re.search(r"(?:from|off) (\d\d):(\d\d)(?: until|, back on) (\d\d):(\d\d)", text)
    if span:
        h1, m1, h2, m2 = map(int, span.groups())
        return (60 * (h2 - h1) + m2 - m1) % 1440
    # Of several lengths the last is the correction.
    hours, minutes, decimal, only = re.findall(LENGTH, text)[-1]
    if hours:
        return 60 * int(hours) + int(minutes)
    return round(60 * float(decimal.replace(",", "."))) if decimal else int(only)


def temperature_of(text):
    value, unit = re.search(r"(?:oil at|temperature|oil temperature was|read|oil) (-?[\d.]+) (?:°|degrees )?(c|f)", text).groups()
    return float(value) if unit == "c" else round((float(value) - 32) * 5 / 9, 1)


def cost_of(text):
    found = re.search(r"(?:cost:?|material|eur|bill is) €?([\d.,]*\d)", text).group(1)
    whole, cents = re.fullmatch(r"(.*)[.,](\d\d)", found).groups()
    return float(re.sub(r"\D", "", whole) + "." + cents)


def injured_of(text):
    found = re.search(r"injured: (\d)|(\w+) colleagues? (?:hurt|went)", text)
    word = next(filter(None, found.groups())) if found else "0"
    return WORDS.get(word) or int(word)


def read(text):
    text = re.sub(r"\s+", " ", text.lower())
    turbine = int(re.search(r"(?:wt|turbine)(?: no\.)?[- ]?(\d+)", text).group(1))
    return {
        "turbine": f"WT-{turbine:02d}",
        "date": date_of(text),
        "part": part_of(text),
        "downtime_min": downtime_of(text),
        "temperature_c": temperature_of(text),
        "cost_eur": cost_of(text),
        "injured": injured_of(text),
    }


# %%
# Tried on what is labelled: which are read wrongly?
read_back = pd.DataFrame([read(text) for text in labelled["text"]])
for column in read_back:
    known = labelled[column]
    wrong = (read_back[column] != known) if known.dtype == object or column != "temperature_c" else (read_back[column] - known).abs() > 0.5
    print(column, int(wrong.sum()), labelled.loc[wrong, "text"].head(2).tolist())

# %%
facts = pd.DataFrame([read(text) for text in reports["text"]])
facts.insert(0, "report", reports["report"])
print(facts.describe(include="all"), facts.isna().sum(), sep="\n")
facts.to_csv("facts.csv", index=False)
