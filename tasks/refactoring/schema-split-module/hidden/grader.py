"""Check that a module was split into a package: each definition in its new module and as it was, and everything importable as before.

In every fingerprint a definition is known by its old dotted name, wherever it stands now. So moving it leaves the fingerprints of all
its users as they were, whichever way they import it.
"""

import json
from pathlib import Path

from workbench_grading.code import Package, ask, read_tree, verdict

MODULE = "schema"
LAYOUT = {
    name: names.split()
    for name, names in {
        "errors": "SchemaError SchemaWrongKeyError SchemaMissingKeyError SchemaOnlyOneAllowedError SchemaForbiddenKeyError "
        "SchemaUnexpectedTypeError",
        "helpers": "COMPARABLE CALLABLE VALIDATOR TYPE DICT ITERABLE _priority _invoke_with_optional_kwargs _callable_str _plural_s",
        "combinators": "TSchema And Or",
        "leaves": "Regex Use Literal",
        "core": "Schema",
        "keys": "Optional Hook Forbidden Const",
    }.items()
}
MODULES = [MODULE, *(f"{MODULE}.{name}" for name in LAYOUT)]
PATHS = {"schema/__init__.py", *(f"schema/{name}.py" for name in LAYOUT)}
BODIES = [f"{module}.<body>" for module in MODULES]

# the fallback for old versions may go
SAME = {"contextlib.ExitStack": "@ExitStack", "contextlib2.ExitStack": "@ExitStack"}
FREE = ["*.<imports>", "*.<body>", "*.py"]

IMPORT = """
module, names = given
found = importlib.import_module(module)
package = importlib.import_module("schema")
print(json.dumps([module, all(getattr(package, name) is getattr(found, name) for name in names)]))
"""

BEHAVIOUR = """
import re
import schema
from schema import And, Const, Forbidden, Hook, Literal, Optional, Or, Regex, Schema, Use

handled = []
RULES = {
    "int": lambda: Schema(int),
    "and": lambda: Schema(And(Use(int), lambda n: 0 < n < 99, error="{} is out of range")),
    "or": lambda: Schema(Or(int, None, Regex("^a+$"))),
    "one": lambda: Schema({Or("a", "b", only_one=True): str}),
    "dict": lambda: Schema({"name": And(str, len), Optional("age", default=18): Use(int), Optional(Or("x", "y")): object}, name="Person"),
    "extra": lambda: Schema({"a": {str: int}}, ignore_extra_keys=True),
    "forbidden": lambda: Schema({Forbidden("old"): object, Optional(str): int}),
    "hook": lambda: Schema({Hook("h", handler=lambda *args: handled.append(list(map(str, args)))): object, str: object}),
    "list": lambda: Schema([Or(int, Schema({"k": Const(Use(str.lower))}))]),
    "const": lambda: Schema(Const(And(Use(int), 5))),
    "literal": lambda: Schema({Literal("id", description="the id"): int, Optional(Literal("n", "d"), default=1): int}, description="all"),
    "bad default": lambda: Schema({Optional(str, default=1): int}),
    "callables": lambda: Schema(And(callable, refuse)),
    "raises": lambda: Schema(refuse),
    "regex": lambda: Schema(Regex("^b", flags=2, error="no b: {}")),
}

def refuse(value):
    raise ValueError("never")

def tried(make):
    try:
        return make()
    except Exception as error:
        return [type(error).__name__, str(error), getattr(error, "autos", None), getattr(error, "errors", None)]

said = []
for rule, data in given:
    said.append(tried(lambda: [repr(RULES[rule]()), repr(RULES[rule]().validate(data)), RULES[rule]().is_valid(data)]))
for rule in RULES:
    said.append(tried(lambda: RULES[rule]().json_schema("https://example.org/s")))
same = Optional("a", default=1) == Optional("a", default=1)
said.append([handled, schema.__version__, schema.__all__, same, schema._priority(Literal("a"))])
# where an object is in memory is no behaviour
print(re.sub("0x[0-9a-f]+", "0x", json.dumps(said, default=repr)))
"""
CASES = [
    *(("int", value) for value in (1, "1", None)),
    *(("and", value) for value in ("12", 120, "x")),
    *(("or", value) for value in (3, None, "aaa", "b", 1.5)),
    *(("one", value) for value in ({"a": "1"}, {"a": "1", "b": "2"}, {}, {"c": 1})),
    *(("dict", value) for value in ({"name": "n"}, {"name": "", "age": "7"}, {"name": "n", "age": "old"}, {"age": 1})),
    ("dict", {"name": "n", "x": 1, "q": 2, "z": 3}),
    *(("extra", value) for value in ({"a": {"b": 1}, "c": 2}, {"a": {"b": "1"}}, {"a": {}}, [])),
    *(("forbidden", value) for value in ({"new": 1}, {"old": 1}, {"new": "1"})),
    ("hook", {"h": 1, "i": 2}),
    *(("list", value) for value in ([1, {"k": "A"}], [{"k": 1}], (1,), ["x"])),
    *(("const", value) for value in ("5", 6)),
    *(("literal", value) for value in ({"id": 1}, {"id": "1"}, {})),
    ("bad default", {}),
    ("callables", 1),
    ("raises", 1),
    *(("regex", value) for value in ("Bc", "c", 5)),
]  # fmt: skip


def read(files: dict[str, bytes]) -> Package:
    """Read the package; each definition is known by its old dotted name."""
    same = {f"{MODULE}.{module}.{name}": f"{MODULE}.{name}" for module, names in LAYOUT.items() for name in names}
    return Package(files, {**SAME, **same})


def statements(package: Package, bodies: list[str]) -> list[str]:
    """Return what stands outside definitions, apart from the import of ExitStack with its fallback."""
    said = [json.dumps(statement) for name in bodies if name in package.units for statement in package.units[name].content]
    return sorted(text for text in said if "TYPE_CHECKING" not in text and '"ImportError"' not in text)


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    files = {path.removeprefix("src/"): data for path, data in read_tree(submission / "src").items()}
    package = read(files)
    importable = [
        module
        for module in MODULES
        if ask(IMPORT, submission / "src", [module, LAYOUT.get(module.rpartition(".")[2], [])]) == [module, True]
    ]
    behaves = ask(BEHAVIOUR, submission / "src", CASES) == expected["behaviour"]
    homes = {f"{MODULE}.{module}": package.modules.get(f"{MODULE}.{module}") for module in LAYOUT}
    # none of these holds on the untouched module
    checks = {
        f"{MODULE} is a package of these modules alone": files.keys() == PATHS and not package.broken,
        "it can be imported by each module first": importable == MODULES and MODULE in package.modules and "schema.py" not in files,
        **{
            f"{MODULE}.{module} defines {name}": (home := homes[f"{MODULE}.{module}"]) is not None
            and home.bindings.get(name) == f"{home.name}.{name}"
            for module, names in LAYOUT.items()
            for name in names
        },
    }
    changes = package.changes(expected["fingerprints"], FREE)
    if statements(package, BODIES) != expected["statements"]:
        changes.changed.append("statements outside definitions")
    return verdict(package, checks, changes, imports=importable == MODULES, behaviour=behaves, importable=importable)
