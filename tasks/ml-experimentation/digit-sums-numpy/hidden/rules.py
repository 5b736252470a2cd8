"""Which programs count as written with numpy and the standard library's arithmetic only."""

import ast

from workbench_grading import Invalid

ALLOWED = {"__future__", "collections", "dataclasses", "functools", "itertools", "math", "numpy", "random", "typing"}
# What leads around an import statement. Not a wall (the process has none of the answers anyway), but no accident either.
REFUSED = {"__import__", "eval", "exec", "compile", "open", "globals", "locals", "vars", "getattr", "setattr", "breakpoint"}
REFUSED_ATTRIBUTES = {"sys", "os", "ctypes", "ctypeslib", "f2py", "modules"}


def check(source: str) -> None:
    """Raise Invalid unless the program keeps to the rules of the instruction."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Invalid(f"network.py is not a Python program: {str(error)[:200]}") from None
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or "."] + [f"{node.module or '.'}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Name) and node.id in REFUSED:
            raise Invalid(f"network.py, line {node.lineno}: {node.id} is not allowed")
        elif isinstance(node, ast.Attribute) and (node.attr in REFUSED_ATTRIBUTES or node.attr.startswith("__")):
            raise Invalid(f"network.py, line {node.lineno}: the attribute {node.attr} is not allowed")
        for module in modules:
            top, _, rest = module.partition(".")
            if top not in ALLOWED or REFUSED_ATTRIBUTES & set(rest.split(".")):
                raise Invalid(f"network.py, line {node.lineno}: {module} may not be imported")
