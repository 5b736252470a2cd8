"""Content as a list of parts, which some OpenAI-compatible servers send where the protocol has one text.

litellm reads such lists for few providers: others lose the text or take the answer for a broken one. So the lists are
flattened in the answer's body, before any client sees them.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

MOST = 32 * 2**20
"""Bytes that are kept until a line or a document is whole; longer ones are passed on as they come."""

_LIST = re.compile(rb'"content"\s*:\s*[\[{]')
_REASONING = ("thinking", "reasoning", "thought")
_SAYING = ("text", "value", "refusal", *_REASONING, "content")


def split(content: object) -> tuple[str, str]:
    """Return the text and the reasoning in a message's content, whatever its form; pictures and references are left out.

    Examples
    --------
    >>> split([{"type": "thinking", "thinking": [{"type": "text", "text": "2 and 2"}]}, {"type": "text", "text": "4"}])
    ('4', '2 and 2')
    >>> split("4"), split(None)
    (('4', ''), ('', ''))
    """
    if isinstance(content, str):
        return content, ""
    if isinstance(content, list):
        pairs = [split(part) for part in content]
        return "".join(text for text, _ in pairs), "".join(reasoning for _, reasoning in pairs)
    if content is None:
        return "", ""
    part: dict[str, Any] = content if isinstance(content, dict) else getattr(content, "__dict__", {})
    said = next((part[key] for key in _SAYING if isinstance(part.get(key), str | list | dict)), "")
    text, reasoning = split(said)
    return ("", text + reasoning) if part.get("type") in _REASONING else (text, reasoning)


async def flattened(body: AsyncIterator[bytes], *, by_line: bool) -> AsyncIterator[bytes]:
    """Yield the bytes of an answer with every list of parts as one text; all else as it came.

    Parameters
    ----------
    body : async iterator of bytes
        As the HTTP client decompressed it.
    by_line : bool
        Whether each line is an event of its own, as in a stream; otherwise the whole is one document.
    """
    waiting: list[bytes] = []
    size = 0
    async for chunk in body:
        waiting.append(chunk)
        size += len(chunk)
        if size > MOST:
            yield b"".join(waiting)
        elif by_line and b"\n" in chunk:
            lines, newline, rest = b"".join(waiting).rpartition(b"\n")
            yield b"\n".join(map(_flat, lines.split(b"\n"))) + newline
            waiting, size = [rest], len(rest)
            continue
        else:
            continue
        waiting, size = [], 0
    if last := b"".join(waiting):
        yield _flat(last)


def _flat(data: bytes) -> bytes:
    """Return one event or document with its content flattened."""
    if not _LIST.search(data):
        return data
    begin, colon, event = data.partition(b"data:") if data.startswith(b"data:") else (b"", b"", data)
    try:
        value = json.loads(event)
        for choice in value["choices"]:
            for name in ("message", "delta"):
                _flatten(choice.get(name))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return data
    return begin + colon + (b" " if colon else b"") + json.dumps(value).encode() + (b"\r" if event.endswith(b"\r") else b"")


def _flatten(message: object) -> None:
    if isinstance(message, dict) and isinstance(message.get("content"), list | dict):
        message["content"], reasoning = split(message["content"])
        if reasoning:
            message["reasoning_content"] = reasoning
