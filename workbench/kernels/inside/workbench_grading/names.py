"""What a name stands for: the imports, definitions and variables a piece of a module binds."""

import ast
from collections.abc import Iterable, Mapping

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
IMPORTS = (ast.Import, ast.ImportFrom)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (*FUNCTIONS, *COMPREHENSIONS, ast.ClassDef, ast.Lambda)


class Scope:
    """The names one module, class, function or comprehension binds; a value is a dotted name, or None for a local variable."""

    def __init__(self, names: "Mapping[str, str | None]", parent: "Scope | None" = None, *, is_class: bool = False) -> None:
        self.names = names
        self.parent = parent
        self.is_class = is_class

    def lookup(self, name: str) -> "str | None":
        """Return the dotted name that ``name`` stands for; None if it is a local variable, a builtin or unknown."""
        scope: Scope | None = self
        while scope is not None:
            # a class's names are not seen by the functions in it
            if name in scope.names and (scope is self or not scope.is_class):
                return scope.names[name]
            scope = scope.parent
        return None


def imported(node: ast.stmt, module: str, is_package: bool) -> "dict[str, str]":
    """Return the names an import in ``module`` binds and the dotted names they stand for; a star is the name ``*``."""
    if isinstance(node, ast.Import):
        return {alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0] for alias in node.names}
    parts = module.split(".")
    keep = max(len(parts) - node.level + is_package, 0)
    base = ".".join([*(parts[:keep] if node.level else []), *([node.module] if node.module else [])])
    return {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}


def bound(nodes: "Iterable[ast.AST]", module: str, is_package: bool) -> "dict[str, str | None]":
    """Return what these statements or expressions of ``module`` bind in their own scope."""
    names: dict[str, str | None] = {}
    elsewhere: set[str] = set()
    stack = list(nodes)[::-1]
    while stack:
        node = stack.pop()
        if isinstance(node, IMPORTS):
            names.update(imported(node, module, is_package))
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            elsewhere.update(node.names)
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names[node.name] = None
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.setdefault(node.id, None)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.setdefault(node.name, None)
        if not isinstance(node, _SCOPES):
            stack += list(ast.iter_child_nodes(node))[::-1]
    return {name: dotted for name, dotted in names.items() if name not in elsewhere}
