"""Inventories of version 1, which were kept in one file a shelf."""

from stocktake.encoding import batch_of
from stocktake.readers import BrokenFile, read_lines


def read_shelves(folder):
    paths = sorted(folder.glob("*.shelf"))
    if not paths:
        raise BrokenFile(folder)
    return [batch_of(read_lines(path.read_text().splitlines())) for path in paths]
