"""Write expected.json: ``PYTHONPATH=workbench/kernels/inside python make_expected.py BEFORE AFTER``.

BEFORE is the folder that the wheel was unpacked into, AFTER the same with the refactoring done.
"""

import json
import sys
from pathlib import Path

import grader
from workbench_grading.code import import_all, read_package


def main(before: Path, after: Path) -> None:
    was, now = (read_package(folder / grader.PACKAGE).fingerprints for folder in (before, after))
    free = {f"{grader.HOME}.{grader.OLD}", f"{grader.HOME}.{grader.NEW}"}
    changed = [name for name in sorted({*was, *now} - free) if was.get(name) != now.get(name) and "<imports>" not in name]
    expected = {
        "before": was,
        "after": {name: now.get(name) for name in changed},
        "modules": import_all(grader.PACKAGE, before),
        "behaviour": grader.behaviour(after),
    }
    text = json.dumps(expected, indent=2) + "\n"
    (Path(__file__).parent / "expected.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(folder).resolve() for folder in sys.argv[1:]))
