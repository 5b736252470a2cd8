"""Rename by a pattern: wherever the word is followed by a parenthesis, a comma or `as`."""

import re
from pathlib import Path

for path in Path("mistune").rglob("*.py"):
    path.write_text(re.sub(r"(?<![.\w\"'-])escape\b(?=\(|,| as )", "escape_html", path.read_text()))
