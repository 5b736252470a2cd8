# %%
import subprocess
import sys
from pathlib import Path

from cachetools import LRUCache

print(Path("ISSUE.md").read_text())
for name in ("cache", "lru"):
    print(Path(f"cachetools/{name}.py").read_text())


# %%
# LRUCache.__getitem__ notes the key as used even if __missing__ did not store it. Such a key can't be evicted when its turn comes.
class Cache(LRUCache):
    def __missing__(self, key):
        return f"not kept: {key}"


cache = Cache(maxsize=1)
cache["panorama"]
cache["a"] = 1
try:
    cache["b"] = 2
except KeyError as error:
    print("KeyError", error)

# %%
Path("reproduce.py").write_text('''\
"""A key that __missing__ does not store must not be evicted: it is not there."""

import cachetools


class Thumbnails(cachetools.LRUCache):
    def __missing__(self, key):
        return f"not kept: {key}"


thumbnails = Thumbnails(maxsize=2)
thumbnails["panorama"]
for name in ("a", "b", "c"):
    try:
        thumbnails[name] = name
    except KeyError as error:
        raise AssertionError(f"storing {name} raised a KeyError for {error}") from error
''')

# %%
code = "import sys, runpy; sys.path.insert(0, '.'); runpy.run_path('reproduce.py', run_name='__main__')"
done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
print(done.returncode, done.stderr)
