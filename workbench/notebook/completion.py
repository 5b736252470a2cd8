"""What the magics offer when Tab is pressed: options, their values, and ids of tasks."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from workbench import agents
from workbench.errors import WorkbenchError
from workbench.kernels import environments
from workbench.kernels.session import SANDBOXES
from workbench.tasks import registry

MODELS = ("oracle", "nop", "baseline", "cheat", "cassette:", "function:")
"""What can stand after ``--model``, beside the names that litellm knows."""

_VALUES: dict[str, Callable[[], list[str]]] = {
    "--model": lambda: list(MODELS),
    "-m": lambda: list(MODELS),
    "--agent": lambda: list(agents.NAMES),
    "--sandbox": lambda: list(SANDBOXES),
    "--environment": lambda: list(environments.every()),
}


def complete(magic: Any, line: str, symbol: str) -> list[str]:
    """Return what can stand in place of ``symbol``, the last word of the line of a magic.

    Parameters
    ----------
    magic : callable
        The magic, with its ``parser``.
    line : str
        The line up to the cursor.
    symbol : str
        What of the last word is there already.
    """
    before = _words(line.removesuffix(symbol))
    if before and before[-1] in _VALUES:
        offered = _VALUES[before[-1]]()
    elif symbol.startswith("-"):
        offered = sorted({name for action in magic.parser._actions for name in action.option_strings if name.startswith("--")} | {"--help"})
    elif before[-1:] == ["%task"]:
        offered = ["run", "list", "show"]
    elif before[-2:-1] == ["%task"] and before[-1] in ("run", "show"):
        offered = _tasks()
    else:
        return []
    return [each for each in offered if each.startswith(symbol)]


def _tasks() -> list[str]:
    try:
        return registry.ids()
    except WorkbenchError:
        return []


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()
