"""Run the submitted script beside versions of the package, and see on which of them it fails.

Two are the releases themselves; the others are made from these by small edits.
"""

import tempfile
from pathlib import Path

from workbench_grading import Invalid, read_bytes, run_submitted

SCRIPT = "reproduce.py"
RUN = f"""
import runpy, sys
sys.dont_write_bytecode, sys.pycache_prefix = True, "/nonexistent"
runpy.run_path(sys.path[0] + "/{SCRIPT}", run_name="__main__")
"""

GUARD = "        if key in self:  # __missing__ may not store item\n"
# the bug again, in other words than those of the release that has it
UNGUARDED = [(f"{GUARD}            self.__update(key)\n", "        self._touched(key)\n"), ("__update", "_touched")]
UNGUARDED_COUNT = [(f"{GUARD}            self.__counter[key] -= 1\n", "        self.__counter.subtract([key])\n")]
# the bug mended, in other words than those of the release that mended it
MENDED = [
    (
        "        self.__update(key)\n        return value\n",
        "        if self.__contains__(key):\n            self.__touch(key)\n        return value\n",
    ),
    ("__update", "__touch"),
    ("__order", "__queue"),
]
MENDED_COUNT = [
    (
        "        self.__counter[key] -= 1\n        return",
        "        if self.__contains__(key):\n            self.__uses[key] -= 1\n        return",
    ),
    ("__counter", "__uses"),
]
# the bug mended where items are evicted: a key that was never stored stays noted, and does no harm
NEXT = """        try:
            key = next(iter(self.__order))
        except StopIteration:
            raise KeyError('%s is empty' % type(self).__name__) from None
        else:
            return (key, self.pop(key))
"""
SKIPPED = """        for key in list(self.__order):
            if self.__contains__(key):
                return (key, self.pop(key))
            del self.__order[key]
        raise KeyError('%s is empty' % type(self).__name__)
"""
MOST = """        try:
            (key, _), = self.__counter.most_common(1)
        except ValueError:
            raise KeyError('%s is empty' % type(self).__name__) from None
        else:
            return (key, self.pop(key))
"""
SKIPPED_MOST = """        for key, _ in self.__counter.most_common():
            if self.__contains__(key):
                return (key, self.pop(key))
            del self.__counter[key]
        raise KeyError('%s is empty' % type(self).__name__)
"""
POP = "        else:\n            value = default\n        return value\n"

# name, release, whether it has the bug, and what is replaced in its files
VERSIONS = [
    ("the release with the bug", "4.2.0", True, {}),
    ("the release that mended it", "4.2.1", False, {}),
    ("the bug has come back", "4.2.1", True, {"lru.py": UNGUARDED, "mru.py": UNGUARDED, "lfu.py": UNGUARDED_COUNT}),
    ("mended in another way", "4.2.0", False, {"lru.py": MENDED, "mru.py": MENDED, "lfu.py": MENDED_COUNT}),
    (
        "mended at the eviction",
        "4.2.0",
        False,
        {"lru.py": [(NEXT, SKIPPED)], "mru.py": [(NEXT, SKIPPED)], "lfu.py": [(MOST, SKIPPED_MOST)]},
    ),
    ("reading is no use", "4.2.1", False, {"lru.py": [(f"{GUARD}            self.__update(key)\n", "")]}),
    ("the newest is evicted", "4.2.1", False, {"lru.py": [("next(iter(self.__order))", "next(reversed(self.__order))")]}),
    ("pop has no default", "4.2.1", False, {"cache.py": [(POP, POP.replace("value = default", "raise KeyError(key)"))]}),
]


def edited(data: bytes, changes: list) -> bytes:
    text = data.decode()
    for old, new in changes:
        if old not in text:
            raise RuntimeError(f"{old!r} is not in the release")
        text = text.replace(old, new)
    return text.encode()


def fails(script: bytes, release: Path, changes: dict) -> bool | None:
    """Say whether the script fails beside a version; None if it ends in any other way than it should."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "cachetools")
        package.mkdir()
        for module in release.glob("*.py"):
            (package / module.name).write_bytes(edited(module.read_bytes(), changes.get(module.name, [])))
        Path(folder, SCRIPT).write_bytes(script)
        status = run_submitted(RUN, submission=Path(folder), timeout=10).returncode
    return {0: False, 1: True}.get(status)


def grade(submission: Path, hidden: Path) -> dict:
    script = read_bytes(submission / SCRIPT, 100_000)
    if b"\0" in script:
        raise Invalid(f"{SCRIPT} is not Python")
    said = {name: fails(script, hidden / release, changes) for name, release, _, changes in VERSIONS}
    right = {name: said[name] is has_bug for name, _, has_bug, _ in VERSIONS}
    found = [right[name] for name, _, has_bug, _ in VERSIONS if has_bug]
    passed = [right[name] for name, _, has_bug, _ in VERSIONS if not has_bug]
    metrics = {
        "solved": float(all(right.values())),
        "checks": max(sum(found) / len(found) + sum(passed) / len(passed) - 1, 0.0),
        "found": sum(found) / len(found),
        "false_alarms": 1 - sum(passed) / len(passed),
    }
    return {"metrics": metrics, "invalid": None, "details": {"fails": said, "right": right}}
