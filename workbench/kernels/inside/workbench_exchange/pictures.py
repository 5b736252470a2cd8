"""``png``: figures and images, as bytes; nothing here decodes a pixel."""

from __future__ import annotations

import io
import struct
from typing import Any

from .refused import Refused, kind

MOST_PIXELS = 64 * 2**20
"""Whoever shows the picture takes four bytes for each."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"pHYs", b"sRGB", b"gAMA", b"cHRM", b"IDAT", b"IEND")
"""What makes up a still picture, and inflates to nothing but its pixels: no profiles, no texts."""


class Picture(bytes):
    """The bytes of a PNG, which a notebook shows as the picture.

    Examples
    --------
    >>> Picture(b"...")
    Picture of 3 bytes
    """

    def _repr_png_(self) -> bytes:
        return bytes(self)

    def __repr__(self) -> str:
        return f"Picture of {len(self)} bytes"


def holds(value: Any) -> bool:
    """Return whether ``value`` is a figure of matplotlib, an image of Pillow, or a picture that crossed before."""
    kinds = (kind("matplotlib.figure", "Figure"), kind("PIL.Image", "Image"), Picture)
    return any(each is not None and isinstance(value, each) for each in kinds)


def encode(value: Any) -> bytes:
    """Return ``value`` drawn as a PNG."""
    if isinstance(value, Picture):
        return bytes(value)
    file = io.BytesIO()
    (value.savefig if hasattr(value, "savefig") else value.save)(file, format="png")
    return file.getvalue()


def decode(data: bytes | bytearray) -> Picture:
    """Return the picture, without what it does not need to be shown.

    Raises
    ------
    Refused
        If it is no PNG, is cut off, or claims more than :data:`MOST_PIXELS`.
    """
    if not data.startswith(_SIGNATURE):
        raise Refused("png without the signature of one")
    kept, at, name = [_SIGNATURE], len(_SIGNATURE), b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, at)
        chunk = bytes(data[at : at + length + 12])
        if len(chunk) != length + 12 or (at == len(_SIGNATURE)) != (name == b"IHDR"):
            raise Refused("png that is cut off or out of order")
        if name == b"IHDR":
            width, height = struct.unpack_from(">II", chunk, 8)
            if not 0 < width * height <= MOST_PIXELS:
                raise Refused(f"png of {width} x {height} pixels; the most is {MOST_PIXELS}")
        if name in _CHUNKS:
            kept.append(chunk)
        at += len(chunk)
    return Picture(b"".join(kept))
