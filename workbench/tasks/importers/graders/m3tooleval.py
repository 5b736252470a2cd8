"""M3ToolEval's own check of an answer, and its tools; both with upstream's code at ``upstream/tasks`` in the hidden folder."""

import ast
import contextlib
import functools
import io
import sys
import types
from pathlib import Path

from workbench_grading import read_text

HERE = Path(__file__).parent


def task() -> object:
    """Return upstream's task object for the name in ``task.txt``."""
    sys.modules["tqdm"] = types.ModuleType("tqdm")
    sys.modules["tqdm"].tqdm = lambda *_, **__: types.SimpleNamespace(update=lambda _: None)
    sys.path.insert(0, str(HERE / "upstream"))
    name = (HERE / "task.txt").read_text(encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()):
        import tasks

        return next(each for each in tasks.get_task_iterator() if each.name == name)


def tools() -> dict:
    """Return upstream's tools, with its words about them."""
    return {name: _tool(tool) for name, tool in task().tools.items()}


def _tool(tool: object) -> object:
    @functools.wraps(tool.function)
    def call(*args: object, **kwargs: object) -> object:
        # upstream's calculator evaluates any input, in this process, which knows the answers
        if tool.name == "calculator" and not all(map(is_arithmetic, [*args, *kwargs.values()])):
            return f"Failed to evaluate expression: {[*args, *kwargs.values()][0]}"
        return tool.function(*args, **kwargs)

    call.__doc__ = f"{tool.description}\nSignature: {tool.fn_signature}"
    return call


def is_arithmetic(expression: object) -> bool:
    """Say whether a text is numbers, operators, brackets and comparisons alone."""
    allowed = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Constant, ast.operator, ast.unaryop, ast.cmpop)
    try:
        nodes = list(ast.walk(ast.parse(str(expression).strip(), mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(node, allowed) and type(getattr(node, "value", 0)) in (int, float) for node in nodes)


def grade(submission: Path, hidden: Path) -> dict:  # noqa: ARG001 - upstream's code is beside this file
    """Ask upstream whether the answer is right."""
    answer = read_text(submission / "answer.txt", 2**20).strip()
    with contextlib.redirect_stdout(io.StringIO()):
        correct = bool(task().check_answer(answer))
    return {"metrics": {"correct": float(correct)}, "invalid": None, "details": {}}
