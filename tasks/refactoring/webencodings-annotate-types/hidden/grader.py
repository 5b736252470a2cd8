"""Check that a package was annotated: mypy accepts it, tells right from wrong uses, and without the annotations nothing has changed.

mypy reads the package and never imports it, with settings of ours alone, in a process that can reach nothing else.
"""

import ast
import io
import json
import re
import tempfile
import tokenize
from pathlib import Path

from workbench_grading.code import Package, ask, import_all, read_tree, verdict

PACKAGE = "webencodings"
MODULES = [f"{PACKAGE}/__init__.py", f"{PACKAGE}/custom.py"]
MOST_IGNORED, MOST_ANY = 3, 4
FREE = ["*.<imports>", f"{PACKAGE}/py.typed"]

MYPY = """
import os
from mypy import api

# what is beside the package is read by name; no settings file is, and nothing installed
options = ["--strict", "--disallow-any-explicit", "--config-file=", "--cache-dir=" + os.devnull, "--no-site-packages", "--output=json"]
os.chdir(sys.path[0])
said, trouble, _ = api.run([*options, *given])
print(json.dumps([[json.loads(line) for line in said.splitlines() if line.startswith("{")], trouble]))
"""

BEHAVIOUR = """
import webencodings as w
from webencodings import custom

def tried(call):
    try:
        return repr(call())
    except Exception as error:
        return [type(error).__name__, str(error)]

def pushed(label, chunks):
    decoder = w.IncrementalDecoder(label)
    return [[decoder.decode(chunk), str(decoder.encoding)] for chunk in chunks] + [decoder.decode(b"", final=True), str(decoder.encoding)]

print(json.dumps([
    *(tried(lambda: [w.lookup(label), w.ascii_lower(label)]) for label in given["labels"]),
    *(tried(lambda: [w.encode(text, label), w.decode(w.encode(text, label), label), list(w.iter_encode([text, "", text], label))])
      for text in given["texts"] for label in given["labels"]),
    *(tried(lambda: w.decode(bytes(data), w.UTF8)) for data in given["bytes"]),
    *(tried(lambda: [list(part) if n == 0 else part for n, part in enumerate(w.iter_decode([bytes(data[:1]), bytes(data[1:])], "big5"))])
      for data in given["bytes"]),
    *(tried(lambda: pushed("latin1", [bytes([byte]) for byte in data])) for data in given["bytes"]),
    tried(lambda: custom.UserCodec().decode(bytes(range(120, 140)))), tried(lambda: custom.UserIncrementalEncoder().encode("a")),
    tried(lambda: w.IncrementalEncoder("utf-8").encode("x")), tried(lambda: w.decode("x", "utf-8")), w.VERSION, w.LABELS, w.PYTHON_NAMES,
]))
"""
CASES = {
    "labels": ["utf-8", " UTF8\n", "latin1", "x-user-defined", "shift_jis", "replacement", "nothing", "K\u212a"],
    "texts": ["caf\u00e9", "\uf7ff", "\u65e5\u672c", ""],
    "bytes": [[], [255], [255, 254, 65, 0], [254, 255, 0, 65], [239, 187, 191, 97], [239, 187], [97, 98], [255, 97, 98, 99]],
}


# --- what stands there but for annotations ---


def ends_in(node: ast.AST, *names: str) -> bool:
    """Say whether an expression is one of these names, on its own, of a module, or with a subscript."""
    node = node.value if isinstance(node, ast.Subscript) else node
    return (node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)) in names


