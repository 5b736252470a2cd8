"""Write expected.json from the untouched package: ``PYTHONPATH=workbench/kernels/inside python make_expected.py FOLDER``.

FOLDER is what the wheel was unpacked into.
"""

import json
import sys
from pathlib import Path

import grader
from workbench_grading.code import ask, import_all, read_tree


def main(folder: Path) -> None:
    package = grader.read(read_tree(folder / grader.PACKAGE))
    assert not package.broken
    expected = {
        "fingerprints": package.fingerprints,
        "modules": import_all(grader.PACKAGE, folder),
        "behaviour": ask(grader.BEHAVIOUR, folder, grader.CASES),
    }
    (Path(__file__).parent / "expected.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
