"""How the command line tells about errors."""

from __future__ import annotations

import json
import math
import sys

import rich.console
import rich.markup

from workbench.errors import WorkbenchError, classify

progress = rich.console.Console(stderr=True, highlight=False, emoji=False)
"""Everything that is not the result goes to standard error."""

output = rich.console.Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 160)
"""The result; wide enough for a table where nobody's terminal says how wide."""

USAGE, FAILED, INTERRUPTED = 2, 1, 130


def report(error: WorkbenchError, *, as_json: bool = False) -> int:
    """Tell about ``error`` and return the exit code it deserves."""
    if as_json:
        print_json({"status": "error", "error": classify(error).model_dump()})
    progress.print("[bold red]error:[/]", rich.markup.escape(error.message), soft_wrap=True)
    if error.hint:
        progress.print("  [dim]what to do:[/]", rich.markup.escape(error.hint), soft_wrap=True)
    return USAGE if error.kind in ("user", "task") else FAILED


def print_json(document: object) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(_finite(document), indent=2, default=str, allow_nan=False))  # noqa: T201 - the result itself


def _finite(value: object) -> object:
    """JSON has no infinity: it is written as a string, and what is not a number as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
