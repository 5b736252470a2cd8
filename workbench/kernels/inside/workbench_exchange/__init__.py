"""The formats in which values cross between a user's Python and a kernel; never pickles, in either direction.

Both sides load this one package, the kernel with its environment's interpreter: it imports the standard library alone,
and numpy, pandas, pyarrow, matplotlib or Pillow only for values that are theirs. What :func:`decode` is given may be
hostile: every size that the bytes claim is checked before memory is taken for it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from . import arrays, frames, pictures, plain
from .pictures import Picture
from .refused import Refused

__all__ = ["FORMATS", "MOST", "PART", "Encoded", "Picture", "Refused", "decode", "encode"]

FORMATS = ("json", "npy", "arrow", "png", "bytes")
MOST = 512 * 2**20
"""Most bytes of one value, unless the caller asks for more."""
PART = 8 * 2**20
"""Most bytes of a value in one message; the last part alone may have fewer."""


class Encoded(NamedTuple):
    """A value on its way: its format, one of :data:`FORMATS`, and its bytes."""

    format: str
    data: bytes


def encode(value: Any) -> Encoded:
    """Return ``value`` in the format that holds it.

    Raises
    ------
    Refused
        If none does; says which conversion helps.

    Examples
    --------
    >>> encode({"rmse": 0.5, "best": (1, None)})
    Encoded(format='json', data=b'{"rmse": 0.5, "best": [1, null]}')
    """
    if type(value) is bytes:
        return Encoded("bytes", value)
    if arrays.holds(value):
        return Encoded("npy", arrays.encode(value))
    if frames.holds(value):
        return Encoded("arrow", frames.encode(value))
    if pictures.holds(value):
        return Encoded("png", pictures.encode(value))
    return Encoded("json", plain.encode(value))


def decode(format: str, data: bytes | bytearray, *, most: int = MOST) -> Any:
    """Return the value that ``data`` holds; it may keep ``data`` as its memory.

    Raises
    ------
    Refused
        If the bytes are not what they say or would take more memory than ``most`` allows. Readers that this relies on
        may raise errors of their own.

    Examples
    --------
    >>> decode("json", b'{"rmse": 0.5, "best": [1, null]}')
    {'rmse': 0.5, 'best': [1, None]}
    """
    if len(data) > most:
        raise Refused(f"it has {len(data)} bytes, the most is {most}", "ask for more with most=")
    match format:
        case "json":
            return plain.decode(data)
        case "npy":
            return arrays.decode(data)
        case "arrow":
            return frames.decode(data, most=most)
        case "png":
            return pictures.decode(data)
        case "bytes":
            return bytes(data)
        case _:
            raise Refused(f"no format is called {format!r}")
