"""Write the table that the agent gets, and what the grader expects."""

import json
import random
from pathlib import Path

source = random.Random(604_171_893)
rows = [(group, round(source.gauss(mean, 2), 3)) for group, mean in zip("abcd", (1, 4, 9, 16), strict=True) for _ in range(50)]
source.shuffle(rows)
given = [(group, value if source.random() < 0.9 else None) for group, value in rows]

Path("workspace").mkdir()
Path("hidden").mkdir()
Path("workspace/table.csv").write_text("group,value\n" + "".join(f"{group},{'' if value is None else value}\n" for group, value in given))
groups = {group: [value for each, value in given if each == group and value is not None] for group in "abcd"}
Path("hidden/means.json").write_text(json.dumps({group: sum(values) / len(values) for group, values in groups.items()}))
