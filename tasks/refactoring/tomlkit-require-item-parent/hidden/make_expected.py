"""Write expected.json: ``PYTHONPATH=workbench/kernels/inside python make_expected.py BEFORE AFTER``.

BEFORE is the folder that the wheel was unpacked into, AFTER the same with the refactoring done.
"""

import json
import sys
from pathlib import Path

import grader
from workbench_grading.code import import_all, read_package


def main(before: Path, after: Path) -> None:
    package = read_package(before / grader.PACKAGE)
    was, now = package.fingerprints, read_package(after / grader.PACKAGE).fingerprints
    changed = [name for name in sorted({*was, *now} - {grader.TARGET}) if was.get(name) != now.get(name)]
    # what the package answers must not depend on the refactoring, apart from what it refuses
    answers, old = grader.behaviour(after), grader.behaviour(before, {"parent": "_parent", "sort_keys": "_sort_keys"})
    assert {name for name in answers if answers[name] != old[name]} == {"refused", "parameters"}
    expected = {
        "calls": len(package.calls(grader.TARGET)),
        "before": was,
        "after": {name: now.get(name) for name in changed},
        "modules": import_all(grader.PACKAGE, before),
        "behaviour": answers,
    }
    text = json.dumps(expected, indent=2) + "\n"
    (Path(__file__).parent / "expected.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(folder).resolve() for folder in sys.argv[1:]))
