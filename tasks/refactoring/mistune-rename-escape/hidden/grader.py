"""Check that a function of a package was renamed, everywhere and with nothing else changed, without running the package in this process.

Every module is reduced to a fingerprint of its syntax tree in which names are resolved through imports and scopes, and the renamed
function stands as one placeholder whether it bears its old name or its new one. So a rename leaves every fingerprint as it was, while a
keyword argument or another function that was renamed along with it does not. Comments, docstrings, layout, import aliases and the order of
imports and of ``__all__`` don't count.
"""

import ast
import hashlib
import json
import os
import stat
import subprocess
import warnings
from pathlib import Path

PACKAGE = "mistune"
HOME = "mistune.util"  # the module that defines the function
OLD, NEW = "escape", "escape_html"
TARGETS = {f"{HOME}.{OLD}": "old", f"{HOME}.{NEW}": "new"}
PLACEHOLDER = "@target"

MAX_ENTRIES = 1000
MAX_FILE = 256 * 1024
MAX_TOTAL = 8 * 2**20
MAX_OUTPUT = 2**20

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
SKIPPED_FIELDS = {"ctx", "kind", "type_comment", "type_ignores"}


class Invalid(Exception):
    """The submission can't be graded, for the reason given."""


# --- the files ---


def read_plain(path: Path, limit: int) -> bytes:
    """Return a file's contents; links and special files are refused, and no more than the limit is read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise Invalid(f"a file can't be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Invalid("the package holds something that is neither a file nor a folder")
    with os.fdopen(handle, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise Invalid(f"a file is larger than {limit} bytes")
    return data


def read_tree(root: Path) -> dict[str, bytes]:
    """Return the package's files by path; caches of compiled code are passed over."""
    found: dict[str, bytes] = {}
    folders, entries, total = [root], 0, 0
    if not root.is_dir() or root.is_symlink():
        raise Invalid(f"the folder {PACKAGE} is missing")
    while folders:
        try:
            with os.scandir(folders.pop()) as listing:
                here = list(listing) if entries < MAX_ENTRIES else []
        except OSError as error:
            raise Invalid(f"a folder can't be read: {error.strerror}") from None
        entries += len(here)
        if entries >= MAX_ENTRIES:
            raise Invalid(f"the package holds more than {MAX_ENTRIES} files and folders")
        for entry in here:
            if entry.is_symlink():
                raise Invalid("the package holds a symbolic link")
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    folders.append(Path(entry.path))
                continue
            data = read_plain(Path(entry.path), MAX_FILE)
            total += len(data)
            if total > MAX_TOTAL:
                raise Invalid(f"the package is larger than {MAX_TOTAL} bytes")
            # A name may hold anything, and is shown in the details.
            found[ascii(Path(entry.path).relative_to(root.parent).as_posix())[1:-1]] = data
    return found


# --- names ---


def module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imported(node: ast.Import | ast.ImportFrom, module: str, is_package: bool) -> dict[str, str]:
    """Return the names an import binds and the dotted names they stand for."""
    if isinstance(node, ast.Import):
        return {alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0] for alias in node.names}
    parts = module.split(".")
    keep = len(parts) - node.level + is_package
    base = ".".join([*(parts[: max(keep, 0)] if node.level else []), *([node.module] if node.module else [])])
    return {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}


class Scope:
    """The names one module, class, function or comprehension binds; a value is a dotted name, or None for a local variable."""

    def __init__(self, kind: str, names: dict[str, str | None], parent: "Scope | None") -> None:
        self.kind = kind
        self.names = names
        self.parent = parent

    def lookup(self, name: str) -> str | None:
        scope: Scope | None = self
        while scope is not None:
            # A class's names are not seen by the functions in it.
            if name in scope.names and (scope is self or scope.kind != "class"):
                return scope.names[name]
            scope = scope.parent
        return None


