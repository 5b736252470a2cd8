"""CodeARC: 1114 hidden functions, each with and without its own name, to be explored with questions and rewritten."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

from workbench import syntax
from workbench.errors import TaskError
from workbench.tasks.checkout import Checkout
from workbench.tasks.imported import Imported, Piece, all_or_nothing, described

TITLE = "CodeARC"
SOURCE = "Wei et al. (2025), arXiv 2503.23145; github.com/Anjiang-Wei/CodeARC"

_Dataset = Literal["annotated", "anonymous"]
_DATASETS: tuple[_Dataset, ...] = ("annotated", "anonymous")
"""The functions under telling names, and all of them as ``solution``."""
_GRADERS = Path(__file__).with_name("graders")
_QUERIES = 20
"""Upstream's limit is 30 calls with the published ones, which are 10."""
_CHECKS = 1
"""What upstream calls debug rounds; the last implementation is tested besides, which is our grading."""
_NO_INPUTS = "none of its published inputs is a call with literal values, from which others could be made"
_NOT_LOADED = "upstream's file cannot be loaded: it uses a name before it imports it"
_BY_CHANCE = "it returns what chance gives it, which cannot be compared"


class _Example(BaseModel):
    input: str
    """A line of code, ``print('Result 1: ' + str(name(...)))``."""
    output: str
    errored: bool


class Problem(BaseModel):
    """The input of broker and grader, see ``graders/codearc.py``."""

    name: str
    examples: list[str]
    """Calls of the function with literal arguments: what inputs are made from."""
    queries: int = _QUERIES
    checks: int = _CHECKS


_EXAMPLES = TypeAdapter(dict[int, dict[int, _Example]])


def tasks(checkout: Checkout) -> list[Imported]:
    """Return the tasks of ``dataset`` and ``prompt_invocations``, which are read and never run.

    Raises
    ------
    TaskError
        If the checkout is not one of CodeARC.
    """
    found = []
    for dataset in _DATASETS:
        for number, examples in sorted(_published(checkout, dataset).items()):
            with checkout.reading(f"codearc/{dataset}-{number}"):
                found.append(_task(checkout, dataset, number, list(examples.values())))
    return found


