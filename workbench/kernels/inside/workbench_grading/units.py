"""A module in pieces: each definition with a fingerprint of what it says and the names it refers to.

A fingerprint is a hash of the syntax tree in which names are resolved through imports and scopes. Comments, docstrings,
layout, import aliases, the order of definitions, of imports and of ``__all__`` don't count.
"""

import ast
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench_grading.names import COMPREHENSIONS, FUNCTIONS, IMPORTS, Scope, bound, imported

_NOT_SAID = {"ctx", "kind", "type_comment", "type_ignores"}
Resolve = Callable[[str], "list[str]"]
"""Gives a dotted name and every other one it leads to through re-exports, the last being what it stands for."""
Tree = "list | str | None"


@dataclass
class Unit:
    """A piece of a module.

    It is a function, a method, a class without its methods, a variable of a module, or what else there is: ``MODULE.<imports>``,
    ``MODULE.__all__`` and ``MODULE.<body>``, the remaining statements in their order. A file is a unit too, by its path.
    """

    name: str
    path: str
    nodes: "list[ast.AST]" = field(default_factory=list)
    references: "set[str]" = field(default_factory=set)
    """Dotted names it refers to, also those between a re-export and its origin; and ``.name`` for attributes of objects."""
    calls: "list[tuple[str, ast.Call]]" = field(default_factory=list)
    """What it calls, by such a name."""
    content: "list[Tree]" = field(default_factory=list)

    def refers_to(self, dotted: str) -> bool:
        """Say whether it refers to ``dotted`` or an attribute of it."""
        return any(name == dotted or name.startswith(f"{dotted}.") for name in self.references)

    @property
    def fingerprint(self) -> str:
        """A hash of what it says."""
        return hashlib.sha256(json.dumps(self.content).encode()).hexdigest()[:16]

    @property
    def size(self) -> int:
        """How many nodes its syntax trees have."""
        return sum(1 for node in self.nodes for _ in ast.walk(node))

    def absorb(self, other: "Unit") -> None:
        """Take in what another unit of this name says."""
        self.nodes += other.nodes
        self.references |= other.references
        self.calls += other.calls
        self.content += other.content


