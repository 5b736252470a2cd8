# %%
import ast
import subprocess
import sys
from pathlib import Path

source = Path("src/schema.py").read_text()
lines, tree = source.splitlines(), ast.parse(source)
for node in tree.body:
    if not isinstance(node, ast.Import | ast.ImportFrom):
        print(node.lineno, node.end_lineno, ast.unparse(node).splitlines()[0][:100])

# %%
LAYOUT = {
    "errors": ["SchemaError", "SchemaWrongKeyError", "SchemaMissingKeyError", "SchemaOnlyOneAllowedError"],
    "helpers": ["COMPARABLE", "_priority", "_invoke_with_optional_kwargs", "_callable_str", "_plural_s"],
    "combinators": ["TSchema", "And", "Or"],
    "leaves": ["Regex", "Use", "Literal"],
    "core": ["Schema"],
    "keys": ["Optional", "Hook", "Forbidden", "Const"],
}
LAYOUT["errors"] += ["SchemaForbiddenKeyError", "SchemaUnexpectedTypeError"]
CONSTANTS = ["COMPARABLE", "CALLABLE", "VALIDATOR", "TYPE", "DICT", "ITERABLE"]
text_of, uses = {}, {}
for node in tree.body:
    target = node.targets[0] if isinstance(node, ast.Assign) else None
    name = getattr(node, "name", None) or getattr(target, "id", None) or ("COMPARABLE" if isinstance(target, ast.Tuple) else None)
    if name:
        text_of[name] = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        uses[name] = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
for module, names in LAYOUT.items():
    needed = set().union(*(uses[name] for name in names)) - set(names)
    print(module, sorted(needed & {*text_of, *CONSTANTS}), sorted(needed & {"inspect", "re", "cast", "ExitStack"}))

# %%
# Which names of typing does each module need? The package's own Optional and Literal are none of them.
typing_names = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "typing" for alias in node.names]


def write(module, own, local=()):
    names = LAYOUT[module]
    body = "\n\n\n".join(text_of[name] for name in names)
    needed = set().union(*(uses[name] for name in names))
    head = [f"import {name}" for name in ("inspect", "re") if name in needed]
    head += ["from contextlib import ExitStack"] if "ExitStack" in needed else []
    wanted = sorted(set(typing_names) & needed)
    head += [f"from typing import {', '.join(wanted)}"] if wanted else []
    head += own
    for anchor, line in local:
        assert body.count(anchor) == 1, anchor
        indent = anchor[: len(anchor) - len(anchor.lstrip())]
        body = body.replace(anchor, f"{indent}{line}\n\n{anchor}")
    Path(f"src/schema/{module}.py").write_text("\n".join(head) + "\n\n\n" + body + "\n")


Path("src/schema").mkdir()
write("errors", [])
write("helpers", [], [("    if type(s) in (list, tuple, set, frozenset):", "from .leaves import Literal")])
write("leaves", ["from .errors import SchemaError", "from .helpers import _callable_str"])
write(
    "combinators",
    ["from .errors import SchemaError, SchemaOnlyOneAllowedError"],
    [("        self._args: Tuple[Union[TSchema, Callable[..., Any]], ...] = args", "from .core import Schema")],
)
write(
    "core",
    [
        "from .combinators import And, Or",
        "from .errors import SchemaError, SchemaMissingKeyError, SchemaUnexpectedTypeError, SchemaWrongKeyError",
        "from .helpers import CALLABLE, COMPARABLE, DICT, ITERABLE, TYPE, VALIDATOR",
        "from .helpers import _callable_str, _invoke_with_optional_kwargs, _plural_s, _priority",
        "from .leaves import Literal, Regex",
    ],
    [
        ("        if isinstance(s, Hook):\n            return _priority", "from .keys import Hook, Optional"),
        ("        return any(isinstance(s, optional_type)", "from .keys import Hook, Optional"),
        ("        Schema = self.__class__\n        s: Any", "from .keys import Hook, Optional"),
        ("        seen: Dict[int, Dict[str, Any]] = {}", "from .keys import Hook, Optional"),
    ],
)
write(
    "keys",
    [
        "from .core import Schema",
        "from .errors import SchemaForbiddenKeyError",
        "from .helpers import COMPARABLE, _priority",
    ],
)

# %%
docstring = "\n".join(lines[: tree.body[0].end_lineno])


def is_kept(node):
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("__version__", "__all__")


versions = "\n".join("\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in tree.body if is_kept(node))
imports = [
    f"from .{module} import {name}"
    for module, names in LAYOUT.items()
    for name in ([*CONSTANTS, *names[1:]] if module == "helpers" else names)
]
Path("src/schema/__init__.py").write_text("\n".join([docstring, "", *imports, "", versions, ""]))
Path("src/schema.py").unlink()
print(Path("src/schema/__init__.py").read_text())

# %%
# Each module must be importable first.
probe = """
import importlib, sys
sys.path.insert(0, "src")
importlib.import_module(sys.argv[1])
from schema import And, Hook, Literal, Optional, Or, Schema, Use, _priority
rules = Schema({"name": And(str, len), Optional("age", default=18): Use(int), Optional(Or("x", "y")): object})
print(sys.argv[1], rules.validate({"name": "n", "x": 1}), rules.is_valid({"age": 1}), rules.json_schema("s")["required"])
"""
for module in ("schema", *(f"schema.{name}" for name in LAYOUT)):
    done = subprocess.run([sys.executable, "-B", "-c", probe, module], capture_output=True, text=True)
    print(done.stdout, done.stderr[-800:])
