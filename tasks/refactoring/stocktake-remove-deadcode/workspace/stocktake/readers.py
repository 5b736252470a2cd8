"""Readers of inventory files, found by the file's suffix."""

import csv
import json
import xml.etree.ElementTree
from pathlib import Path

from stocktake.models import Item

READERS = {}


class UnknownFormat(Exception):
    def __init__(self, suffix):
        super().__init__(f"no reader for {suffix or 'files without a suffix'}; there are {', '.join(sorted(READERS))}")


class BrokenFile(Exception):
    """A file that has the right suffix and the wrong contents."""


def reader(*suffixes):
    """Register a function for files with these suffixes."""

    def register(function):
        READERS.update(dict.fromkeys(suffixes, function))
        return function

    return register


def read(path):
    path = Path(path)
    function = READERS.get(path.suffix)
    if function is None:
        raise UnknownFormat(path.suffix)
    return function(path)


@reader(".csv", ".tsv")
def read_csv(path):
    delimiter = "\t" if path.suffix == ".tsv" else ","
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=delimiter))
    if False:
        print(f"{len(rows)} rows")
        rows = rows[:10]
    return [Item(**row) for row in rows]


@reader(".json")
def read_json(path):
    return [Item(**fields) for fields in json.loads(path.read_text())]


@reader(".jsonl")
def _(path):
    return [Item(**json.loads(line)) for line in path.read_text().splitlines()]


def read_xml(path):
    root = xml.etree.ElementTree.parse(path).getroot()
    return [Item.from_tuple([_text_of(child) for child in node]) for node in root]


def _text_of(node):
    return (node.text or "").strip()


def read_lines(lines, items=()):
    if not lines:
        return list(items)
    return _next_line(lines, list(items))


def _next_line(lines, items):
    return read_lines(lines[1:], [*items, Item.from_tuple(lines[0].split(";"))])
