"""Write expected.json from the untouched package: ``PYTHONPATH=workbench/kernels/inside python make_expected.py FOLDER``.

FOLDER is what the wheel was unpacked into.
"""

import json
import sys
from pathlib import Path

import grader
from workbench_grading.code import import_all, read_package


def main(folder: Path) -> None:
    package = read_package(folder / grader.PACKAGE, grader.SAME)
    assert not package.broken
    expected = {
        "users": sorted(package.paths(package.users(f"{grader.HOME}.{grader.OLD}"))),
        "fingerprints": package.fingerprints,
        "modules": import_all(grader.PACKAGE, folder),
        "behaviour": grader.behaviour(grader.OLD, folder),
    }
    text = json.dumps(expected, indent=2) + "\n"
    (Path(__file__).parent / "expected.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
