"""Writers are named in ``writers.json``, as MODULE:CLASS."""

import importlib
import json
from pathlib import Path

from stocktake.readers import UnknownFormat

LIST = Path(__file__).with_name("writers.json")


def load_writer(name):
    targets = json.loads(LIST.read_text())
    if name not in targets:
        raise UnknownFormat(name)
    module, _, attribute = targets[name].partition(":")
    return getattr(importlib.import_module(module), attribute)()


def available():
    return sorted(json.loads(LIST.read_text()))
