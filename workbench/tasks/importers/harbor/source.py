"""One file of upstream's tests: what it imports, calls and names, and where its values come from."""

from __future__ import annotations

import ast
import functools

from workbench import syntax

_PLAIN_CALLS = {"enumerate", "float", "items", "keys", "range", "sorted", "values", "zip"}
"""What makes nothing but what is there of a value."""
_OPAQUE = ast.Call(ast.Name("unknown"), [], [])
"""An unknown value."""


@functools.lru_cache(maxsize=4096)
def read(text: str) -> Source:
    """Return what a text says as Python; the same text is the same object.

    Raises
    ------
    SyntaxError
        If it is not Python.
    """
    return Source(syntax.parse(text))


class Source:
    """One file of tests.

    Parameters
    ----------
    tree : ast.Module
        Its code.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.nodes = list(ast.walk(tree))
        self.texts = {node.value for node in self.nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        self.attributes = {node.attr for node in self.nodes if isinstance(node, ast.Attribute)}
        self.calls = [node for node in self.nodes if isinstance(node, ast.Call)]
        self.called = {name for call in self.calls if (name := name_of(call.func))}
        dotted = syntax.imported(tree)
        self.imported = {name.split(".")[0] for name in dotted}
        self.packages = {name.split(".")[0] for name in dotted if "." in name}
        self.bound = self._bound()

    def _bound(self) -> dict[str, list[ast.expr]]:
        """Return the values that each name is given: what is assigned, opened or gone through."""
        found: dict[str, list[ast.expr]] = {}
        for node in self.nodes:
            match node:
                case ast.Assign(targets=targets, value=value):
                    pass
                case ast.AugAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
                    targets = [target]
                case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                    targets = [target]
                case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                    targets = [target]
                case ast.arg(arg=name):
                    targets, value = [ast.Name(name)], _OPAQUE
                case _:
                    continue
            for each in (part for whole in targets for part in ast.walk(whole) if isinstance(part, ast.Name)):
                found.setdefault(each.id, []).append(value)
        return found

    def is_own(self, value: ast.expr, seen: frozenset[str] = frozenset()) -> bool:
        """Say whether a value is made of nothing but what the file itself says."""
        for node in ast.walk(value):
            if isinstance(node, ast.Call) and name_of(node.func) not in _PLAIN_CALLS:
                return False
            if isinstance(node, ast.Name) and node.id not in seen | _PLAIN_CALLS:
                values = self.bound.get(node.id)
                if not values or not all(self.is_own(each, seen | {node.id}) for each in values):
                    return False
        return True


def name_of(node: ast.expr) -> str:
    """Return the last part of a name, as what is called or bound; nothing where there is none.

    Examples
    --------
    >>> name_of(ast.parse("subprocess.run", mode="eval").body)
    'run'
    """
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
