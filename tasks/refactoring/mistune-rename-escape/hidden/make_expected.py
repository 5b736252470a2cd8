"""Write expected.json from the untouched package: ``python make_expected.py FOLDER``, the folder that the wheel was unpacked into."""

import json
import subprocess
import sys
from pathlib import Path

import grader


def run(code: str, folder: Path) -> object:
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
    done = subprocess.run([sys.executable, "-I", "-B", "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main(folder: Path) -> None:
    modules, prints, broken = grader.parse_tree(grader.read_tree(folder / grader.PACKAGE))
    assert not broken
    expected = {
        "users": sorted(path for path, module in modules.items() if module.counts["old"]),
        "fingerprints": dict(sorted(prints.items())),
        "modules": run(grader.IMPORTS, folder),
        "behaviour": run(grader.behaviour_code(grader.OLD), folder),
    }
    text = json.dumps(expected, indent=2) + "\n"
    (Path(__file__).parent / "expected.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
