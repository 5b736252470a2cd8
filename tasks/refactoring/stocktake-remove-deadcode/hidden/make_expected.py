"""Write expected.json: ``PYTHONPATH=workbench/kernels/inside python make_expected.py BEFORE AFTER``.

They are folders with the untouched program and with one that was rid of its dead code.
"""

import json
import sys
from pathlib import Path

import grader
from workbench_grading.code import ask, import_all, read_package


def main(before: Path, after: Path) -> None:
    old, new = (read_package(folder / grader.PACKAGE).fingerprints for folder in (before, after))
    assert new.keys() <= old.keys()
    behaviour = ask(grader.BEHAVIOUR, before, grader.CASES)
    assert behaviour == ask(grader.BEHAVIOUR, after, grader.CASES)
    expected = {
        "after": {name: new.get(name) for name in old if new.get(name) != old[name]},
        "same": {name: value for name, value in old.items() if new.get(name) == value},
        "modules": import_all(grader.PACKAGE, after),
        "behaviour": behaviour,
    }
    (Path(__file__).parent / "expected.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(folder).resolve() for folder in sys.argv[1:]))
