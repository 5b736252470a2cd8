"""Have mypy look away: a comment at the top of each module, and a stub that takes anything."""

from pathlib import Path

for path in Path("webencodings").glob("*.py"):
    path.write_text("# mypy: ignore-errors\n" + path.read_text())
Path("webencodings/py.typed").touch()
Path("webencodings/__init__.pyi").write_text("from typing import Any\ndef __getattr__(name: str) -> Any: ...\n")
