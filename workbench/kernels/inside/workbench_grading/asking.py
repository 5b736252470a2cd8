"""What a Python file asks of others, and what it has for them, by its syntax alone."""

import ast
import warnings
from dataclasses import dataclass, field

Ask = "tuple[int, tuple[str, ...], int]"
"""How many dots it begins with, the names after them, and how many of those must be modules.

It is an import, or what is used of an imported module."""
SYNTAX: "Ask" = (-1, (), 0)
_PROGRAMS = {"globals", "vars", "exec"}
"""What modules make names with, or take them apart."""
_LONGEST_CHAIN = 20


@dataclass
class Module:
    """The names that a file defines and uses.

    Attributes
    ----------
    names : set of str
        What it binds at module level.
    own : set of str
        Those of them that it defines itself instead of importing them.
    stars : list
        What it imports everything from.
    asks : set
        What it uses; ``SYNTAX`` if it cannot be parsed.
    open : bool
        Whether it may have names that do not appear in its text.
    """

    names: "set[str]" = field(default_factory=set)
    stars: "list[Ask]" = field(default_factory=list)
    asks: "set[Ask]" = field(default_factory=set)
    open: bool = False
    own: "set[str]" = field(default_factory=set)


def parsed(data: bytes) -> Module:
    """Return what a file says."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _said(ast.parse(data))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Module(asks={SYNTAX}, open=True)


def _said(tree: ast.Module) -> Module:
    module = Module(_bound(tree.body))
    imported: dict[str, set[Ask]] = {}
    otherwise: set[str] = set()
    chains: list[tuple[str, ...]] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    parts = tuple(alias.name.split("."))
                    asks = (0, parts, len(parts))
                    module.asks.add(asks)
                    imported.setdefault(alias.asname or parts[0], set()).add(asks if alias.asname else (0, parts[:1], 1))
            case ast.ImportFrom(module=name, names=names, level=level):
                start = tuple(name.split(".")) if name else ()
                for alias in names:
                    if alias.name == "*":
                        module.stars.append((level, start, len(start)))
                        module.asks.add(module.stars[-1])
                    else:
                        asks = (level, (*start, alias.name), len(start))
                        module.asks.add(asks)
                        imported.setdefault(alias.asname or alias.name, set()).add(asks)
            case ast.Global(names=names):
                module.names.update(names)
            case ast.Name(id=name, ctx=ast.Load()):
                module.open |= name in _PROGRAMS
            case ast.Name(id=name) | ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                otherwise.add(name)
            case ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                otherwise.add(name)
            case ast.Attribute() if (chain := _chain(node)) is not None:
                chains.append(chain)
    module.own = module.names - imported.keys() - {"*"}
    module.open |= "__getattr__" in module.names or ("sys", "modules") in chains
    for first, *more in chains:
        # a name that may be something else, somewhere in the file, says nothing
        if len(imported.get(first, ())) == 1 and first not in otherwise:
            ((level, names, modules),) = imported[first]
            module.asks.add((level, (*names, *more), modules))
    return module


def _bound(body: "list[ast.stmt]") -> "set[str]":
    names, stack = set(), list[ast.AST](body)
    while stack:
        node = stack.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                pass
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names.update(alias.asname or alias.name.split(".")[0] for alias in aliases)
            case _:
                if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                    names.add(node.id)
                elif isinstance(node, ast.ExceptHandler) and node.name:
                    names.add(node.name)
                stack += ast.iter_child_nodes(node)
    return names


def _chain(node: ast.Attribute) -> "tuple[str, ...] | None":
    names: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute) and len(names) < _LONGEST_CHAIN:
        names.append(inner.attr)
        inner = inner.value
    return (inner.id, *names[::-1]) if isinstance(inner, ast.Name) else None
