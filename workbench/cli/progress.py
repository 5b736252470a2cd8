"""What the command line tells of a run while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.control import Control
from rich.segment import ControlType

from workbench.cli.errors import line, progress
from workbench.events import ActionTaken, Branched, Event, KernelStarted, ModelCalled, Noticed, Observed, RunStarted, Scored, StepFinished
from workbench.kernels.collect import cut_middle
from workbench.observation import Output
from workbench.text import shown

_SHOWN = 4000
"""Characters of a reply, of an action or of its outputs that a person is shown; the record has all of them."""


class Progress:
    """Tells on standard error what a run does.

    Parameters
    ----------
    live : bool, optional
        Whether texts and outputs are shown as they arrive, in addition to a line for each event. By default if a person
        reads them, on a terminal. A model's reply is streamed only then: that costs more than waiting for all of it.
    """

    def __init__(self, *, live: bool | None = None) -> None:
        self._live = progress.is_terminal if live is None else live
        self._mid_line = False
        self._newlines = ""
        self._left = _SHOWN
        self._streamed = False
        """Whether the reply that is awaited has been shown already."""

    @property
    def listeners(self) -> dict[str, Callable[[Any], None]]:
        """The options of a run that make it report here."""
        given: dict[str, Callable[[Any], None]] = {"on_event": self}
        return given | {"on_text": self.text, "on_output": self.output} if self._live else given

    def __call__(self, event: Event) -> None:
        """Print what is worth a line of ``event``."""
        match event:
            case RunStarted():
                branch = f", branch of {event.parent_run} at step {event.parent_step}" if event.parent_run else ""
                self._line(f"run {event.run_id}: {event.task}, model {event.model}, sandbox {event.sandbox}{branch}")
            case Branched():
                self._line(f"branched by {event.branched_by} in {event.seconds:.1f} s")
            case Noticed():
                self._line(f"note: {event.message}")
            case KernelStarted():
                self._line(f"kernel ready in {event.seconds:.1f} s, behind: {'; '.join(event.walls) or 'no wall'}")
            case ModelCalled(inherited=True):
                self._line(f"step {event.step}: inherited")
            case ModelCalled():
                if self._live and not self._streamed:
                    self._write(cut_middle(event.text, _SHOWN))
                retried = "".join(f", {attempt.status}" for attempt in event.attempts if attempt.status != "ok")
                self._line(
                    f"step {event.step}: model {event.seconds:.1f} s{retried}" + (f": {event.failure.message}" if event.failure else "")
                )
                self._streamed = False
            case ActionTaken():
                if self._live and event.source == "tool_call":
                    self._write(cut_middle(event.code, _SHOWN))
                self._end_line()
                self._left = _SHOWN
            case Observed():
                observation = event.observation
                named = f" ({observation.error.name})" if observation.error else ""
                self._line(f"  action {event.index + 1}: {observation.status}{named}, {observation.seconds:.1f} s {observation.note}")
            case StepFinished():
                for note in event.notes:
                    self._line(f"  told the model: {note}")
            case Scored():
                self._line(f"graded in {event.seconds:.1f} s")

    def text(self, piece: str) -> None:
        """Print a piece of the model's reply."""
        self._streamed = True
        self._write(piece)

    def output(self, output: Output) -> None:
        """Print an output of the kernel, or a piece of one, up to a limit for each action."""
        if self._left <= 0:
            return
        text = output.text or f"[{next(iter(output.data), 'output')}]\n"
        if text.startswith("\r"):
            # the last line in its new state, as of a progress bar
            text = text[1:]
            self._left += len(text) - 1
            if self._mid_line and not self._newlines:
                progress.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))
                self._mid_line = False
        self._write(text[: self._left], style="cyan")
        self._left -= len(text)
        if self._left <= 0:
            self._line("  [... the rest is in the record ...]")

    def _write(self, text: str, style: str = "") -> None:
        """Print untrusted text, indented so that no line of it looks like one of ours."""
        written = self._newlines + shown(text)
        body = written.rstrip("\n")
        # newlines are printed with what follows them, so that the text does not end in an indentation
        self._newlines = written[len(body) :]
        if body:
            begun = "" if self._mid_line else "  "
            progress.print(begun + body.replace("\n", "\n  "), end="", style=style, markup=False, soft_wrap=True)
            self._mid_line = True

    def _end_line(self) -> None:
        if self._mid_line:
            progress.print()
        self._mid_line, self._newlines = False, ""

    def _line(self, text: str) -> None:
        self._end_line()
        progress.print(f"[dim]{line(text)}[/]", soft_wrap=True)