class Reader:
    """Divides one module into units.

    Parameters
    ----------
    module, path : str
        The module's dotted name and its file.
    scope : Scope
        What the module binds.
    resolve : callable
        Follows a dotted name through the package.
    known : callable
        Gives the name by which fingerprints know a dotted name.
    """

    def __init__(self, module: str, path: str, scope: Scope, resolve: Resolve, known: "Callable[[str], str]") -> None:
        self.module = module
        self.path = path
        self.is_package = path.endswith("/__init__.py")
        self.scope = scope
        self.resolve = resolve
        self.known = known
        self.units: dict[str, Unit] = {}
        self.unit = Unit("", "")

    def read(self, tree: ast.Module) -> "list[Unit]":
        """Return the units of a module."""
        self.imports = self._unit("<imports>", self.module)
        self._block(tree.body, self.module, self.scope, self._unit("<body>", self.module))
        self.imports.content.sort(key=str)
        units = [unit for unit in self.units.values() if unit.content]
        for unit in units:
            json.dumps(unit.content)  # what is nested too deeply for a fingerprint fails here
        return units

    def _unit(self, name: str, prefix: str) -> Unit:
        name = self.known(f"{prefix}.{name}")
        return self.units.setdefault(name, Unit(name, self.path))

    def _block(self, body: "list[ast.stmt]", prefix: str, scope: Scope, rest: Unit) -> None:
        for node in body:
            if isinstance(node, FUNCTIONS):
                self._add(self._unit(node.name, prefix), node, lambda node: self._function(node, scope, named=False))
            elif isinstance(node, ast.ClassDef):
                unit = self._unit(node.name, prefix)
                self._add(unit, node, lambda node: self._fields(node, scope, skip=("name", "body")))
                inside = Scope(self._bound(node.body), scope, is_class=True)
                self._block(node.body, f"{prefix}.{node.name}", inside, unit)
            elif scope is self.scope and (name := _variable(node)):
                self._add(self._unit(name, prefix), node, lambda node: self.visit(node, scope))
            else:
                self._add(rest, node, lambda node: self.visit(node, scope))

    def _add(self, unit: Unit, node: ast.AST, visit: "Callable[[ast.AST], Tree]") -> None:
        before, self.unit = self.unit, unit
        said = visit(node)
        self.unit = before
        if said is not None:
            unit.nodes.append(node)
            unit.content.append(said)

    def _bound(self, nodes: "list[ast.AST]") -> "dict[str, str | None]":
        return bound(nodes, self.module, self.is_package)

    def _refer(self, dotted: str) -> str:
        self.unit.references.update(self.resolve(dotted))
        return self.known(self.resolve(dotted)[-1])

    def _dotted(self, node: ast.AST, scope: Scope) -> "str | None":
        """Return the dotted name an expression stands for, or None."""
        if isinstance(node, ast.Name):
            return scope.lookup(node.id)
        if isinstance(node, ast.Attribute) and (value := self._dotted(node.value, scope)):
            return f"{self.resolve(value)[-1]}.{node.attr}"
        return None

    def visit(self, node: object, scope: Scope) -> Tree:
        """Return what a node says as nested lists; None if that is nothing."""
        if isinstance(node, list):
            items = [self.visit(item, scope) if item is not None else "nothing" for item in node]
            return [item for item in items if item is not None]
        if not isinstance(node, ast.AST):
            return repr(node)
        if isinstance(node, ast.Pass):
            return None
        return self._special.get(type(node), Reader._fields)(self, node, scope)

    def _fields(self, node: ast.AST, scope: Scope, skip: "tuple[str, ...]" = ()) -> Tree:
        # empty fields are left out: which of them there are depends on Python's version
        kept = [(name, value) for name, value in ast.iter_fields(node) if name not in _NOT_SAID and name not in skip]
        return [type(node).__name__, *([name, self.visit(value, scope)] for name, value in kept if value is not None and value != [])]

    def _import(self, node: "ast.Import | ast.ImportFrom", _: Scope) -> Tree:
        before, self.unit = self.unit, self.imports
        names = {self._refer(name) for name in imported(node, self.module, self.is_package).values()}
        self.unit.content += sorted(names.difference(self.unit.content))
        self.unit.nodes.append(node)
        self.unit = before

    def _expression(self, node: ast.Expr, scope: Scope) -> Tree:
        is_docstring = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_docstring else self._fields(node, scope)

    def _condition(self, node: ast.If, scope: Scope) -> Tree:
        said = self._fields(node, scope)
        # nothing but imports, as below TYPE_CHECKING
        only_imports = all(isinstance(child, IMPORTS) for child in [*node.body, *node.orelse])
        return None if only_imports and isinstance(node.test, (ast.Name, ast.Attribute)) else said

    def _constant(self, node: ast.Constant, _: Scope) -> Tree:
        return ["Constant", type(node.value).__name__, repr(node.value)]

    def _formatted(self, node: ast.JoinedStr, scope: Scope) -> Tree:
        # some versions of Python 3.12 find empty texts between two braces
        parts = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
        return self._fields(ast.JoinedStr(parts), scope)

    def _reference(self, node: "ast.Name | ast.Attribute", scope: Scope) -> Tree:
        if dotted := self._dotted(node, scope):
            return ["ref", self._refer(dotted)]
        if isinstance(node, ast.Name):
            return ["Name", node.id]
        self.unit.references.add(f".{node.attr}")
        return self._fields(node, scope)

    def _call(self, node: ast.Call, scope: Scope) -> Tree:
        if dotted := self._dotted(node.func, scope):
            self.unit.calls.append((self.resolve(dotted)[-1], node))
        elif isinstance(node.func, ast.Attribute):
            self.unit.calls.append((f".{node.func.attr}", node))
        return self._fields(node, scope)

    def _assignment(self, node: ast.Assign, scope: Scope) -> Tree:
        names = exported(node) if scope is self.scope else None
        if names is None:
            return self._fields(node, scope)
        return sorted(self._refer(self.scope.lookup(name) or f"{self.module}.{name}") for name in names)

    def _function(self, node: "ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda", scope: Scope, *, named: bool = True) -> Tree:
        # defaults and annotations belong to the scope around the function
        outside = self._fields(node, scope, skip=("body",) if named else ("body", "name"))
        body = node.body if isinstance(node.body, list) else [node.body]
        parameters = {item.arg: None for item in ast.walk(node.args) if isinstance(item, ast.arg)}
        return [*outside, self.visit(body, Scope({**self._bound(body), **parameters}, scope))]

    def _class(self, node: ast.ClassDef, scope: Scope) -> Tree:
        inside = Scope(self._bound(node.body), scope, is_class=True)
        return [*self._fields(node, scope, skip=("body",)), self.visit(node.body, inside)]

    def _comprehension(self, node: ast.AST, scope: Scope) -> Tree:
        targets = [part.target for part in node.generators]
        return self._fields(node, Scope(self._bound(targets), scope))

    _special = {
        **dict.fromkeys(IMPORTS, _import),
        **dict.fromkeys((ast.Name, ast.Attribute), _reference),
        **dict.fromkeys((*FUNCTIONS, ast.Lambda), _function),
        **dict.fromkeys(COMPREHENSIONS, _comprehension),
        ast.Assign: _assignment,
        ast.Call: _call,
        ast.ClassDef: _class,
        ast.Constant: _constant,
        ast.Expr: _expression,
        ast.If: _condition,
        ast.JoinedStr: _formatted,
    }


def _variable(node: ast.stmt) -> "str | None":
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, (ast.AnnAssign, ast.AugAssign)) else []
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else None


def exported(node: ast.stmt) -> "list[str] | None":
    """Return the names in ``__all__ = [...]``; None of any other statement."""
    if not isinstance(node, ast.Assign) or _variable(node) != "__all__" or not isinstance(node.value, (ast.List, ast.Tuple)):
        return None
    names = [item.value for item in node.value.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return names if len(names) == len(node.value.elts) else None
