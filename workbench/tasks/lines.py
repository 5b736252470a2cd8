"""Where in a TOML file a field is, so that an error can point to it; the parser of the standard library does not say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


def line_of(text: str, place: Sequence[str | int]) -> int | None:
    r"""Return the line, from 1, in which a field or the table around it begins; None where nothing of it is written.

    Parameters
    ----------
    text : str
        A TOML file.
    place : sequence of str or int
        The field: keys, and positions in arrays of tables.

    Examples
    --------
    >>> text = 'id = "x"\n\n[[metric]]\nname = "a"\n\n[[metric]]\nname = "b"\n[metric.success]\nrule = "eq"\n'
    >>> line_of(text, ["metric", 1, "name"]), line_of(text, ["metric", 1, "success", "value"]), line_of(text, ["family"])
    (7, 8, None)
    """
    found = {written: number for number, written in _written(text)}
    for length in range(len(place), 0, -1):
        if (number := found.get(tuple(place[:length]))) is not None:
            return number
    return None


def _written(text: str) -> Iterator[tuple[int, tuple[str | int, ...]]]:
    tables: Counter[tuple[str | int, ...]] = Counter()
    table: tuple[str | int, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if (header := _HEADER.match(line)) is not None:
            table = ()
            *above, last = _parts(header[2])
            for part in above:
                table += (part,)
                if tables[table]:
                    table += (tables[table] - 1,)
            table += (last,)
            if header[1] == "[[":
                tables[table] += 1
                table += (tables[table] - 1,)
            yield number, table
        elif (key := _KEY.match(line)) is not None:
            yield number, (*table, *_parts(key[1]))


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]
