"""A cell: what a model wrote as code, tidied, and whether it is valid Python as IPython understands it.

IPython itself is not asked: importing it takes longer than the rest of a step.
"""

from __future__ import annotations

import ast
import functools
import re
from typing import Literal

from workbench import syntax

State = Literal["complete", "open", "invalid"]

LONGEST_CELL = 60_000
MOST_LINES = 10_000
"""Characters and lines beyond which a cell is not checked for valid Python; no model writes that much in a reply."""

BLANK = " \t\u00a0\u200b\u2060\ufeff"
"""What models write for a space."""
GAP = rf"[{BLANK}]"
SPECIAL = r"<end_code>|<\|\w{1,30}\|>|</s>"
"""Marks of chat templates that leak into text."""
FENCE_CLOSER = re.compile(rf"^({GAP}*+)(`{{3,}}+|~{{3,}}+){GAP}*+(?:{SPECIAL})?{GAP}*+$\n?", re.MULTILINE)
FOREIGN_CELL = re.compile(r"%%(?!(?:time|timeit|capture|prun)\b)")
"""A cell magic whose body is not Python."""
_WRAPPING_FENCE = re.compile(rf"{GAP}*+(?:`{{3,}}+[^`\n]*|~{{3,}}+(?:python3?)?{GAP}*+)\n")
_WRAPPER = re.compile(r"\s*+<(execute\w*|code|python)>", re.IGNORECASE)


def normalise(text: str) -> str:
    r"""Return ``text`` with Unix newlines and without byte order mark, NUL bytes and lone surrogates.

    Examples
    --------
    >>> normalise("\ufeffx = 1\r\ny\0 = 2")
    'x = 1\ny = 2'
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").removeprefix("\ufeff")
    return text.encode("utf-8", "replace").decode("utf-8")


def tidy(code: str) -> str:
    r"""Return ``code`` without blank lines around it, without an indentation common to all lines, and out of nested wrappers.

    Non-breaking spaces at the start of lines become spaces, unless the code is valid with them (inside a string, that is).

    Examples
    --------
    >>> tidy("\n    if x:\n        y()\n\n")
    'if x:\n    y()'
    >>> tidy("<execute>\n```python\nprint(1)\n```\n</execute>")
    'print(1)'
    """
    code = _trim(code)
    for _ in range(3):
        if (inside := _unwrap(code)) == code:
            break
        code = inside
    code = _dedent(code)
    if "\u00a0" in code and python_state(code) != "complete":
        code = re.sub(r"^[ \t\u00a0]+", lambda blank: blank[0].replace("\u00a0", " "), code, flags=re.MULTILINE)
        code = _dedent(code)
    return code


def _trim(code: str) -> str:
    lines = code.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip(BLANK)), len(lines))
    last = next((number for number in range(len(lines) - 1, first, -1) if lines[number].strip(BLANK)), first)
    return "\n".join(lines[first : last + 1])


def _dedent(code: str) -> str:
    if code[:1] not in {" ", "\t", "\u00a0"}:
        return code
    lines = code.split("\n")
    full = [line for line in lines if line.strip(BLANK)]
    margin = min((line[: len(line) - len(line.lstrip(" \t\u00a0"))] for line in full), key=len)
    if not all(line.startswith(margin) for line in full):
        return code
    return "\n".join(line[len(margin) :] for line in lines)


def _unwrap(code: str) -> str:
    """Return what is inside a fence or a pair of tags that holds all of ``code``, trimmed."""
    if fence := _WRAPPING_FENCE.match(code):
        inside = code[fence.end() :]
        head, _, last = inside.rpartition("\n")
        return _trim(head if FENCE_CLOSER.fullmatch(last) else inside)
    if wrapper := _WRAPPER.match(code):
        inside = code[wrapper.end() :]
        return _trim(inside[: inside.rindex("</")] if re.search(rf"</{wrapper[1]}>?\s*+\Z", inside[-100:], re.IGNORECASE) else inside)
    return code


def _parse(code: str) -> ast.Module | SyntaxError:
    try:
        return syntax.parse(code)
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError, MemoryError) as error:
        return SyntaxError(str(error))


def parse_cell(code: str) -> ast.Module | SyntaxError:
    """Return the syntax tree of an IPython cell, with magics and shell commands as calls, or what is wrong with it.

    Examples
    --------
    >>> type(parse_cell("!ls data"))
    <class 'ast.Module'>
    """
    if FOREIGN_CELL.match(code):
        return syntax.parse("_()")
    if len(code) > LONGEST_CELL or code.count("\n") > MOST_LINES:
        return SyntaxError("too long to check")
    tree = _parse(code)
    if isinstance(tree, ast.Module) or not re.search("[!%?]", code):
        return tree
    code = re.sub(r"\A%%[^\n]*", "", code)
    code = re.sub(r"^([ \t]*+(?:[\w.,\[\] ]+=[ \t]*+)?)[!%](?:[^\n]*\\\n)*[^\n]*$", r"\1_()", code, flags=re.MULTILINE)
    code = re.sub(r"^([ \t]*+)(?:\?{1,2}%{0,2}([\w.*]++)|%{0,2}([\w.*]++)\?{1,2})[ \t]*+$", r"\1help", code, flags=re.MULTILINE)
    return _parse(code)


@functools.lru_cache(maxsize=64)
def python_state(code: str) -> State:
    """Return whether ``code`` is a valid cell, stops inside a string, or is neither.

    Examples
    --------
    >>> [python_state(code) for code in ("await f()", "%timeit f()", "x = '''a", "I think")]
    ['complete', 'complete', 'open', 'invalid']
    """
    tree = parse_cell(code)
    if isinstance(tree, ast.Module):
        return "complete"
    if "unterminated" in str(tree.msg) and ("triple" in str(tree.msg) or (tree.lineno or 0) > code.rstrip("\n").count("\n")):
        return "open"
    return "invalid"


def does_something(code: str) -> bool:
    """Return whether ``code`` is a valid cell that does more than name a value, as pasted output does.

    Examples
    --------
    >>> [does_something(text) for text in ("x = 1", "f(x)", "!ls", "42", "done", "rows: int", "report.csv")]
    [True, True, True, False, False, False, False]
    """
    tree = parse_cell(code)
    if not isinstance(tree, ast.Module):
        return False
    statements = [node for node in tree.body if not isinstance(node, ast.Expr) and not (isinstance(node, ast.AnnAssign) and not node.value)]
    return bool(statements) or any(isinstance(node, ast.Call | ast.Await) for node in ast.walk(tree))
