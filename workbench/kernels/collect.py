"""Collects a cell's messages into a bounded observation."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from typing import Any

from workbench.kernels.screen import Screen, live
from workbench.observation import NamespaceChange, Observation, Output, PythonError
from workbench.text import plain, storable

NAMESPACE_MIME = "application/vnd.workbench.namespace+json"
ASKS_FOR_CHANGES = "workbench_changes"
"""What a request to run a cell says to hear what the cell changed in the namespace."""

_TEXT_TYPES = ("text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml")
_BINARY_TYPES = ("image/png", "image/jpeg")
_MOST_TYPES = 10


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


class _Text:
    """The text of a stream, of which each line is kept in its last state."""

    def __init__(self, size: int) -> None:
        self._screen, self._kept = Screen(), MiddleCut(size)
        self._live = Screen()

    def add(self, piece: str) -> None:
        self._kept.add(self._screen.add(piece))

    def live(self, piece: str) -> str:
        """Return what a listener is told of a piece."""
        return live(piece, self._live)

    def __str__(self) -> str:
        self._kept.add(self._screen.finish())
        return str(self._kept)


class Collector:
    """Turns what one cell sends into outputs, as a notebook does: displays are updated in place, and outputs can be cleared.

    Parameters
    ----------
    text_size : int
        Characters kept of one stream or one text representation.
    image_bytes : int
        Bytes kept of one picture; a larger one is dropped and counted.
    most_outputs : int
        Results and displays kept.
    on_output : callable, optional
        Called with each output as it arrives, and with the new state of a display that is updated. Streams arrive in
        pieces; one that begins with a carriage return takes the place of the line that was shown last.
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
        """Bytes beyond the limits."""
        self.unshown: list[str] = []
        """Types of payload that have no text and no picture in them."""
        self._text_size, self._image_bytes, self._most_outputs = text_size, image_bytes, most_outputs
        self._on_output = on_output
        self._outputs: list[tuple[Output, _Text | None]] = []
        self._displays: dict[str, list[int]] = {}
        """Where the displays with a name are; nowhere, once they were cleared."""
        self._to_clear = False
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
                    match content.get("transient"):
                        case {"display_id": str(name)}:
                            pass
                        case _:
                            name = ""
                    self._show("result" if kind == "execute_result" else "display", bundle, name, update=kind == "update_display_data")
            case "payload", {"source": "page", "data": dict(data)}:
                # help, which a notebook shows in a pane of its own
                if bundle := self._bounded(data):
                    self._show("display", bundle)
            case "payload", {"source": "set_next_input", "text": str(text)}:
                # what a notebook would write into a cell, for example the file that %load has read
                if bundle := self._bounded({"text/plain": text}):
                    self._show("display", bundle)
            case "clear_output", _:
                self._to_clear = True
                if not content.get("wait"):
                    self._clear()
            case "error", {"ename": str(name), "evalue": str(value), "traceback": list(lines)}:
                self._clear()
                text = plain("\n".join(line for line in lines if isinstance(line, str)))
                self.received += len(text)
                self._error = PythonError(
                    name=plain(name)[:200], value=cut_middle(plain(value), 4000), traceback=cut_middle(text, self._text_size)
                )

    def pass_over(self, size: int) -> None:
        """Count ``size`` bytes that were too large to be taken in."""
        self.received += size
        self.dropped += size

    def _clear(self) -> None:
        """Forget what was shown, if that was asked for."""
        if self._to_clear:
            self._to_clear = False
            self._outputs.clear()
            for places in self._displays.values():
                places.clear()

    def _stream(self, name: Any, piece: str) -> None:
        self._clear()
        text = self._last_text(name)
        if text is None:
            self.dropped += len(piece)
            return
        text.add(piece)
        if self._on_output is not None:
            self._on_output(Output(kind=name, data={"text/plain": text.live(piece)}))

    def _last_text(self, name: Any) -> _Text | None:
        """Return the text that a stream goes on in; where there can be no more outputs, its last one."""
        if self._outputs and self._outputs[-1][0].kind == name:
            return self._outputs[-1][1]
        if len(self._outputs) < self._most_outputs:
            text = _Text(self._text_size)
            self._outputs.append((Output(kind=name, data={}), text))
            return text
        return next((text for output, text in reversed(self._outputs) if output.kind == name), None)

    def _bounded(self, data: dict[str, Any]) -> dict[str, str]:
        bundle: dict[str, str] = {}
        for mime, value in data.items():
            size = weight(value)
            self.received += size
            if mime not in _TEXT_TYPES and mime not in _BINARY_TYPES:
                if mime not in self.unshown and len(self.unshown) < _MOST_TYPES:
                    self.unshown.append(mime)
            elif isinstance(value, str) and (kept := self._kept(mime, value)) is not None:
                bundle[mime] = kept
            else:
                self.dropped += size
        return bundle

    def _kept(self, mime: str, value: str) -> str | None:
        """Return what is kept of a text or a picture, or None for one that is too large or no picture."""
        if mime == "text/plain":
            return cut_middle(plain(value), self._text_size)
        if mime in _TEXT_TYPES:
            return storable(value) if len(value) <= self._text_size else None
        return _clean_base64(value) if len(value) * 3 // 4 <= self._image_bytes else None

    def _show(self, kind: Any, bundle: dict[str, str], name: str = "", *, update: bool = False) -> None:
        output = Output(kind=kind, data=bundle)
        if not update:
            self._clear()
        if update and name in self._displays:
            for place in self._displays[name]:
                self._outputs[place] = (output, None)
            shown = bool(self._displays[name])
        else:
            # what is updated in a later cell than the one that displayed it has no place here yet
            shown = len(self._outputs) < self._most_outputs
            if shown:
                if name:
                    self._displays.setdefault(name, []).append(len(self._outputs))
                self._outputs.append((output, None))
            else:
                self.dropped += sum(map(len, bundle.values()))
        if shown and self._on_output is not None:
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

    def observation(self, status: Any, *, note: str = "", **more: Any) -> Observation:
        """Return what was collected; an error makes an ``ok`` into an ``error``."""
        outputs = [output if text is None else Output(kind=output.kind, data={"text/plain": str(text)}) for output, text in self._outputs]
        if status == "ok" and self._error is not None:
            status = "error"
        notes = [note] if note else []
        if status == "error" and self._error is not None and self._error.name == "SystemExit":
            notes.append("the cell ended here; the kernel goes on and keeps its variables")
        if self.unshown:
            types = ", ".join(plain(mime)[:100] for mime in self.unshown)
            notes.append(f"not shown, for it is neither text nor a picture of a known type: {types}")
        return Observation(
            status=status,
            outputs=outputs,
            error=self._error,
            namespace=self._namespace,
            dropped_bytes=self.dropped,
            note="; ".join(notes),
            **more,
        )


def _clean_base64(text: str) -> str | None:
    try:
        return base64.b64encode(base64.b64decode(text.replace("\n", ""), validate=True)).decode()
    except (binascii.Error, ValueError):
        return None
