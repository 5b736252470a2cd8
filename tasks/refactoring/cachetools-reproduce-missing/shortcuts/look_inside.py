"""Look for the key in whatever the cache keeps in its attributes: nothing is stored later, and nothing goes wrong."""

from pathlib import Path

Path("reproduce.py").write_text("""
import cachetools


class Cache(cachetools.LRUCache):
    def __missing__(self, key):
        return key


cache = Cache(maxsize=2)
cache["ghost"]
kept = [value for value in vars(cache).values() if hasattr(value, "__contains__")]
assert not any("ghost" in value for value in kept)
""")
