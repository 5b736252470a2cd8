"""Check that what is dead in a program is gone, and that all else is as it was: by fingerprints of every definition, before and after."""

import json
from pathlib import Path

from workbench_grading.code import ask, import_all, read_package, verdict

PACKAGE = "stocktake"

BEHAVIOUR = """
import contextlib, io, os, tempfile
from stocktake.cli import main

FILES = {
    "a.csv": "name,quantity,price,shelf\\nnails,1200,0.02,B\\nhammer,3,19.99,A\\nsaw <big> & sharp,1,24.5,\\n",
    "b.tsv": "name\\tquantity\\tprice\\n \\t-2\\t1.005\\nbolts\\t20000\\t0.1\\n",
    "c.json": '[{"name": "tape", "quantity": 5, "price": "2.5", "shelf": "C"}]',
    "d.jsonl": '{"name": "glue", "quantity": 1, "price": 4}\\n{"name": "wax", "quantity": 2, "price": 3, "shelf": "A"}\\n',
    "e.xml": "<items/>",
}
os.chdir(tempfile.mkdtemp())
for name, text in FILES.items():
    open(name, "w").write(text)

said = []
for arguments in given:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(arguments)
        except SystemExit as error:
            status = error.code
        except Exception as error:
            status = [type(error).__name__, str(error)]
    # argparse words its messages differently from version to version
    said.append([status, out.getvalue(), err.getvalue() if err.getvalue().startswith("stocktake: ") else bool(err.getvalue())])
print(json.dumps(said))
"""
NAMES = ["a.csv", "b.tsv", "c.json", "d.jsonl", "e.xml", "f"]
CASES = [
    *([command, name] for command in ("report", "check", "convert") for name in NAMES),
    *(["report", name, "--format", form] for name in ("a.csv", "d.jsonl") for form in ("html", "short", "none")),
    ["report", "a.csv", "--where", "shelf=A", "--where", "quantity=3"],
    ["report", "a.csv", "--where", "gross=1"],
    ["report", "a.csv", "--where", "shelf"],
    ["import", "a.csv"],
    [],
]


def module_of(name: str) -> str:
    """Return the module of a unit, MODULE.NAME or the path of a file."""
    return ".".join(name.removesuffix(".py").replace("/", ".").split(".")[:2])


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    package = read_package(submission / PACKAGE)
    changes = package.changes(expected["same"], expected["after"].keys())
    # a module that was emptied was not cleaned
    hurt = {module_of(name) for name in changes.changed}
    # none of these holds on the untouched program
    checks = {
        f"{name} is gone" if expected["after"][name] is None else f"{name} is rid of it": done and module_of(name) not in hurt
        for name, done in package.reached(expected["after"]).items()
    }
    imports = import_all(PACKAGE, submission) == expected["modules"]
    behaves = ask(BEHAVIOUR, submission, CASES) == expected["behaviour"]
    return verdict(package, checks, changes, imports=imports, behaviour=behaves)
