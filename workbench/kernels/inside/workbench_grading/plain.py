"""Values of plain Python types as JSON, so that they can leave a process that nothing may be believed of.

The other side of a call is sent this file's text: it imports nothing of ours.
"""

import itertools
from collections.abc import Callable

_MOST_ITEMS = 100_000
_GROUPS = {"tuple": tuple, "set": set, "frozenset": frozenset}
_TYPES = {kind.__name__: kind for kind in (bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict)}


def encode(value: object, keep: "Callable[[object], int]") -> object:
    """Return what JSON can hold of a value; of one that is not plain, the number that ``keep`` gives it."""
    if value is None or isinstance(value, (bool, str, float)):
        return value
    if isinstance(value, int):
        # more digits than a decimal number may have when it is read
        return int(value) if abs(value) < 2**63 else {"int": hex(value)}
    if isinstance(value, list):
        return [encode(each, keep) for each in value]
    for name, kind in _GROUPS.items():
        if isinstance(value, kind):
            return {name: [encode(each, keep) for each in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key, keep), encode(each, keep)] for key, each in value.items()]}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, range):
        return {"range": [value.start, value.stop, value.step]}
    if isinstance(value, type) and _TYPES.get(value.__name__) is value:
        return {"type": value.__name__}
    if hasattr(type(value), "__next__"):
        return {"iterator": [encode(each, keep) for each in itertools.islice(value, _MOST_ITEMS)]}
    return {"kept": keep(value)}


def decode(data: object, kept: "Callable[[int], object]") -> object:
    """Return the value that ``data`` stands for, of plain types; what was kept is what ``kept`` gives for its number.

    Raises
    ------
    ValueError
        If it stands for none.
    """
    if isinstance(data, list):
        return [decode(each, kept) for each in data]
    if not isinstance(data, dict):
        return data
    try:
        ((name, inner),) = data.items()
        if name in _GROUPS:
            return _GROUPS[name](decode(each, kept) for each in inner)
        if name == "dict":
            return {decode(key, kept): decode(each, kept) for key, each in inner}
        if name == "iterator":
            return iter([decode(each, kept) for each in inner])
        if name == "range" and len(found := range(*inner)) <= _MOST_ITEMS:
            return found
        if name == "complex":
            return complex(*inner)
        return {"int": lambda text: int(text, 16), "bytes": bytes.fromhex, "type": _TYPES.__getitem__, "kept": kept}[name](inner)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a value: {str(data)[:80]}") from error
