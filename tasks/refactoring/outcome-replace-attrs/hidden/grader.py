"""Check that attrs gave way to dataclasses and that the classes behave as before, in each of many ways."""

import ast
import json
from pathlib import Path

from workbench_grading.code import Package, ask, import_all, read_package, verdict

PACKAGE = "outcome"
HOME = "outcome._impl"
# the bases of each class, and its own fields with their annotations
CLASSES = {
    "Outcome": (["abc.ABC", "Generic[ValueT]"], {"_unwrapped": "bool"}),
    "Value": (["Outcome[ValueT]", "Generic[ValueT]"], {"value": "ValueT"}),
    "Error": (["Outcome[NoReturn]"], {"error": "BaseException"}),
}
NAMES = [f"{HOME}.{name}" for name in CLASSES]
# a dataclass may need special methods; what they do is seen in how it behaves
MAY_CHANGE = [f"{HOME}.<imports>", *NAMES, *(f"{name}.__*__" for name in NAMES)]
# special methods that run when a class is made or subscripted, which no dataclass needs
TOO_EARLY = ("__init_subclass__", "__class_getitem__", "__set_name__", "__prepare__")

# what a class is once it has been made, whatever its source says
MADE = """
import dataclasses
from outcome import _impl
print(json.dumps({name: [
    dataclasses.is_dataclass(kind) and [field.name for field in dataclasses.fields(kind)],
    type(vars(kind).get("__dataclass_params__")).__module__,
    any(name.startswith("__attrs") for name in dir(kind)),
] for name, kind in ((name, getattr(_impl, name)) for name in given)}))
"""


def is_literal(node: ast.AST | None) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return node is None
    return True


def is_plain(package: Package, name: str) -> bool:
    """Say whether the statement of a class declares a dataclass and does nothing else: then no other program can have made it."""
    unit, (bases, fields) = package.units.get(f"{HOME}.{name}"), CLASSES[name]
    heads = [node for node in unit.nodes if isinstance(node, ast.ClassDef)] if unit else []
    if len(heads) != 1:
        return False
    (head,) = heads
    targets = {call: target for target, call in unit.calls}

    def calls(node: ast.AST | None, function: str) -> bool:
        return targets.get(node) == function and not node.args and all(is_literal(word.value) for word in node.keywords)

    decorators = [each for each in head.decorator_list if not (isinstance(each, ast.Name) and each.id == "final")]
    if not (len(decorators) == 1 and calls(decorators[0], "dataclasses.dataclass")):
        return False
    if list(map(ast.unparse, head.bases)) != bases or head.keywords:
        return False
    declared = {}
    for node in head.body:
        if isinstance(node, ast.AnnAssign) and (is_literal(node.value) or calls(node.value, "dataclasses.field")):
            declared[ast.unparse(node.target)] = ast.unparse(node.annotation)
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("__"):
            if node.decorator_list or node.name in TOO_EARLY or not all(map(is_literal, [*node.args.defaults, *node.args.kw_defaults])):
                return False
        elif isinstance(node, ast.Assign | ast.Expr):
            if not is_literal(node.value):
                return False
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return False
    return declared == fields


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    package = read_package(submission / PACKAGE)
    leftovers = sorted({*package.users("attr"), *package.users("attrs")})
    made = ask(MADE, submission, list(CLASSES))
    own = {"Outcome": ["_unwrapped"], "Value": ["_unwrapped", "value"], "Error": ["_unwrapped", "error"]}
    is_made = {name: isinstance(made, dict) and made.get(name) == [own[name], "dataclasses", False] for name in CLASSES}
    said = ask((hidden / "behaviour.py").read_text(encoding="utf-8"), submission)
    behaves = {kind: isinstance(said, dict) and said.get(kind) == wanted for kind, wanted in expected["behaviour"].items()}
    # none of these holds on the untouched package
    checks = {
        "attrs is not referred to": not leftovers and not package.broken,
        **{f"{name} is a dataclass": is_made[name] and is_plain(package, name) for name in CLASSES},
        **{f"{kind} as before": same for kind, same in behaves.items()},
    }
    changes = package.changes(expected["fingerprints"], MAY_CHANGE)
    imports = import_all(PACKAGE, submission) == expected["modules"]
    return verdict(package, checks, changes, imports=imports, behaviour=all(behaves.values()), leftovers=leftovers)
