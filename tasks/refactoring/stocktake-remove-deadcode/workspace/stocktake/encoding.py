"""Items as JSON, and things as words."""

import decimal
import functools
import json

from stocktake.models import Batch, Item
from stocktake.texts import plural


class ItemEncoder(json.JSONEncoder):
    def default(self, o):
        if isinstance(o, Item):
            return vars(o)
        if isinstance(o, decimal.Decimal):
            return str(o)
        return super().default(o)


@functools.singledispatch
def described(thing):
    return str(thing)


@described.register
def _described_item(thing: Item):
    return f"{thing.name} ({plural(thing.quantity, 'piece')})"


@described.register
def _described_list(thing: list):
    shelves = {item.shelf for item in thing}
    return f"{plural(len(thing), 'item')} on {plural(len(shelves), 'shelf')}"


def batch_of(items):
    return Batch(list(items))
