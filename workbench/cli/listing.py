"""A list that is read from left to right: a table where that fits on the lines, otherwise a few lines for each row."""

from __future__ import annotations

from collections.abc import Sequence

import rich.console
from rich.box import SIMPLE
from rich.table import Column, Table
from rich.text import Text

_PROSE = 40
"""How many columns the last column needs, if it is text that may be wrapped."""


class Listing:
    """Rows of text with markup, shown in a form that fits the width.

    Parameters
    ----------
    heads : sequence of str
        What each column is called.
    rows : sequence of sequence of str
        Their cells; the first names the row.
    prose : bool
        Whether the last column is text that may be wrapped.
    """

    def __init__(self, heads: Sequence[str], rows: Sequence[Sequence[str]], *, prose: bool = True) -> None:
        self.heads, self.rows, self.prose = list(heads), [list(row) for row in rows], prose

    def __rich_console__(self, console: rich.console.Console, options: rich.console.ConsoleOptions) -> rich.console.RenderResult:
        """Yield a table, or as many cells of a row on a line as it has room for, and the text below."""
        widths = [max(Text.from_markup(cell).cell_len for cell in column) for column in zip(self.heads, *self.rows, strict=True)]
        if self.prose:
            widths[-1] = min(widths[-1], _PROSE)
        # two blanks between columns, and one at either end
        if sum(widths) + 2 * len(widths) <= options.max_width:
            table = Table(*(Column(head, no_wrap=True) for head in self.heads[:-1]), self.heads[-1], box=SIMPLE)
            for row in self.rows:
                table.add_row(*row)
            yield table
            return
        for row in self.rows:
            cells = [Text.from_markup(cell) for cell in (row[:-1] if self.prose else row) if cell]
            yield from _packed(cells, options.max_width)
            if self.prose:
                text = Text.from_markup(row[-1])
                for each in text.wrap(console, options.max_width - 2):
                    each.rstrip()
                    yield Text("  ") + each


def _packed(cells: Sequence[Text], width: int) -> list[Text]:
    """Return lines of cells that are not divided, the lines after the first indented."""
    lines = [cells[0]]
    for cell in cells[1:]:
        if lines[-1].cell_len + 2 + cell.cell_len <= width:
            lines[-1] = Text("  ").join([lines[-1], cell])
        else:
            lines.append(Text("  ") + cell)
    return lines
