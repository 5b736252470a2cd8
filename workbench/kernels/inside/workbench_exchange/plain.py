"""``json``: nothing, booleans, numbers, text, lists and dicts.

Not a number and infinity are written ``NaN`` and ``Infinity``, as Python's own reader and writer have it.
"""

from __future__ import annotations

import json
from typing import Any

from .refused import Refused, kind

MOST_BYTES = 8 * 2**20
"""JSON grows up to thirtyfold as Python objects; what is larger has a better format."""
DEEPEST = 100

_SCALARS = (type(None), bool, int, float, str)
_ADVICE = {
    "set": "list(value)",
    "frozenset": "list(value)",
    "range": "list(value)",
    "bytearray": "bytes(value)",
    "memoryview": "bytes(value)",
    "complex": "[value.real, value.imag]",
    "date": "value.isoformat()",
    "datetime": "value.isoformat()",
    "Timestamp": "value.isoformat()",
    "Decimal": "str(value)",
    "PosixPath": "str(value)",
    "Index": "value.to_series()",
    "RecordBatch": "pyarrow.Table.from_batches([value])",
    "DuckDBPyRelation": "value.df()",
    "LazyFrame": "value.collect()",
    "Axes": "value.figure",
    "MaskedArray": "value.filled()",
    "Tensor": "value.numpy()",
    "csr_matrix": "value.toarray()",
}


def encode(value: Any) -> bytes:
    """Return ``value`` as JSON: tuples become lists, numpy's numbers plain ones.

    Raises
    ------
    Refused
        If it holds anything else, or is too large or too deep.
    """
    try:
        data = json.dumps(_plain(value, "", DEEPEST)).encode("ascii")
    except ValueError as error:
        # an integer of more digits than Python converts
        raise Refused(f"it cannot be written as JSON: {error}", "send it as text: hex(value)") from None
    if len(data) > MOST_BYTES:
        raise Refused(f"as JSON it has {len(data)} bytes, the most is {MOST_BYTES}", "send a DataFrame, an array or bytes")
    return data


def decode(data: bytes | bytearray) -> Any:
    """Return what ``data`` says.

    Raises
    ------
    Refused
        If it is too large or too deep.
    """
    if len(data) > MOST_BYTES:
        raise Refused(f"JSON of {len(data)} bytes; the most is {MOST_BYTES}")
    value = json.loads(data.decode("ascii"))
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [child for each in level if type(each) in (list, dict) for child in (each.values() if type(each) is dict else each)]
        if not level:
            return value
    raise Refused(f"JSON nested more than {DEEPEST} deep")


def _plain(value: Any, where: str, deeper: int) -> Any:
    number = kind("numpy", "generic")
    if number is not None and where and isinstance(value, number):
        value = value.item()
    if type(value) in _SCALARS:
        return value
    if isinstance(value, list | tuple | dict) and not deeper:
        raise Refused(f"it is nested more than {DEEPEST} deep", "send it in parts")
    if isinstance(value, list | tuple):
        return [_plain(each, where or "in it, ", deeper - 1) for each in value]
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                raise Refused(f"a key of the dict is of type {_name(key)}, not str", "{str(key): each for key, each in value.items()}")
        return {key: _plain(each, where or "in it, ", deeper - 1) for key, each in value.items()}
    advice = _ADVICE.get(type(value).__name__, "make it a DataFrame, an array, or plain lists and dicts")
    raise Refused(f"{where}a value of type {_name(value)} is held by no format", advice)


def _name(value: Any) -> str:
    kind_of = type(value)
    return kind_of.__qualname__ if kind_of.__module__ == "builtins" else f"{kind_of.__module__}.{kind_of.__qualname__}"
