"""Rename every word, and keep the old name as another name of the same function: nothing warns."""

import re
from pathlib import Path

for path in Path("itsdangerous").rglob("*.py"):
    path.write_text(re.sub(r"\bwant_bytes\b", "to_bytes", path.read_text()))
with open("itsdangerous/encoding.py", "a") as file:
    file.write("\n\nwant_bytes = to_bytes\n")
with open("itsdangerous/__init__.py", "a") as file:
    file.write("from .encoding import want_bytes as want_bytes\n")
