# %%
import csv

rows = list(csv.DictReader(open("table.csv")))
print(len(rows), rows[:3])

# %%
import json
from collections import defaultdict

values = defaultdict(list)
for row in rows:
    if row["value"]:
        values[row["group"]].append(float(row["value"]))
means = {group: sum(found) / len(found) for group, found in values.items()}
json.dump(means, open("means.json", "w"))
print(means)
