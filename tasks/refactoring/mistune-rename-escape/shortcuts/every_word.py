"""Rename every word, also the argument and the option that users pass."""

import re
from pathlib import Path

for path in Path("mistune").rglob("*.py"):
    path.write_text(re.sub(r"\bescape\b", "escape_html", path.read_text()))