class Module:
    """One parsed module: what it binds at its top, and how it refers to the target."""

    def __init__(self, path: str, source: bytes) -> None:
        self.name = module_name(path)
        self.is_package = path.endswith("/__init__.py")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.tree = ast.parse(source)
        self.bindings: dict[str, str] = {
            name: dotted or f"{self.name}.{name}" for name, dotted in self.bound(self.tree.body).items() if name != "*"
        }
        self.counts = {"old": 0, "new": 0}
        self.imports: set[str] = set()
        self.exported: list[str] | None = None

    def bound(self, nodes: list) -> dict[str, str | None]:
        """Return what these statements or expressions bind in their own scope."""
        names: dict[str, str | None] = {}
        elsewhere: set[str] = set()
        stack = list(reversed(nodes))
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Import | ast.ImportFrom):
                names.update(imported(node, self.name, self.is_package))
            elif isinstance(node, ast.Global | ast.Nonlocal):
                elsewhere.update(node.names)
            elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                names[node.name] = None
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
                names.setdefault(node.id, None)
            elif isinstance(node, ast.ExceptHandler) and node.name:
                names.setdefault(node.name, None)
            if not isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Lambda, *COMPREHENSIONS)):
                stack += reversed(list(ast.iter_child_nodes(node)))
        return {name: dotted for name, dotted in names.items() if name not in elsewhere}


