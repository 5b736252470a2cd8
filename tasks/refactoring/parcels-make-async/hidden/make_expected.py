"""Write expected.json: ``PYTHONPATH=workbench/kernels/inside python make_expected.py BEFORE AFTER``.

They are folders with the untouched package and with the one that the solution makes of it.
"""

import json
import sys
from pathlib import Path

import grader
from workbench_grading.code import ask, import_all, read_package

HERE = Path(__file__).parent


def main(before: Path, after: Path) -> None:
    package = read_package(before / grader.PACKAGE)
    assert not package.broken
    expected = {
        "fingerprints": package.fingerprints,
        "fixed": grader.fixed(package),
        "modules": import_all(grader.PACKAGE, before),
        "scenarios": ask((HERE / "scenarios.py").read_text(), after),
    }
    (HERE / "expected.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(folder).resolve() for folder in sys.argv[1:]))
