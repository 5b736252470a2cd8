"""The one error of this package, and how a value's kind is told without importing what it is not made of."""

from __future__ import annotations

import sys
from typing import Any


class Refused(Exception):
    """A value that no format holds, or bytes that are not what they say."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def kind(module: str, name: str) -> type[Any] | None:
    """Return the class ``name`` of ``module`` if that is imported: no value can be of it otherwise.

    Examples
    --------
    >>> kind("sys", "no_such_class") is kind("no_such_module", "DataFrame") is None
    True
    """
    return getattr(sys.modules.get(module), name, None)


def is_exactly(value: Any, *kinds: tuple[str, str]) -> bool:
    """Return whether ``value`` is of one of ``kinds``, and of no subclass, which may carry more than a format holds.

    Examples
    --------
    >>> is_exactly(1, ("builtins", "int")), is_exactly(True, ("builtins", "int"))
    (True, False)
    """
    return any(type(value) is kind(*each) for each in kinds)
