"""What a sandboxed process may use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from workbench.errors import UsageError

_MOST = 2**53
_LEAST = 0.01
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_size(text: str) -> int:
    """Return a size such as ``512M`` in bytes.

    Raises
    ------
    UsageError
        If ``text`` is not a number with an optional K, M, G or T.

    Examples
    --------
    >>> parse_size("2G")
    2147483648
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if match is None:
        raise UsageError(f"{text!r} is not a size", hint="write a number with K, M, G or T, for example 2G")
    return int(Decimal(match[1]) * _UNITS[match[2].upper()])


@dataclass(frozen=True)
class Limits:
    """Limits of one sandboxed process and all its children.

    Attributes
    ----------
    memory : int
        Bytes.
    processes : int
        Processes and threads alive at once.
    file_bytes : int
        Size of a single file.
    open_files : int
        File descriptors a process may hold.
    scratch_bytes : int
        Size of ``/tmp`` and of ``/dev/shm``, each.
    workspace_bytes : int
        Size of all files in the workspace.
    cpus : float
        Share of the processors: 0.5 is half of one, 2 is two whole ones.
    output_bytes : int
        All that a kernel shows in its life.
    idle_seconds, wall_seconds : float or None
        How long a kernel lives that nobody asks for anything, and how long in all; None for as long as it is wanted.

    Raises
    ------
    UsageError
        If a limit is not a number above 0, or is impossibly large.
    """

    memory: int = 2 * 2**30
    processes: int = 128
    file_bytes: int = 2**30
    open_files: int = 1024
    scratch_bytes: int = 512 * 2**20
    workspace_bytes: int = 2 * 2**30
    cpus: float = 1.0
    output_bytes: int = 512 * 2**20
    idle_seconds: float | None = None
    wall_seconds: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            whole = isinstance(each.default, int)
            number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if not (number and (1 if whole else _LEAST) <= value <= _MOST) and not (value is None and each.default is None):
                remedy = "a whole number above 0" if whole else f"a number from {_LEAST} up"
                raise UsageError(f"the limit {each.name} cannot be {value!r}", hint=f"give {remedy}; by default it is {each.default}")

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Limits:
        """Return the limits that a table in a file sets; those it does not name are the default ones.

        Raises
        ------
        UsageError
            If a name is unknown or a value is none that its limit can have.

        Examples
        --------
        >>> limits = Limits.parse({"memory": "512M", "cpus": 0.5})
        >>> limits.memory, limits.cpus, limits.processes
        (536870912, 0.5, 128)
        """
        known = [each.name for each in fields(cls)]
        if unknown := [str(name) for name in table if name not in known]:
            raise UsageError(f"there is no limit {', '.join(map(repr, unknown))}", hint=f"there are: {', '.join(known)}")
        return cls(**{name: _size(name, value) if name == "memory" or name.endswith("_bytes") else value for name, value in table.items()})


def _size(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_size(value)
    except UsageError as error:
        raise UsageError(f"the limit {name}: {error.message}", hint=error.hint) from None
