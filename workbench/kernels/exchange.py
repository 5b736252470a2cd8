"""Values across the wall: into a kernel's namespace and out of it, in formats that cannot carry code."""

from __future__ import annotations

import asyncio
import keyword
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from workbench.errors import SandboxError, UsageError
from workbench.kernels.inside import workbench_exchange as formats
from workbench.kernels.inside.workbench_exchange import FORMATS, MOST, PART, Encoded, Picture, Refused

__all__ = ["FORMATS", "MOST", "PART", "Encoded", "Picture", "Request", "decode", "encode", "pull", "push"]

Request = Callable[[str, dict[str, Any], list[Any]], Awaitable[tuple[dict[str, Any], Sequence[Any]]]]
"""Sends a message of a type with content and buffers on the shell channel, and returns content and buffers of its reply."""

_LONGEST_TEXT = 500


def encode(value: Any) -> Encoded:
    """Return ``value`` in the format that holds it.

    Raises
    ------
    UsageError
        If none does; the hint says which conversion helps.

    Examples
    --------
    >>> encode([1, float("nan"), "text"])
    Encoded(format='json', data=b'[1, NaN, "text"]')
    >>> encode({1, 2})
    Traceback (most recent call last):
    workbench.errors.UsageError: a value of type set is held by no format (list(value))
    """
    try:
        return formats.encode(value)
    except Refused as error:
        raise UsageError(error.message, hint=error.hint) from None


def decode(format: str, data: bytes | bytearray, *, most: int = MOST) -> Any:
    """Return the value in ``data``, which a hostile kernel may have written.

    Parameters
    ----------
    format : str
        One of :data:`FORMATS`.
    data : bytes or bytearray
        An array or a table may keep it as its memory.
    most : int
        Bytes that it may have; as Python objects it may take a few times as many.

    Raises
    ------
    SandboxError
        If they are not what they say, or would take too much memory. Nothing else is raised.

    Examples
    --------
    >>> decode("json", b'[1, NaN, "text"]')
    [1, nan, 'text']
    >>> decode("npy", b"cos system")
    Traceback (most recent call last):
    workbench.errors.SandboxError: what the kernel sent as npy cannot be read: ValueError
    """
    if format == "arrow":
        _need_arrow()
    try:
        return formats.decode(format, data, most=most)
    except Refused as error:
        raise SandboxError(f"what the kernel sent was refused: {error.message}", hint=error.hint) from None
    except Exception as error:
        # hostile bytes make readers fail in any way, and what those say quotes the bytes
        raise SandboxError(f"what the kernel sent as {format} cannot be read: {type(error).__name__}") from None


async def push(request: Request, name: str, value: Any) -> None:
    """Make ``value`` the kernel's variable ``name``.

    Raises
    ------
    UsageError
        If ``name`` is no name, no format holds ``value``, or the kernel cannot take it.
    """
    name = _checked(name)
    format, data = await asyncio.to_thread(encode, value)
    for offset in range(0, max(len(data), 1), PART):
        content = {"name": name, "format": format, "size": len(data), "offset": offset}
        answer, _ = await request("workbench_push_request", content, [memoryview(data)[offset : offset + PART]])
        _heard(answer, f"{name} cannot be pushed")


async def pull(request: Request, name: str, *, most: int = MOST) -> Any:
    """Return the value of the kernel's variable ``name``, as it is now.

    Raises
    ------
    UsageError
        If ``name`` is no name or no variable, or its value is larger than ``most`` bytes or held by no format.
    SandboxError
        If the kernel's answer is not what it has to be.
    """
    name = _checked(name)
    format, size, data = "", 0, bytearray()
    while not format or len(data) < size:
        answer, parts = await request("workbench_pull_request", {"name": name, "offset": len(data), "most": most}, [])
        _heard(answer, f"{name} cannot be pulled")
        if not format:
            format, size = _announced(answer, most)
        part = bytes(parts[0]) if len(parts) == 1 else b""
        if len(part) != min(PART, size - len(data)):
            raise SandboxError(f"the kernel sent {len(part)} bytes of {name} where {min(PART, size - len(data))} were due")
        data += part
    return await asyncio.to_thread(decode, format, data, most=most)


def _announced(answer: dict[str, Any], most: int) -> tuple[str, int]:
    format, size = answer.get("format"), answer.get("size")
    if not isinstance(format, str) or format not in FORMATS or type(size) is not int or not 0 <= size <= most:
        raise SandboxError(f"the kernel announced a value as {str(format)[:60]!r} of {str(size)[:60]} bytes, which cannot be")
    return format, size


def _heard(answer: dict[str, Any], failed: str) -> None:
    """Raise what a reply says went wrong; its words are the kernel's, so only harmless and short ones are passed on."""
    if answer.get("status") == "ok":
        return
    message, hint = (
        "".join(each if each.isprintable() else " " for each in str(answer.get(part, ""))[:_LONGEST_TEXT]) for part in ("message", "hint")
    )
    raise UsageError(f"{failed}: {message}", hint=hint)


def _checked(name: str) -> str:
    # as Python's own parser has it, else no code could say the name
    name = unicodedata.normalize("NFKC", name)
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_workbench"):
        raise UsageError(f"{name!r} cannot be the name of a variable", hint="a Python name that does not start with _workbench")
    return name


def _need_arrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UsageError("a table cannot be read, because pyarrow is not installed here", hint="pip install pyarrow") from None
