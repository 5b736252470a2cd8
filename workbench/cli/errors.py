"""What the command line prints: results, progress and errors, none of which can control the terminal."""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
import warnings
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import rich.console
import rich.markup
import typer
from rich.segment import Segment

from workbench import interrupts, text
from workbench.cli import streams
from workbench.errors import UsageError, classify, shortage


class Console(rich.console.Console):
    """A console on which text from a model, a task or a file is only displayed, whichever command prints it."""

    @property
    def size(self) -> rich.console.ConsoleDimensions:
        """What there is room for now: as COLUMNS says, else as the terminal; 80 columns where there is none."""
        columns = os.environ.get("COLUMNS", "")
        found = super().size
        return rich.console.ConsoleDimensions(int(columns), found.height) if columns.isdigit() and int(columns) else found

    @size.setter
    def size(self, new: tuple[int, int]) -> None:
        self._width, self._height = new

    def render(self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments that are printed, made safe; the console's own colours are added later."""
        for piece in super().render(renderable, options):
            # the text of a link can differ from where it leads
            style = piece.style.update_link(None) if piece.style is not None and piece.style.link else piece.style
            yield piece if piece.control else Segment(text.shown(piece.text), style)


progress = Console(stderr=True, highlight=False, emoji=False)
"""Everything that is not the result goes to standard error."""

output = Console(highlight=False, emoji=False)
"""The result."""


def block(untrusted: str, *, margin: int = 2) -> str:
    r"""Return untrusted text such that a console can print it, with all its lines.

    Lines after the first are indented by ``margin``, so that none of them looks like one of ours.

    Examples
    --------
    >>> print(block("[bold]two\nsolved[/]\x1b[2J"))
    \[bold]two
      solved\[/]\x1b[2J
    """
    return rich.markup.escape(text.shown(untrusted)).replace("\n", "\n" + " " * margin)


def line(untrusted: str) -> str:
    r"""Return untrusted text such that a console can print it in one line.

    Examples
    --------
    >>> print(line("name\nsolved: yes"))
    name\nsolved: yes
    """
    return rich.markup.escape(text.line(untrusted))


def guard() -> None:
    """Send warnings and tracebacks, whose text is untrusted, through the console too."""
    warnings.showwarning = _warn
    sys.excepthook = _crash


def _warn(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    progress.print(f"[yellow]{category.__name__}:[/]", block(str(message)), soft_wrap=True)


def _crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    progress.print(block("".join(traceback.format_exception(kind, error, trace)).rstrip(), margin=0), soft_wrap=True)


_Refused: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""What typer raises for arguments that it does not understand; each of its versions has it elsewhere."""

USAGE, FAILED, INTERRUPTED = 2, 1, interrupts.EXIT


def ended(code: int) -> int:
    """Return the exit code of a command that ended with ``code``, after its output is written."""
    if not (failure := streams.lost()):
        return code
    progress.print("[bold red]error:[/]", f"standard output cannot be written: {line(failure)}", soft_wrap=True)
    return code or FAILED


def refused(error: Exception, *, as_json: bool) -> int:
    """Say what is wrong with the arguments of a command, if that is what ``error`` is about; return 0 if it is not."""
    if not isinstance(error, _Refused):
        return 0
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        output.print(block(error.format_message(), margin=0), soft_wrap=True)
        return USAGE
    if context is not None:
        progress.print(block(context.get_usage(), margin=0), soft_wrap=True)
    return report(UsageError(error.format_message(), hint=f"{context.command_path if context else 'workbench'} --help"), as_json=as_json)


def report(error: Exception, *, as_json: bool = False) -> int:
    """Print ``error`` and return its exit code; for a bug, print also where it was raised."""
    if isinstance(error, OSError) and error.filename is not None and not shortage(error):
        # a file or folder that workbench cannot do without; the message names it
        error = UsageError(f"{error.strerror}: {os.fsdecode(error.filename)}", hint="see who may read and write it")
    failure = classify(error)
    if as_json:
        print_json({"status": "error", "error": failure.model_dump()})
    if failure.kind == "agent":
        _crash(type(error), error, error.__traceback__)
        return FAILED
    progress.print("[bold red]error:[/]", block(failure.message), soft_wrap=True)
    if failure.hint:
        progress.print("  [dim]what to do:[/]", block(failure.hint), soft_wrap=True)
    return USAGE if failure.kind in ("user", "task") else FAILED


def print_json(document: object) -> None:
    """Print one JSON document on standard output."""
    text = json.dumps(_finite(document), indent=2, default=str, allow_nan=False)
    interrupts.answered()
    print(text)  # noqa: T201 - the result itself


def _finite(value: object) -> object:
    """JSON has no infinity: it is written as a string, and what is not a number as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
