"""Write expected.json from the untouched module: ``PYTHONPATH=workbench/kernels/inside python make_expected.py FOLDER``.

FOLDER is what the wheel was unpacked into.
"""

import json
import sys
from pathlib import Path

import grader
from workbench_grading.code import ask


def main(folder: Path) -> None:
    package = grader.read({"schema.py": (folder / "schema.py").read_bytes()})
    assert not package.broken
    expected = {
        "fingerprints": {name: value for name, value in package.fingerprints.items() if name != "schema.py"},
        "statements": grader.statements(package, ["schema.<body>"]),
        "behaviour": ask(grader.BEHAVIOUR, folder, grader.CASES),
    }
    (Path(__file__).parent / "expected.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