def is_stub(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass | ast.AnnAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def is_for_types(node: ast.stmt) -> bool:
    """Say whether a statement is there for annotations alone."""
    if isinstance(node, ast.Assign):
        return isinstance(node.value, ast.Call) and ends_in(node.value.func, "TypeVar", "ParamSpec", "TypeVarTuple")
    if isinstance(node, ast.AnnAssign):
        return node.value is None or ends_in(node.annotation, "TypeAlias")
    if isinstance(node, ast.FunctionDef):
        return any(ends_in(each, "overload") for each in node.decorator_list) and all(map(is_stub, node.body))
    if isinstance(node, ast.ClassDef):
        methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
        stubs = [each for each in node.body if each not in methods] + [each for method in methods for each in method.body]
        return any(ends_in(base, "Protocol") for base in node.bases) and all(map(is_stub, stubs))
    if isinstance(node, ast.If):
        return ends_in(node.test, "TYPE_CHECKING") and not node.orelse and all(is_import(each) or is_for_types(each) for each in node.body)
    return False


def is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


class Bare(ast.NodeTransformer):
    """Takes annotations out of a syntax tree, and statements that are there for them alone."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name in ("annotation", "returns"):
            if hasattr(node, name):
                setattr(node, name, None)
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if isinstance(statements, list) and statements:
                kept = [each for each in statements if not is_for_types(each)]
                setattr(node, name, kept or [ast.Pass()])
        return super().generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return self.generic_visit(ast.copy_location(ast.Assign([node.target], node.value), node))


def bare(data: bytes) -> bytes:
    """Return a module's source without annotations; what cannot be parsed stays as it is, and is found broken later."""
    try:
        return ast.unparse(ast.fix_missing_locations(Bare().visit(ast.parse(data)))).encode()
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return data


def read(files: dict[str, bytes]) -> Package:
    return Package({path: bare(data) if path.endswith(".py") else data for path, data in files.items()})


# --- what mypy says ---


def comments(data: bytes) -> list[str]:
    try:
        return [token.string for token in tokenize.tokenize(io.BytesIO(data).readline) if token.type == tokenize.COMMENT]
    except (SyntaxError, ValueError, tokenize.TokenError):
        return []  # a module that can't be parsed either


def errors(files: dict[str, bytes], uses: bytes) -> dict[str, list] | None:
    """Return what mypy objects to, as (line, code) by path; None if it could not finish."""
    with tempfile.TemporaryDirectory() as folder:
        for path, data in {**files, "uses.py": uses}.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        answer = ask(MYPY, Path(folder), [PACKAGE, "uses.py"], timeout=90)
    if not isinstance(answer, list) or answer[1]:
        return None
    found: dict[str, list] = {}
    for error in answer[0]:
        if error["severity"] == "error":
            found.setdefault(error["file"], []).append((error["line"], error["code"]))
    return found


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((hidden / "expected.json").read_text(encoding="utf-8"))
    files = read_tree(submission / PACKAGE)
    package = read(files)
    sources = {path: data for path, data in files.items() if path.endswith(".py")}
    found = errors(sources, (hidden / "uses.py").read_bytes())

    said = [comment for data in sources.values() for comment in comments(data)]
    ignored = [comment for comment in said if re.search(r"#\s*type:\s*ignore", comment)]
    settings = [comment for comment in said if re.match(r"#\s*mypy\s*:", comment)]
    anys = [error for errors in (found or {}).values() for error in errors if error[1] == "explicit-any"]
    kept = len(ignored) <= MOST_IGNORED and all(re.search(r"ignore\[[\w, -]+\]", comment) for comment in ignored) and not settings
    objections = {path: [error for error in each if error[1] != "explicit-any"] for path, each in (found or {}).items()}
    # what is silenced is not accepted
    accepted = found is not None and kept and not package.broken and not any(objections.get(path) for path in sources)

    # a call of a function that is not annotated is an error too, but says nothing of how it is called
    objected = {line for line, _ in objections.get("uses.py", [])}
    wrong = objected - {line for line, code in objections.get("uses.py", []) if code == "no-untyped-call"}
    uses = {}
    for number, line in enumerate((hidden / "uses.py").read_text().splitlines(), start=1):
        if line.endswith("# wrong"):
            uses[f"objects to {line.removesuffix('  # wrong')}"] = kept and number in wrong
        elif "webencodings" in line or "assert_type(" in line or "Encod" in line:
            uses[line.strip()] = accepted and number not in objected
    del uses["import webencodings"]
    # none of these holds on the untouched package
    checks = {
        **{f"mypy accepts {path}": found is not None and kept and path in sources and not objections.get(path) for path in MODULES},
        "the limits are kept": accepted and len(anys) <= MOST_ANY,
        **uses,
    }
    changes = package.changes(expected["fingerprints"], FREE)
    imports = import_all(PACKAGE, submission) == expected["modules"]
    behaves = ask(BEHAVIOUR, submission, CASES) == expected["behaviour"]
    details = {"ignored": len(ignored), "any": len(anys), "objections": {path: each[:20] for path, each in objections.items()}}
    return verdict(package, checks, changes, imports=imports, behaviour=behaves, **details)
