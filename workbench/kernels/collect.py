"""Collects a cell's messages into a bounded observation."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from typing import Any

from workbench.observation import NamespaceChange, Observation, Output, PythonError
from workbench.text import plain, storable

NAMESPACE_MIME = "application/vnd.workbench.namespace+json"
ASKS_FOR_CHANGES = "workbench_changes"
"""What a request to run a cell says to hear what the cell changed in the namespace."""

_TEXT_TYPES = ("text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml")
_BINARY_TYPES = ("image/png", "image/jpeg")


def weight(value: Any) -> int:
    """Return how much there is of a JSON value, in characters and items, however deeply it is nested.

    Examples
    --------
    >>> weight({"data": ["abc", 1]})
    10
    """
    total, waiting = 0, [value]
    while waiting:
        match waiting.pop():
            case str(text):
                total += len(text)
            case list(items):
                total += len(items)
                waiting += items
            case dict(items):
                total += sum(map(len, items))
                waiting += items.values()
            case _:
                total += 1
    return total


class MiddleCut:
    """Text that keeps its beginning and its end, and counts what was between.

    Examples
    --------
    >>> text = MiddleCut(10)
    >>> text.add("abcdefgh"); text.add("ijklmnopqrst")
    >>> print(text)
    abcde
    [... 10 characters cut ...]
    pqrst
    """

    def __init__(self, size: int) -> None:
        self._half = size // 2
        self._head = ""
        self._tail = ""
        self._cut = 0

    def add(self, text: str) -> None:
        """Append ``text``."""
        room = self._half - len(self._head)
        self._head += text[:room]
        self._tail += text[room:] if room < len(text) else ""
        if len(self._tail) > 2 * self._half:
            self._trim()

    def _trim(self) -> None:
        if (beyond := len(self._tail) - self._half) > 0:
            self._cut += beyond
            self._tail = self._tail[beyond:]

    def __str__(self) -> str:
        self._trim()
        middle = f"\n[... {self._cut} characters cut ...]\n" if self._cut else ""
        return self._head + middle + self._tail


def cut_middle(text: str, size: int) -> str:
    """Return ``text`` with its middle cut out where it is longer than ``size`` characters.

    Examples
    --------
    >>> cut_middle("short", 100)
    'short'
    """
    kept = MiddleCut(size)
    kept.add(text)
    return str(kept)


class Collector:
    """Turns the IOPub messages of one cell into outputs.

    Parameters
    ----------
    text_size : int
        Characters kept of one stream or one text representation.
    image_bytes : int
        Bytes kept of one picture; a larger one is dropped and counted.
    most_outputs : int
        Results and displays kept.
    on_output : callable, optional
        Called with each output as it arrives; streams arrive in pieces.
    """

    def __init__(
        self,
        *,
        text_size: int = 200_000,
        image_bytes: int = 2 * 2**20,
        most_outputs: int = 50,
        on_output: Callable[[Output], None] | None = None,
    ) -> None:
        self.received = 0
        """Bytes of payload seen so far."""
        self.dropped = 0
        self._text_size, self._image_bytes, self._most_outputs = text_size, image_bytes, most_outputs
        self._on_output = on_output
        self._outputs: list[tuple[Output, MiddleCut | None]] = []
        self._displays: dict[str, int] = {}
        self.begun = asyncio.Event()
        """Set when the kernel says that it runs the cell."""
        self._error: PythonError | None = None
        self._namespace: list[NamespaceChange] = []

    def add(self, kind: str, content: dict[str, Any]) -> None:
        """Take one message; anything malformed or of an unknown kind is passed over."""
        match kind, content:
            case "execute_input", _:
                self.begun.set()
            case "stream", {"name": "stdout" | "stderr" as name, "text": str(text)}:
                self.received += len(text)
                self._stream(name, text)
            case "execute_result" | "display_data" | "update_display_data", {"data": dict(data)}:
                if isinstance(changes := data.get(NAMESPACE_MIME), dict):
                    self._changes(changes)
                elif bundle := self._bounded(data):
                    transient = content.get("transient")
                    self._show(
                        "result" if kind == "execute_result" else "display", bundle, transient if isinstance(transient, dict) else {}, kind
                    )
            case "error", {"ename": str(name), "evalue": str(value), "traceback": list(lines)}:
                text = plain("\n".join(line for line in lines if isinstance(line, str)))
                self.received += len(text)
                self._error = PythonError(
                    name=plain(name)[:200], value=cut_middle(plain(value), 4000), traceback=cut_middle(text, self._text_size)
                )

    def pass_over(self, size: int) -> None:
        """Count ``size`` bytes that were too large to be taken in."""
        self.received += size
        self.dropped += size

    def _stream(self, name: Any, text: str) -> None:
        text = plain(text)
        if not self._outputs or self._outputs[-1][0].kind != name:
            if len(self._outputs) >= self._most_outputs:
                self.dropped += len(text)
                return
            self._outputs.append((Output(kind=name, data={}), MiddleCut(self._text_size)))
        kept = self._outputs[-1][1]
        assert kept is not None
        kept.add(text)
        if self._on_output is not None:
            self._on_output(Output(kind=name, data={"text/plain": text}))

    def _bounded(self, data: dict[str, Any]) -> dict[str, str]:
        bundle: dict[str, str] = {}
        for mime, value in data.items():
            size = weight(value)
            self.received += size
            if mime in _TEXT_TYPES and isinstance(value, str):
                if mime == "text/plain":
                    bundle[mime] = cut_middle(plain(value), self._text_size)
                elif size <= self._text_size:
                    bundle[mime] = storable(value)
                else:
                    self.dropped += size
            elif mime in _BINARY_TYPES and isinstance(value, str):
                if size * 3 // 4 <= self._image_bytes and (image := _clean_base64(value)) is not None:
                    bundle[mime] = image
                else:
                    self.dropped += size
            else:
                self.dropped += size
        return bundle

    def _show(self, kind: Any, bundle: dict[str, str], transient: dict[str, Any], message: str) -> None:
        display_id = transient.get("display_id")
        output = Output(kind=kind, data=bundle)
        if message == "update_display_data":
            if isinstance(display_id, str) and display_id in self._displays:
                self._outputs[self._displays[display_id]] = (output, None)
            return
        if len(self._outputs) >= self._most_outputs:
            self.dropped += sum(map(len, bundle.values()))
            return
        if isinstance(display_id, str):
            self._displays[display_id] = len(self._outputs)
        self._outputs.append((output, None))
        if self._on_output is not None:
            self._on_output(output)

    def _changes(self, content: dict[str, Any]) -> None:
        found = content.get("changes")
        self._namespace = []
        for item in (found if isinstance(found, list) else [])[:50]:
            match item:
                case {"name": str(name), "change": "new" | "changed" | "deleted" as change, "summary": str(summary)}:
                    self._namespace.append(NamespaceChange(name=plain(name)[:100], change=change, summary=plain(summary)[:200]))

    @property
    def failed(self) -> bool:
        """Whether an error was among the messages."""
        return self._error is not None

    def observation(self, status: Any, **more: Any) -> Observation:
        """Return what was collected; an error makes an ``ok`` into an ``error``."""
        outputs = [output if kept is None else Output(kind=output.kind, data={"text/plain": str(kept)}) for output, kept in self._outputs]
        if status == "ok" and self._error is not None:
            status = "error"
        return Observation(status=status, outputs=outputs, error=self._error, namespace=self._namespace, dropped_bytes=self.dropped, **more)


def _clean_base64(text: str) -> str | None:
    try:
        return base64.b64encode(base64.b64decode(text.replace("\n", ""), validate=True)).decode()
    except (binascii.Error, ValueError):
        return None
