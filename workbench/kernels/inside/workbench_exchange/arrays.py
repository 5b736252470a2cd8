"""``npy``: numpy's arrays and scalars of numbers, truth values, text, bytes and times; never objects."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from .refused import Refused, is_exactly, kind

if TYPE_CHECKING:
    import numpy as np

_HEADER = 2000
"""Longest header in characters; one of a plain type and 64 dimensions has fewer."""
_LAST_CHARACTER = 0x10FFFF


def holds(value: Any) -> bool:
    """Return whether ``value`` is an array or a scalar of numpy."""
    scalar = kind("numpy", "generic")
    return is_exactly(value, ("numpy", "ndarray")) or (scalar is not None and isinstance(value, scalar))


def encode(value: Any) -> bytes:
    """Return ``value`` in the npy format, version 1.0.

    Raises
    ------
    Refused
        If its type is not plain numbers, text, bytes or times.
    """
    import numpy as np

    array = np.asarray(value)
    _check_type(array.dtype)
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    return file.getvalue()


def decode(data: bytes | bytearray) -> Any:
    """Return the array, on the memory of ``data`` where that can be written; a scalar where it has no dimension.

    Raises
    ------
    Refused
        If the header claims another size than the data have, or a type that is not plain, or the data do not fit it.
    """
    import numpy as np

    file = io.BytesIO(bytes(data[: _HEADER + 100]))
    if np.lib.format.read_magic(file) != (1, 0):
        raise Refused("npy of a version other than 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=_HEADER)
    _check_type(dtype)
    held, claimed = len(data) - file.tell(), math.prod(shape)
    if claimed * dtype.itemsize != held or (dtype.itemsize == 0 and claimed > 1):
        raise Refused(f"npy that claims {claimed} items of {dtype.itemsize} bytes and holds {held} bytes")
    array = np.ndarray(shape, dtype, buffer=data, offset=file.tell(), order="F" if fortran else "C")
    _check_items(array)
    if not array.flags.writeable:
        array = array.copy(order="K")
    return array if shape else array[()]


def _check_type(dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise Refused("an array of objects is held by no format", "value.astype(float), value.astype(str) or value.tolist()")
    # numbers longer than these differ from machine to machine
    if dtype.kind not in "biufcSUmM" or dtype.itemsize > {"f": 8, "c": 16}.get(dtype.kind, math.inf):
        raise Refused(f"an array of type {dtype} is held by no format", "pandas.DataFrame(value) or value.astype(float)")


def _check_items(array: np.ndarray[Any, Any]) -> None:
    """Refuse bit patterns that numpy takes for granted never to meet."""
    import numpy as np

    if not array.size:
        return
    flat = array.ravel(order="K")
    if array.dtype.kind == "b" and flat.view(np.uint8).max() > 1:
        raise Refused("npy with truth values that are neither true nor false")
    if array.dtype.kind == "U" and array.dtype.itemsize and flat.view(array.dtype.byteorder + "u4").max() > _LAST_CHARACTER:
        raise Refused("npy with text of characters that do not exist")
