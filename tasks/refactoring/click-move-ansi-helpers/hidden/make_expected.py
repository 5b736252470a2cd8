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
    users = package.paths(name for each in grader.MOVED for name in package.users(f"{grader.OLD}.{each}"))
    expected = {
        "users": sorted(users - {"click/_compat.py"}),
        "before": package.fingerprints,
        "modules": sorted([*import_all(grader.PACKAGE, folder, grader.WINDOWS), grader.NEW]),
        "behaviour": grader.behaviour(folder, grader.OLD),
    }
    text = json.dumps(expected) + "\n"
    (Path(__file__).parent / "expected.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
