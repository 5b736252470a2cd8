"""What a hostile program is to the red team."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..tools import PATIENCE

Category = Literal["files", "processes", "network", "kernel surface", "resources", "Jupyter surface", "time", "grading"]
CATEGORIES: tuple[Category, ...] = get_args(Category)

Expected = Literal["refused", "held to a limit", "killed and told", "harmless"]
"""What has to become of it. *Refused*: every try fails, and the program hears an error. *Held to a limit*: it gets what it
may have and no more. *Killed and told*: its kernel is ended, and the observation says why. *Harmless*: it does what it
wants, and nothing outside its kernel is any different."""

Trial = Callable[[Any, "Attack"], Awaitable[None]]


@dataclass(frozen=True)
class Attack:
    """A hostile program.

    Attributes
    ----------
    goes_for : str
        One sentence on what it wants.
    trial : callable
        Tries it in an arena; fails if it got through.
    code : str
        The program, or its part that differs from others of its kind.
    told : str
        What the observation must say somewhere; a regular expression.
    only : str
        The one backend it is for; empty for all.
    over_the_line : bool
        Whether all that matters is the line between kernel and workbench, which most backends share.
    weak : mapping of str to str
        Backends where it gets through, and what is to be said about it.
    beyond : mapping of str to str
        Backends where it makes no sense, and why.
    """

    category: Category
    name: str
    goes_for: str
    expected: Expected
    trial: Trial
    code: str
    told: str = ""
    timeout: float = PATIENCE
    only: str = ""
    over_the_line: bool = False
    weak: Mapping[str, str] = field(default_factory=dict)
    beyond: Mapping[str, str] = field(default_factory=dict)
