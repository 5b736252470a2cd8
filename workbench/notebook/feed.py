"""Brings a run from the event loop that it runs on to the thread of the cell that displays it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench import background
from workbench.events import Event
from workbench.notebook.view import LiveView
from workbench.observation import Output

_TOGETHER_SECONDS = 0.2
"""How long texts and outputs are gathered before they are displayed: each display is sent to the browser as a whole."""


class Feed:
    """Passes events, texts and outputs on in the order in which they come; texts and outputs of a moment together.

    Parameters
    ----------
    view : LiveView
        What displays them.
    calls : Calls
        The calls that the cell's thread makes while it waits for the run.
    """

    def __init__(self, view: LiveView, calls: background.Calls) -> None:
        self._events = calls.later(view.show)
        self._texts = calls.later(view.text)
        self._outputs = calls.later(view.outputs)
        self._gathered: list[str | Output] = []

    @property
    def listeners(self) -> dict[str, Callable[[Any], None]]:
        """The options of a run that make it report here."""
        return {"on_event": self._event, "on_text": self._gather, "on_output": self._gather}

    def _event(self, event: Event) -> None:
        self._pass_on()
        self._events(event)

    def _gather(self, piece: str | Output) -> None:
        self._gathered.append(piece)
        if len(self._gathered) == 1:
            served = background.loop()
            served.call_soon_threadsafe(served.call_later, _TOGETHER_SECONDS, self._pass_on)

    def _pass_on(self) -> None:
        gathered, self._gathered = self._gathered, []
        texts = "".join(piece for piece in gathered if isinstance(piece, str))
        outputs = [piece for piece in gathered if isinstance(piece, Output)]
        if texts:
            self._texts(texts)
        if outputs:
            self._outputs(outputs)
