"""The model ``baseline``: what a competent person would do first with a kind of data, without looking at it.

Its recipes are the files of ``recipes/``: cells divided by ``# %%``. Before them comes one that sets ``OPTIONS``, what
the task says about where its data are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from workbench.errors import UsageError
from workbench.models.scripted import Scripted

_FOLDER = resources.files("workbench.models") / "recipes"


def split(source: str) -> list[str]:
    r"""Return the cells of a program, which are divided by lines that begin with ``# %%``; empty ones are left out.

    Examples
    --------
    >>> split("# %%\nx = 1\n\n# %% then\nprint(x)\n")
    ['x = 1', 'print(x)']
    """
    return [cell for part in re.split(r"(?m)^# %%.*$", source) if (cell := part.strip())]


def names() -> list[str]:
    """Return the recipes there are."""
    return sorted(path.name.removesuffix(".py") for path in _FOLDER.iterdir() if path.name.endswith(".py"))


def baseline(name: str, options: Mapping[str, Any]) -> Scripted:
    """Return the model that plays a recipe.

    Raises
    ------
    UsageError
        If there is no such recipe.
    """
    if name not in names():
        raise UsageError(f"no recipe is called {name!r}", hint=f"there are: {', '.join(names())}")
    source = (_FOLDER / f"{name}.py").read_text(encoding="utf-8")
    return Scripted("baseline", [f"OPTIONS = {dict(options)!r}", *split(source)])
