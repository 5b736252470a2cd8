"""A run as it happens, under the cell that asked for it.

Everything an agent's kernel shows is untrusted: HTML, JavaScript and SVG would run with the user's rights in the
user's page, so only text (escaped) and raster pictures are shown.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from workbench.agents.show import trim_traceback
from workbench.events import (
    ActionTaken,
    Event,
    KernelDied,
    KernelStarted,
    ModelCalled,
    Noticed,
    Observed,
    RunFinished,
    RunStarted,
    Scored,
    StepFinished,
)
from workbench.kernels.collect import cut_middle
from workbench.observation import Observation, Output
from workbench.text import shown

_BOX = "margin:2px 0;padding:4px 8px;border-left:3px solid"
# saved pages have no style sheet that makes it monospaced, and what is scrolled away is missing in print
_PRE = "font-family:ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere;margin:2px 0;background:transparent"
_TEXT_SIZE = 4000
_OUTPUTS = 20
"""The last outputs of a running action that are shown."""


class LiveView:
    """Shows a run as it happens: one display a step, each growing until the step is over.

    Only what is being written is sent again as it grows, because a notebook's server drops what is too much at once.
    Call its methods from the thread that runs the cell.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._lines: list[str] = []
        self._handle: Any = None
        self._over = False
        """Whether the step on display is complete, so that what comes next gets a display of its own."""
        self._text = ""
        self._outputs: list[Output] = []

    def show(self, event: Event) -> None:
        """Add ``event`` to the display; what had arrived of it is replaced."""
        match event:
            case ModelCalled():
                self._text = ""
            case Observed():
                self._outputs = []
        part, line = map(shown, self._render(event))
        if part:
            self._begin()
            self._parts.append(part)
            self._lines.append(line)
            self._refresh()
        if isinstance(event, StepFinished):
            self._over = True

    def text(self, text: str) -> None:
        """Add text that the model has written to the display; only the end of a long text is shown until it is complete."""
        self._begin()
        self._text = (self._text + text)[-_TEXT_SIZE:]
        self._refresh()

    def outputs(self, outputs: Sequence[Output]) -> None:
        """Add what an action has shown to the display."""
        self._begin()
        for output in outputs:
            last = self._outputs[-1] if self._outputs else None
            if last is not None and last.kind == output.kind and output.kind in ("stdout", "stderr"):
                self._outputs[-1] = Output(kind=output.kind, data={"text/plain": _continued(last.text, output.text)[-_TEXT_SIZE:]})
            else:
                self._outputs = [*self._outputs, output][-_OUTPUTS:]
        self._refresh()

    def _begin(self) -> None:
        if self._over:
            self._parts, self._lines, self._handle, self._over = [], [], None, False

    def _refresh(self) -> None:
        from IPython.display import display

        parts, lines = list(self._parts), list(self._lines)
        if self._text:
            parts.append(f"<pre style='{_PRE}'>{html.escape(shown(self._text))}</pre>")
            lines.append(shown(self._text))
        if self._outputs:
            part, line = map(shown, _observation(Observation(status="ok", outputs=self._outputs)))
            parts.append(part)
            lines.append(line)
        bundle = {"text/plain": "\n".join(lines), "text/html": "".join(parts)}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)

    def _render(self, event: Event) -> tuple[str, str]:
        match event:
            case RunStarted():
                branch = f", branch of {event.parent_run} at step {event.parent_step}" if event.parent_run else ""
                text = f"run {event.run_id}: {event.model}, sandbox {event.sandbox}{branch}"
                return _note(text), text
            case KernelStarted():
                text = (
                    f"kernel ready in {event.seconds:.1f} s behind {len(event.walls)} walls"
                    if event.walls
                    else "kernel ready, behind no wall at all"
                )
                return _note(text, title="; ".join(event.walls)), text
            case Noticed():
                return _note(f"note: {event.message}"), f"note: {event.message}"
            case KernelDied():
                return _note(f"the kernel died: {event.reason}"), f"the kernel died: {event.reason}"
            case ModelCalled():
                text = event.text or (event.failure.message if event.failure else "")
                retried = [attempt.status for attempt in event.attempts if attempt.status != "ok"]
                heading = (
                    f"step {event.step}"
                    + (", inherited" if event.inherited else "")
                    + (f" (asked again after {', '.join(retried)})" if retried else "")
                )
                thought = html.escape(cut_middle(text, _TEXT_SIZE))
                return f"<details><summary>{html.escape(heading)}</summary><pre style='{_PRE}'>{thought}</pre></details>", heading
            case ActionTaken():
                return f"<div style='{_BOX} #4c78a8'><pre style='{_PRE}'>{html.escape(event.code)}</pre></div>", event.code
            case Observed():
                return _observation(event.observation)
            case StepFinished() if event.notes:
                text = "; ".join(event.notes)
                return _note(f"told the model: {text}"), text
            case RunFinished(status="interrupted"):
                return _note("interrupted"), "interrupted"
            case Scored():
                text = f"graded in {event.seconds:.1f} s"
                return _note(text), text
        return "", ""


def _continued(text: str, piece: str) -> str:
    r"""Return a stream with one more piece; one that begins with a carriage return is the last line in its new state.

    Examples
    --------
    >>> _continued("a\n10%", "\r20%"), _continued("a\n", "b")
    ('a\n20%', 'a\nb')
    """
    return text[: text.rfind("\n") + 1] + piece[1:] if piece.startswith("\r") else text + piece


def _note(text: str, title: str = "") -> str:
    return f"<div style='opacity:.7;font-size:90%' title='{html.escape(title, quote=True)}'>{html.escape(text)}</div>"


def _observation(observation: Observation) -> tuple[str, str]:
    parts, lines = [], []
    for output in observation.outputs:
        picture = next((mime for mime in ("image/png", "image/jpeg") if mime in output.data), None)
        if picture:
            source = f"data:{picture};base64,{html.escape(str(output.data[picture]), quote=True)}"
            parts.append(f"<img style='max-width:100%;background:white' alt='figure' src='{source}'>")
            lines.append("[figure]")
        elif output.text.strip():
            shown = cut_middle(output.text.rstrip(), _TEXT_SIZE)
            parts.append(f"<pre style='{_PRE}'>{html.escape(shown)}</pre>")
            lines.append(shown)
    if observation.error is not None:
        shown = cut_middle(trim_traceback(observation.error), _TEXT_SIZE)
        parts.append(f"<pre style='{_PRE};color:#c0392b'>{html.escape(shown)}</pre>")
        lines.append(shown)
    if observation.note:
        parts.append(_note(observation.note))
        lines.append(observation.note)
    if not parts:
        return "", ""
    colour = "#59a14f" if observation.status == "ok" else "#e15759"
    return f"<div style='{_BOX} {colour}'>{''.join(parts)}</div>", "\n".join(lines)
