"""Reading submitted files: whatever is wrong with one is a reason, never a crash of the grader."""

import csv
import io
import json
import math
import os
import stat
from pathlib import Path

_MOST = 16 * 2**20
_MOST_ABS = 1e12
"""Beyond this a squared error says nothing more, and could overflow."""


class Invalid(Exception):
    """The submission cannot be graded, for the reason given; a grader that raises it has given its verdict."""


def read_bytes(path: Path, most: int = _MOST) -> bytes:
    """Return a submitted file's contents; links and special files are refused, and no more than ``most`` bytes are read.

    Raises
    ------
    Invalid
        If it is not there, not a plain file, or too large.
    """
    name = path.name
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Invalid(f"{name} is missing") from None
    except OSError as error:
        why = "it is a symbolic link" if path.is_symlink() else error.strerror
        raise Invalid(f"{name} can't be read: {why}") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Invalid(f"{name} is not a plain file")
    with os.fdopen(handle, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise Invalid(f"{name} is larger than {most} bytes")
    return data


def read_text(path: Path, most: int = _MOST) -> str:
    """Return a submitted file's text, which must be UTF-8; a byte order mark is passed over.

    Raises
    ------
    Invalid
        As :func:`read_bytes` does, and if it is not UTF-8.
    """
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid(f"{path.name} is not UTF-8 text") from None


def number(value: object, name: str, low: float = -_MOST_ABS, high: float = _MOST_ABS) -> float:
    """Return ``value``, a number or the text of one, as a finite float from ``low`` to ``high``.

    Raises
    ------
    Invalid
        If it is none; says ``name``.
    """
    # float() also takes "1_0" and the digits of other scripts; a bool is an int too, and an int may be too large for a float
    plain = value.isascii() and "_" not in value if isinstance(value, str) else type(value) in (int, float)
    try:
        found = float(value) if plain else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise Invalid(f"{name}: {str(value)[:40]!r} is not a finite number")
    if not low <= found <= high:
        raise Invalid(f"{name}: {found:g} is not from {low:g} to {high:g}")
    return found


def _no_duplicates(pairs: "list[tuple[str, object]]") -> "dict[str, object]":
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("a field occurs twice")
    return found


def _no_constant(name: str) -> None:
    raise Invalid(f"{name} is not a number")


def read_json(path: Path, fields: "list[str] | None" = None, most: int = 2**20) -> dict:
    """Return the JSON object a submitted file holds, which must have at least ``fields``; other than in Python, NaN is no number.

    Raises
    ------
    Invalid
        As :func:`read_text` does, and if it is not such an object.
    """
    name = path.name
    try:
        found = json.loads(read_text(path, most), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except Invalid as reason:
        raise Invalid(str(reason) if name in str(reason) else f"{name}: {reason}") from None
    except RecursionError:
        raise Invalid(f"{name} is nested too deeply") from None
    except ValueError as error:
        raise Invalid(f"{name} is not JSON: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise Invalid(f"{name} must hold one JSON object")
    if missing := [field for field in fields or [] if field not in found]:
        raise Invalid(f"{name} lacks {', '.join(missing)}")
    return found


def read_table(path: Path, columns: "list[str]", most: int = _MOST) -> "list[dict[str, str]]":
    """Return the rows of a submitted CSV file, which must have exactly ``columns``, in any order.

    Raises
    ------
    Invalid
        As :func:`read_text` does, and if it is not such a table.
    """
    name = path.name
    try:
        rows = [row for row in csv.reader(io.StringIO(read_text(path, most), newline=""), strict=True) if row]
    except csv.Error as error:
        raise Invalid(f"{name} is not CSV: {error}") from None
    if not rows:
        raise Invalid(f"{name} is empty")
    header = [column.strip() for column in rows[0]]
    if sorted(header) != sorted(columns):
        raise Invalid(f"{name} must have exactly the columns {','.join(columns)}, not {','.join(header)[:80]!r}")
    for position, row in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            raise Invalid(f"{name}, row {position}: {len(row)} fields instead of {len(header)}")
    return [dict(zip(header, row, strict=True)) for row in rows[1:]]


def predictions(path: Path, ids: "list[str]", columns: "list[str]", *, id_column: str = "id") -> "list[list[str]]":
    """Return what a submitted CSV file says of each of ``ids``, in their order: one value a column, as text.

    Parameters
    ----------
    path : Path
        The file; its columns must be ``id_column`` and ``columns``.
    ids : list of str
        Each must have exactly one row, and no other may have any. ``7`` and ``7.0`` are the same.

    Raises
    ------
    Invalid
        As :func:`read_table` does, and if the ids are others.
    """
    found: dict[str, list[str]] = {}
    for row in read_table(path, [id_column, *columns]):
        identity = row[id_column].strip().removesuffix(".0")
        if identity in found:
            raise Invalid(f"{path.name}: {id_column} {identity[:40]} occurs twice")
        found[identity] = [row[column].strip() for column in columns]
    wanted = [identity.removesuffix(".0") for identity in ids]
    missing, unknown = [each for each in wanted if each not in found], sorted(found.keys() - set(wanted))
    if missing or unknown:
        examples = ", ".join(each[:40] for each in (missing or unknown)[:5])
        raise Invalid(f"{path.name}: {len(missing)} of the ids are missing and {len(unknown)} are unknown, e.g. {examples}")
    return [found[identity] for identity in wanted]
