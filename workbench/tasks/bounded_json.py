"""JSON from an untrusted process: limited in size and depth, and only what every other JSON parser accepts."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any, Never

DEEPEST = 64
"""Maximum nesting of lists and objects."""
_LONGEST_NUMBER = 400
"""Maximum number of digits; no finite float has more before its decimal point."""


class Refused(ValueError):
    """The text is not acceptable JSON; the message is a predicate, such as ``is not JSON``."""


def parse(text: str | bytes, most: int) -> tuple[Any, int]:
    r"""Return the value of ``text``, and how many values it consists of.

    Parameters
    ----------
    text : str or bytes
        One JSON document.
    most : int
        Maximum number of characters, or bytes.

    Raises
    ------
    Refused
        If it is larger or nested deeper than allowed, is not JSON, or contains a number beyond all finite floats, the
        same name twice in one object, or text that is not valid Unicode.

    Examples
    --------
    >>> parse('{"x": [1, 2.5]}', 100)
    ({'x': [1, 2.5]}, 5)
    >>> parse('{"x": NaN}', 100)
    Traceback (most recent call last):
    workbench.tasks.bounded_json.Refused: has the number NaN, which cannot be sent
    """
    if len(text) > most:
        raise Refused(f"is larger than {most} bytes")
    try:
        value = json.loads(text, parse_constant=_no_number, parse_int=_whole, parse_float=_real, object_pairs_hook=_object)
    except Refused:
        raise
    except RecursionError:
        raise Refused(f"is nested deeper than {DEEPEST} levels") from None
    except ValueError:
        raise Refused("is not JSON") from None
    return value, _count(value)


def _no_number(text: str) -> Never:
    raise Refused(f"has the number {text[:20]}, which cannot be sent")


def _whole(text: str) -> int:
    if len(text) > _LONGEST_NUMBER or abs(value := int(text)) > sys.float_info.max:
        _no_number(text)
    return value


def _real(text: str) -> float:
    if not math.isfinite(value := float(text)):
        _no_number(text)
    return value


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise Refused("has a name twice in one object")
    return made


def _count(value: Any) -> int:
    """Return how many values there are in ``value``, including itself and the names in its objects."""
    found, waiting = 0, [(value, 0)]
    while waiting:
        each, depth = waiting.pop()
        found += 1
        if isinstance(each, str) and not each.isascii():
            try:
                each.encode()
            except UnicodeEncodeError:
                raise Refused("has text that is not valid Unicode: half of a surrogate pair") from None
        elif isinstance(each, list | dict):
            if depth == DEEPEST:
                raise Refused(f"is nested deeper than {DEEPEST} levels")
            inner = each if isinstance(each, list) else [part for pair in each.items() for part in pair]
            waiting.extend((part, depth + 1) for part in inner)
    return found
