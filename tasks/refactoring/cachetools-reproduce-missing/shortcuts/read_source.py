"""Look for the missing guard in the source instead of making the bug happen."""

from pathlib import Path

Path("reproduce.py").write_text("""
import inspect
import re

import cachetools

source = inspect.getsource(cachetools.LRUCache.__getitem__)
notes = re.search(r"self\\._\\w+\\(key\\)", source)
assert not notes or " if " in source, source
""")