class Fingerprint:
    """Reduces a module to nested lists."""

    def __init__(self, module: Module, modules: dict[str, Module]) -> None:
        self.module = module
        self.modules = modules

    def resolve(self, dotted: str) -> str:
        """Follow re-exports, count the target, and return the name by which the fingerprint knows it."""
        for _ in range(10):
            owner, _, name = dotted.rpartition(".")
            # The home is not followed: an alias there must stay visible as what it is.
            if owner == HOME or owner not in self.modules:
                break
            onward = self.modules[owner].bindings.get(name, dotted)
            if onward == dotted:
                break
            dotted = onward
        if dotted in TARGETS:
            self.module.counts[TARGETS[dotted]] += 1
            return PLACEHOLDER
        return dotted

    def run(self) -> str:
        scope = Scope("module", dict(self.module.bindings), None)
        tree = [self.visit(node, scope) for node in self.module.tree.body]
        content = [sorted(self.module.imports), [node for node in tree if node is not None]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def visit(self, node: object, scope: Scope) -> object:
        if isinstance(node, list):
            items = [self.visit(item, scope) if item is not None else "nothing" for item in node]
            return [item for item in items if item is not None]
        if not isinstance(node, ast.AST):
            return repr(node)
        special = getattr(self, f"visit_{type(node).__name__}", None)
        if special is not None:
            return special(node, scope)
        return self.fields(node, scope)

    def fields(self, node: ast.AST, scope: Scope, skip: tuple[str, ...] = ()) -> list:
        # Empty fields are left out: which of them there are depends on Python's version.
        kept = [(name, value) for name, value in ast.iter_fields(node) if name not in SKIPPED_FIELDS and name not in skip]
        return [type(node).__name__, *([name, self.visit(value, scope)] for name, value in kept if value is not None and value != [])]

    def visit_Import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        for dotted in imported(node, self.module.name, self.module.is_package).values():
            self.module.imports.add(self.resolve(dotted))

    visit_ImportFrom = visit_Import

    def visit_Expr(self, node: ast.Expr, scope: Scope) -> object:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None  # a docstring
        return self.fields(node, scope)

    def visit_Constant(self, node: ast.Constant, scope: Scope) -> object:
        return ["Constant", type(node.value).__name__, repr(node.value)]

    def visit_Name(self, node: ast.Name, scope: Scope) -> object:
        dotted = scope.lookup(node.id)
        return ["ref", self.resolve(dotted)] if dotted else ["Name", node.id]

    def visit_Attribute(self, node: ast.Attribute, scope: Scope) -> object:
        value = self.visit(node.value, scope)
        if isinstance(value, list) and value[0] == "ref" and value[1] != PLACEHOLDER:
            return ["ref", self.resolve(f"{value[1]}.{node.attr}")]
        return ["Attribute", value, node.attr]

    def visit_Assign(self, node: ast.Assign, scope: Scope) -> object:
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if scope.kind != "module" or names != ["__all__"] or not isinstance(node.value, ast.List | ast.Tuple):
            return self.fields(node, scope)
        exported = [item.value for item in node.value.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        if len(exported) != len(node.value.elts) or self.module.exported is not None:
            return self.fields(node, scope)
        self.module.exported = exported
        dotted = [self.module.bindings.get(name, f"{self.module.name}.{name}") for name in exported]
        return ["__all__", sorted(self.resolve(name) for name in dotted)]

    def visit_FunctionDef(self, node: ast.FunctionDef, scope: Scope) -> object:
        outside = self.fields(node, scope, skip=("name", "body", "args"))
        name = self.resolve(f"{self.module.name}.{node.name}") if scope.kind == "module" else node.name
        return [*outside, name, *self.function(node, scope)]

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda, scope: Scope) -> object:
        return ["Lambda", *self.function(node, scope)]

    def function(self, node: ast.FunctionDef | ast.Lambda, scope: Scope) -> list:
        # Defaults and annotations belong to the scope around the function.
        arguments = self.visit(node.args, scope)
        body = node.body if isinstance(node.body, list) else [node.body]
        names = {item.arg: None for item in ast.walk(node.args) if isinstance(item, ast.arg)}
        inside = Scope("function", {**self.module.bound(body), **names}, scope)
        return [arguments, self.visit(body, inside)]

    def visit_ClassDef(self, node: ast.ClassDef, scope: Scope) -> object:
        outside = self.fields(node, scope, skip=("body",))
        return [*outside, self.visit(node.body, Scope("class", self.module.bound(node.body), scope))]

    def comprehension(self, node: ast.AST, scope: Scope) -> object:
        targets = [part.target for part in node.generators]  # type: ignore[attr-defined]
        return self.fields(node, Scope("function", self.module.bound(targets), scope))

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = comprehension


def parse_tree(files: dict[str, bytes]) -> tuple[dict[str, Module], dict[str, str], dict[str, str]]:
    """Return the modules by path, the fingerprint of every file by path, and what could not be parsed."""
    modules: dict[str, Module] = {}
    prints: dict[str, str] = {}
    broken: dict[str, str] = {}
    for path, data in sorted(files.items()):
        if not path.endswith(".py"):
            prints[path] = hashlib.sha256(data).hexdigest()
            continue
        try:
            modules[path] = Module(path, data)
        except Exception as error:  # a strange encoding, nesting or number: whatever it is, it is not what the wheel holds
            broken[path] = f"{type(error).__name__}: {ascii(str(error))[:200]}"
    by_name = {module.name: module for module in modules.values()}
    for path, module in modules.items():
        try:
            prints[path] = Fingerprint(module, by_name).run()
        except Exception as error:
            broken[path] = f"{type(error).__name__}: {ascii(str(error))[:200]}"
    return modules, prints, broken


# --- the package at work ---

# Compiled files that came with the submission are not used.
PREAMBLE = """
import importlib, json, pkgutil, sys
sys.dont_write_bytecode, sys.pycache_prefix = True, "/nonexistent"
"""

IMPORTS = f"""{PREAMBLE}
package = importlib.import_module({PACKAGE!r})
names = [item.name for item in pkgutil.walk_packages(package.__path__, {PACKAGE + "."!r}) if not item.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(json.dumps(sorted(names)))
"""

BEHAVIOUR = f"""
mistune = importlib.import_module({PACKAGE!r})
util = importlib.import_module({HOME!r})
directives = importlib.import_module("mistune.directives")
toc = importlib.import_module("mistune.toc")

def run(case):
    kind, text, options = case
    if kind == "function":
        return [getattr(util, name)(text, **options), getattr(mistune, name)(text, **options), util.safe_entity(text)]
    if kind == "markdown":
        return mistune.create_markdown(**options)(text)
    if kind == "renderer":
        return mistune.Markdown(mistune.HTMLRenderer(**options))(text)
    if kind == "directive":
        plugin = directives.RSTDirective([directives.Admonition(), directives.TableOfContents()])
        return mistune.create_markdown(plugins=[plugin], **options)(text)
    if kind == "toc":
        return toc.render_toc_ul([tuple(item) for item in text])
    raise ValueError(kind)

print(json.dumps([run(case) for case in cases]))
"""

CASES = [
    ["function", "<a href=\"x\">&amp; 'y'</a>", {}],
    ["function", '<a href="x">&</a>', {"quote": False}],
    ["markdown", 'a <b>bold</b> & "q" `<c>` \\* [l](/u?a=1&b=2 \'ti"tle\')\n\n<div>x</div>\n', {"escape": True}],
    ["markdown", 'a <b>bold</b> & "q" `<c>` \\* [l](/u?a=1&b=2 \'ti"tle\')\n\n<div>x</div>\n', {"escape": False}],
    ["markdown", '*[HTML]: Hyper "Text" <Markup>\n*[C++]: a & b\n\nHTML and C++ here\n', {"escape": True, "plugins": ["abbr"]}],
    [
        "markdown",
        "~~x~~ [^1] <i>\n\n[^1]: a <note>\n\n| a | b |\n|---|---|\n| `<` | 2 |\n",
        {"plugins": ["strikethrough", "footnotes", "table"]},
    ],
    ["renderer", '<em>x</em>\n\n```py<t>\nif a < b & c:\n```\n\n![a"b](/i.png)\n', {"escape": False}],
    ["renderer", '<em>x</em>\n\n```py<t>\nif a < b & c:\n```\n\n![a"b](/i.png)\n', {"escape": True}],
    ["directive", '.. note:: A "title" & <more>\n   :class: c"<d>\n\n   body <x>\n', {"escape": True}],
    ["directive", ".. toc:: Content <b>\n\n# One & <two>\n\n## Three\n", {"escape": False}],
    ["toc", [[1, 'a"<b>', "One"], [2, "c&d", "Two"]], {}],
]


def answer(code: str, submission: Path) -> object:
    """Run code beside the submission and return the one JSON value it prints; None if it doesn't."""
    from workbench_grading import run_submitted

    try:
        done = run_submitted(code, submission=submission, timeout=30)
    except (subprocess.TimeoutExpired, UnicodeError):
        return None
    if done.returncode != 0 or len(done.stdout or "") > MAX_OUTPUT:
        return None
    try:
        return json.loads(done.stdout)
    except (ValueError, RecursionError):
        return None


def behaviour_code(name: str) -> str:
    return f"{PREAMBLE}cases, name = json.loads({json.dumps(CASES)!r}), {name!r}\n{BEHAVIOUR}"


# --- the verdict ---


def grade(submission: Path, hidden: Path) -> dict:
    expected = json.loads((Path(hidden) / "expected.json").read_text(encoding="utf-8"))
    try:
        files = read_tree(Path(submission) / PACKAGE)
    except Invalid as reason:
        return {"metrics": {}, "invalid": str(reason), "details": {}}
    modules, prints, broken = parse_tree(files)

    home = modules.get(HOME.replace(".", "/") + ".py")
    top = modules.get(f"{PACKAGE}/__init__.py")
    defined = [node.name for node in home.tree.body if isinstance(node, FUNCTIONS)] if home else []
    exported = (top.exported if top else None) or []
    leftovers = sorted(path for path, module in modules.items() if OLD in module.bindings or module.counts["old"])
    # None of these holds on the untouched tree.
    checks = {
        f"{HOME} defines {NEW}": NEW in defined,
        f"{HOME} has no {OLD}": home is not None and OLD not in home.bindings,
        f"{PACKAGE} exports {NEW} and not {OLD}": NEW in exported and OLD not in exported,
        f"no module holds on to {OLD}": not leftovers and not broken,
    }
    for path in expected["users"]:
        module = modules.get(path)
        checks[f"{path} refers to {NEW}"] = module is not None and module.counts["new"] > 0 and module.counts["old"] == 0

    changed = sorted(path for path, value in expected["fingerprints"].items() if prints.get(path) != value)
    extra = sorted(files.keys() - expected["fingerprints"].keys())
    imports = answer(IMPORTS, submission) == expected["modules"]
    behaviour = answer(behaviour_code(NEW), submission) == expected["behaviour"]
    metrics = {
        "solved": float(all(checks.values()) and not changed and not extra and imports and behaviour),
        "checks": sum(checks.values()) / len(checks),
        "unchanged": 1 - min(len(changed) + len(extra), len(expected["fingerprints"])) / len(expected["fingerprints"]),
        "imports": float(imports),
        "behaviour": float(behaviour),
    }
    details = {"checks": checks, "changed": changed, "extra": extra[:20], "leftovers": leftovers, "broken": broken}
    return {"metrics": metrics, "invalid": None, "details": details}