def _published(checkout: Checkout, dataset: _Dataset) -> dict[int, dict[int, _Example]]:
    file = f"prompt_invocations/{dataset}/num_invocations=10/llm/invocations.json"
    try:
        return _EXAMPLES.validate_json(checkout.text(file))
    except ValidationError as error:
        first = error.errors()[0]
        raise TaskError(f"{checkout.root / file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _task(checkout: Checkout, dataset: _Dataset, number: int, published: list[_Example]) -> Imported:
    source = checkout.find("dataset", dataset, f"{number}.py")
    code = checkout.text("dataset", dataset, f"{number}.py")
    name = _function(source, code)
    calls = [(call, example) for example in published if (call := _call(example.input)) is not None]
    usable = [call for call, _ in calls if _is_literal(call, name)]
    tree = _tree(source, code)
    imports = {name.partition(".")[0] for name in syntax.imported(tree)}
    why = _NO_INPUTS if not usable else _BY_CHANCE if "random" in imports else _NOT_LOADED if _undefined(tree) else ""
    task = described(
        f"codearc/{dataset}-{number}",
        family="data-science",
        licence="Apache-2.0",
        source=SOURCE,
        summary=f"Find out what a hidden function does from {len(calls)} examples and {_QUERIES} questions, and write it.",
        interaction={"mode": "environment", "environment": "grader.py:BlackBox", "max_steps": 30, "max_seconds": 1800},
        prepare={"needs": ["files"], "why": why} if why else {},
        environment={"name": "python-min" if imports <= sys.stdlib_module_names else "python-ds", "cell_seconds": 120},
        submission={"kind": "file", "path": "solution.py", "max_bytes": 2**20},
        grader={"timeout": 180},
        metric=[
            all_or_nothing("equivalent"),
            {"name": "agreement", "range": [0, 1], "invalid": 0},
            {"name": "examples", "range": [0, 1], "invalid": 0},
        ],
    )
    pieces = [
        Piece("hidden/function/hidden.py", source),
        Piece("hidden/problem.json", Problem(name=name, examples=[ast.unparse(call) for call in usable]).model_dump_json()),
        Piece("hidden/grader.py", _GRADERS / "codearc.py"),
        Piece("hidden/inputs.py", _GRADERS / "codearc_inputs.py"),
    ]
    write = f'open("solution.py", "w", encoding="utf-8").write({code!r})'
    return Imported(task, checkout, {"": _instruction(name, calls)}, pieces, cells=[write])


def _function(source: Path, code: str) -> str:
    """Return the function that is meant, as upstream finds it: the last at the top that is not ``main``."""
    names: list[str] = [name for name in re.findall(r"^def\s+([a-zA-Z_]\w*)\s*\(", code, re.MULTILINE) if name != "main"]
    if not names:
        raise TaskError(f"{source} defines no function", hint="is this a complete checkout of the benchmark?")
    return names[-1]


def _call(line: str) -> ast.expr | None:
    """Return what upstream's line asks for, of ``print('Result 1: ' + str(...))``; None where the line is broken, as some are."""
    try:
        match syntax.parse(line.strip()).body:
            case [ast.Expr(value=ast.Call(args=[ast.BinOp(right=ast.Call(func=ast.Name(id="str"), args=[asked]))]))]:
                return asked
    except (SyntaxError, ValueError):
        pass
    return None


def _is_literal(asked: ast.expr, name: str) -> bool:
    match asked:
        case ast.Call(func=ast.Name(id=called)) if called == name:
            try:
                for value in [*asked.args, *(keyword.value for keyword in asked.keywords)]:
                    ast.literal_eval(value)
            except (ValueError, TypeError):
                return False
            return all(keyword.arg for keyword in asked.keywords)
    return False


def _tree(source: Path, code: str) -> ast.Module:
    try:
        return syntax.parse(code)
    except (SyntaxError, ValueError) as error:
        raise TaskError(f"{source} is no Python: {error}") from None


def _undefined(tree: ast.Module) -> set[str]:
    """Return names that a function's signature needs when it is defined, and that nothing gives."""
    bound = {alias.asname or alias.name for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
    bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    signatures = [part for node in tree.body if isinstance(node, ast.FunctionDef) for part in (node.args, node.returns) if part]
    return {node.id for part in signatures for node in ast.walk(part) if isinstance(node, ast.Name)} - bound - set(dir(builtins))


def _instruction(name: str, calls: list[tuple[ast.expr, _Example]]) -> str:
    examples = "\n".join(f">>> {ast.unparse(call)}\n{_said(example)}" for call, example in calls)
    return f"""
A Python function `{name}` is hidden from you. Write one that does the same, for every valid input and not only for the
examples: it returns the same, and raises where the hidden one does. Objects of a class are compared by what `str()` makes of them.

What `str()` makes of the results of some calls, or what they raise:

```
{examples}
```

You may ask for the results of {_QUERIES} more calls, and once for a test of what you have written, which tells you an input at which it
differs. Ask where an answer tells you most: edge cases, empty and negative values, unusual characters. The functions for it are below.

Hand in `/workspace/solution.py` (`/workspace` is your working directory), a Python file that defines `{name}`. It may
import what is installed here. It is called with inputs that you do not see; the task is solved when it agrees with the hidden function
on all of them.
"""


def _said(example: _Example) -> str:
    """Return what is shown of an example: upstream shows a traceback, and with it a line of the hidden function."""
    if example.errored:
        return example.output.strip().rpartition("\n")[2]
    return re.sub(r"^Result \d+: ", "", example.output)
