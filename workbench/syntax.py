"""Python source as a syntax tree, in whichever thread."""

from __future__ import annotations

import ast
import os
import threading
import warnings

from tenacity import retry, retry_if_exception_type, stop_after_attempt

_one_at_a_time = threading.Lock()


def _forked() -> None:
    """Replace the lock in a fork of this process, which has none of the threads that could hold it."""
    global _one_at_a_time
    _one_at_a_time = threading.Lock()


os.register_at_fork(after_in_child=_forked)


def parse(source: str) -> ast.Module:
    """Return the syntax tree of a module; Python 3.11 loses count of its depth where two threads make one (gh-106905).

    Raises
    ------
    SyntaxError, ValueError, RecursionError, MemoryError
        As :func:`ast.parse` does.

    Examples
    --------
    >>> ast.unparse(parse("x  =  1"))
    'x = 1'
    """
    try:
        return _parse(source)
    except SystemError:
        # other code of this process, as a notebook's shell, parses without our lock
        return _try_again(source)


def _parse(source: str) -> ast.Module:
    with _one_at_a_time, warnings.catch_warnings():
        # what Python thinks of a model's escape sequences is of no interest
        warnings.simplefilter("ignore")
        return ast.parse(source)


_try_again = retry(retry=retry_if_exception_type(SystemError), stop=stop_after_attempt(10), reraise=True)(_parse)


def imported(tree: ast.AST) -> set[str]:
    """Return the dotted names of the modules that code imports, wherever it does; not those relative to its own package.

    Examples
    --------
    >>> sorted(imported(parse("import os.path, sys; from json import loads; from . import other")))
    ['json', 'os.path', 'sys']
    """
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module)
    return found


def literal(source: str) -> object:
    """Return the value of a Python literal, which is never run.

    Raises
    ------
    SyntaxError, ValueError, TypeError, RecursionError, MemoryError
        Where it is none.

    Examples
    --------
    >>> literal(" {'a': 1}")
    {'a': 1}
    """
    statements = parse(source.strip()).body
    if len(statements) != 1 or not isinstance(statements[0], ast.Expr):
        raise ValueError("not one literal")
    return ast.literal_eval(statements[0].value)
