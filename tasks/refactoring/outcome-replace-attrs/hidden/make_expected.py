"""Write expected.json from the untouched package: ``python make_expected.py FOLDER``, where it and attrs are unpacked."""

import json
import subprocess
import sys
from pathlib import Path

import grader
from workbench_grading.code import read_package

HERE = Path(__file__).parent
IMPORTS = f"""
import importlib, json, pkgutil
import {grader.PACKAGE} as package
print(json.dumps(sorted(["{grader.PACKAGE}", *(item.name for item in pkgutil.walk_packages(package.__path__, "{grader.PACKAGE}."))])))
"""


def run(code: str, folder: Path) -> object:
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
    return json.loads(subprocess.run([sys.executable, "-I", "-B", "-c", code], capture_output=True, text=True, check=True).stdout)


def main(folder: Path) -> None:
    package = read_package(folder / grader.PACKAGE)
    assert not package.broken
    expected = {
        "fingerprints": package.fingerprints,
        "modules": run(IMPORTS, folder),
        "behaviour": run((HERE / "behaviour.py").read_text(), folder),
    }
    (HERE / "expected.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
