"""Check that attrs gave way to dataclasses and that the classes behave as before, in each of many ways."""

import json
from pathlib import Path

from workbench_grading.code import ask, import_all, read_package, verdict

PACKAGE = "outcome"
HOME = "outcome._impl"
CLASSES = [f"{HOME}.{name}" for name in ("Outcome", "Value", "Error")]
# a dataclass may need special methods; what they do is seen in how it behaves
MAY_CHANGE = [f"{HOME}.<imports>", *CLASSES, *(f"{name}.__*__" for name in CLASSES)]


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    package = read_package(submission / PACKAGE)
    leftovers = sorted({*package.users("attr"), *package.users("attrs")})
    dataclasses = package.users("dataclasses")
    said = ask((hidden / "behaviour.py").read_text(encoding="utf-8"), submission)
    behaves = {kind: isinstance(said, dict) and said.get(kind) == wanted for kind, wanted in expected["behaviour"].items()}
    # none of these holds on the untouched package
    checks = {
        "attrs is not referred to": not leftovers and not package.broken,
        **{f"{name} is a dataclass": name in dataclasses for name in CLASSES},
        **{f"{kind} as before": same for kind, same in behaves.items()},
    }
    changes = package.changes(expected["fingerprints"], MAY_CHANGE)
    imports = import_all(PACKAGE, submission) == expected["modules"]
    return verdict(package, checks, changes, imports=imports, behaviour=all(behaves.values()), leftovers=leftovers)
