r"""What a terminal would display of a stream: a progress bar writes the same line many times, and its last state counts."""

from __future__ import annotations

import re

from workbench.text import plain

_ROWS = 20
"""Lines that the cursor can go back to: nested progress bars stand one below the other."""
_LONGEST = 20_000
"""Characters of a line that can still be overwritten."""
_MOST_MOVES = 500_000
"""Moves of the cursor that are followed in one stream: enough for a bar that moves for hours. Any more begin a new line."""
_MANY = 100
"""Carriage returns in one piece beyond which only the last state of a line is looked at."""

# a carriage return, backspaces, "cursor up" and "erase in line"
_MOVE = re.compile(r"\r|\x08+|\x1b\[(\d{0,4})([AK])")
_OVERWRITTEN = re.compile(r"\r[^\r\n\x08\x1b]*(?=\r)")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]{0,30}[ -/]{0,5})?\Z")


class Screen:
    r"""Applies the movements of the cursor in a stream, and removes all other control sequences.

    Examples
    --------
    >>> screen = Screen()
    >>> screen.add("loading\n 10%") + screen.add("\r100%\n") + screen.finish()
    'loading\n100%\n'
    """

    def __init__(self) -> None:
        self._rows = [""]
        self._row = self._column = 0
        self._moves = 0
        self._unfinished = ""

    def add(self, text: str) -> str:
        """Display ``text``, and return the text that can no longer change by now."""
        text = (self._unfinished + text).replace("\r\n", "\n")
        self._unfinished = found[0] if (found := _UNFINISHED.search(text)) else ""
        text = text.removesuffix(self._unfinished)
        if text.count("\r") > _MANY:
            text = _OVERWRITTEN.sub("", text)
        settled: list[str] = []
        place = 0
        for move in _MOVE.finditer(text):
            if self._moves >= _MOST_MOVES:
                return "".join([*settled, self._write(plain(_MOVE.sub("\n", text[place:])))])
            settled.append(self._write(plain(text[place : move.start()])))
            self._move(move)
            place = move.end()
        return "".join([*settled, self._write(plain(text[place:]))])

    def finish(self) -> str:
        """Return the text that could still have changed, and forget it."""
        rest = "\n".join(self._rows)
        self._clear()
        return rest

    def _clear(self) -> None:
        self._rows = [""]
        self._row = self._column = 0

    def _write(self, text: str) -> str:
        line, newline, text = text.partition("\n")
        self._put(line)
        while newline and self._row < len(self._rows) - 1:
            self._row, self._column = self._row + 1, 0
            line, newline, text = text.partition("\n")
            self._put(line)
        settled = ""
        if newline:
            # however long the text is, only its last lines are looked at one by one
            self._rows += text.rsplit("\n", _ROWS)
            settled = "".join(f"{row}\n" for row in self._rows[:-_ROWS])
            self._rows = self._rows[-_ROWS:]
            self._row, self._column = len(self._rows) - 1, len(self._rows[-1])
        if len(self._rows[self._row]) > _LONGEST:
            settled += "\n".join(self._rows)
            self._clear()
        return settled

    def _put(self, text: str) -> None:
        if text:
            row, end = self._rows[self._row].ljust(self._column), self._column + len(text)
            self._rows[self._row] = row[: self._column] + text + row[end:]
            self._column = end

    def _move(self, move: re.Match[str]) -> None:
        self._moves += 1
        number, kind = move[1] or "", move[2]
        row = self._rows[self._row]
        if kind == "A":
            self._row = max(0, self._row - max(1, int(number or 1)))
        elif kind == "K":
            before, after = row[: self._column], row[self._column :]
            self._rows[self._row] = {"1": " " * len(before) + after, "2": ""}.get(number, before)
        elif move[0] == "\r":
            self._column = 0
        else:
            self._column = max(0, self._column - len(move[0]))


def live(piece: str, screen: Screen) -> str:
    r"""Return what somebody is to be shown who reads a stream as it arrives, a piece at a time.

    If the text begins with a carriage return, its first line takes the place of the line that was shown last.

    Parameters
    ----------
    piece : str
        What has arrived.
    screen : Screen
        One for all pieces of a stream, and for nothing else.

    Examples
    --------
    >>> screen = Screen()
    >>> live("\r 10%\r 20%", screen), live("done\r\n", screen)
    ('\r 20%', 'done\n')
    """
    text = screen.add(piece) + screen.finish()
    first, _, _ = piece.replace("\r\n", "\n").partition("\n")
    return "\r" + text if "\r" in first or "\x08" in first else text
