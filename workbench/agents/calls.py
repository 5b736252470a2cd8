"""A tool call that a model wrote as text: JSON in the keys of any provider, Python, or the tags of a chat template.

Where such text begins and ends is the business of :mod:`workbench.agents.fences`; here it is read. One function,
:func:`calls_of`, decides whether a value is a call; JSON that is plainly data is none.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from workbench import syntax
from workbench.agents.cells import LONGEST_CELL, python_state, tidy
from workbench.agents.notes import FINISH_TOOL, PYTHON_TOOL

PYTHON_ALIASES = frozenset(
    {
        *("python", "ipython", "execute_ipython", "execute_code", "code_interpreter", "python_interpreter", "run_python", "python_repl"),
        *("exec_python", "run_code", "run_python_code", "execute_python_code", "python_tool", "code_execution", "jupyter"),
    }
)
"""What models trained with another tool call theirs."""
FINISH_ALIASES = frozenset({"final_answer", "submit_answer", "submit", "finish_task"})

_NAMES = ("name", "tool_name", "tool", "function_name", "recipient_name", "action", "function")
_ARGUMENTS = ("arguments", "parameters", "args", "input", "tool_input", "action_input", "params", "kwargs", "function_args", "tool_args")
_LISTS = ("tool_calls", "tool_uses", "function_calls", "toolCalls", "functionCalls", "calls")
_HOLDERS = ("function", "function_call", "functionCall", "tool_call", "toolCall", "tool_use", "toolUse", "action")
_NAME = re.compile(r"[A-Za-z_][\w.:-]{0,99}|final answer", re.IGNORECASE)

_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|\Z)|\'\'\'(?:[^\'\\]|\\.|\'(?!\'\'))*+(?:\'\'\'|\Z)'
    r'|"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|\'(?:[^\'\\\n]|\\.)*+\'|[\[\](){}]',
    re.DOTALL,
)
LONGEST = 300_000
"""Characters beyond which no end of a value is looked for; no model writes such a call."""

_BAR, _LOW = r"[|\uff5c]", r"[_\u2581]"
_SEPARATOR = rf"<{_BAR}tool{_LOW}(?:sep|call{_LOW}argument{_LOW}begin){_BAR}>"
_FUNCTION = re.compile(rf"function\s*+{_SEPARATOR}\s*+")
CALLED = re.compile(
    rf"\s*+(?:{_FUNCTION.pattern})?(?:functions\.)?(?P<name>[A-Za-z_][\w.-]{{0,99}})(?::\d+)?(?:\[CALL_ID\]\w{{0,99}})?"
    rf"\s*+(?:{_SEPARATOR}|\[ARGS\])?\s*+:?\s*+"
)
"""The name of a tool, before its arguments."""
_BARE = re.compile(r"^(?:>>>)?([A-Za-z_]\w{2,99})(?:[ \t]*\n(?=\{)|(?=\())", re.MULTILINE)
_NAMED = re.compile(r"<function=([\w.-]{1,100})>|<[^\s<>]{0,20}?invoke name=\"([\w.-]{1,100})\">")
_PARAMETER = re.compile(r"<[^\s<>]{0,20}?parameter(?:=|\s+name=\")([\w-]{1,100})\"?[^<>\n]{0,100}>")
_PARAMETER_END = re.compile(r"</[^\s<>]{0,20}?parameter>")
_ARGUMENT = re.compile(r"<arg_key>\s*+([\w-]{1,100})\s*+</arg_key>\s*+<arg_value>")
_ARGUMENT_END = re.compile(r"</arg_value>")
_TOOL_NAME = re.compile(
    r"(?:<invoke>\s*+)?<tool_?name>\s*+([\w.-]{1,100})\s*+</tool_?name>\s*+(?:<(?:parameters|arguments)>\s*+)?", re.IGNORECASE
)
_GEMMA = re.compile(r"call:([\w.-]{1,100})\s*+\{(.*)\}\s*+\Z", re.DOTALL)
_GEMMA_VALUE = re.compile(r"(?<![\w-])([\w-]{1,100})\s*+:\s*+(<escape>|<\|\"\|>)(.*?)\2", re.DOTALL)
_UNESCAPED = re.compile(r'\{\s*+"code"\s*+:\s*+"(.*)"\s*+,?\s*+\}', re.DOTALL)
_LENIENT = json.JSONDecoder(strict=False)
BETWEEN = re.compile(r"[\s;,]*+")
"""What may stand between two calls."""
_MISSING = ("}", "}}", "]", "}]", "}}]", '"}', '"}}')


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool."""

    name: str
    arguments: str | dict[str, Any]
    """As the model wrote them: a dictionary, JSON text, or the code itself."""

    @property
    def is_known(self) -> bool:
        """Whether it is a call of a tool there is; of one with another name only with code."""
        name = plain(self.name)
        if name in PYTHON_ALIASES:
            return isinstance(self.arguments, str) or isinstance(self.arguments.get("code"), str)
        return name in {PYTHON_TOOL, FINISH_TOOL} or name in FINISH_ALIASES


def plain(name: str) -> str:
    """Return the name of a tool without what chat templates add to it.

    Examples
    --------
    >>> [plain(name) for name in ("functions.execute_python:0", "Final Answer", "execute_python<|channel|>json")]
    ['execute_python', 'final_answer', 'execute_python']
    """
    name = name.partition("<|")[0].strip()
    name = re.sub(r":\d+\Z", "", re.sub(r"\A(?:functions|default_api|tools?)[.:]", "", name))
    lower = name.lower().replace(" ", "_")
    return lower if lower in {PYTHON_TOOL, FINISH_TOOL} | FINISH_ALIASES else name


def calls_of(value: object, *, marked: bool = False, depth: int = 0) -> list[Call]:
    """Return the calls that a value is, in whichever keys; none where it is plainly data.

    Parameters
    ----------
    value : object
        As JSON or a Python literal has it.
    marked : bool
        Whether the text said that this is a call, so that a name alone is one.
    depth : int
        How far inside other values this is.

    Examples
    --------
    >>> calls_of({"name": "Bob", "age": 4})
    []
    >>> calls_of({"type": "function", "function": {"name": "finish", "arguments": "{}"}})
    [Call(name='finish', arguments='{}')]
    """
    if depth > 4:
        return []
    if isinstance(value, list):
        listed = [calls_of(item, marked=marked, depth=depth + 1) for item in value[:100]]
        return [call for calls in listed for call in calls] if all(listed) else []
    if not isinstance(value, dict):
        return []
    for key in (*_LISTS, *_HOLDERS):
        if isinstance(inside := value.get(key), list if key in _LISTS else dict) and (
            calls := calls_of(inside, marked=marked, depth=depth + 1)
        ):
            return calls
    name = next((found for key in _NAMES if isinstance(found := value.get(key), str)), None)
    if name is None or not _NAME.fullmatch(name.partition("<|")[0].strip()):
        return _keyed(value, marked=marked)
    given = next((value[key] for key in _ARGUMENTS if key in value), None)
    if isinstance(given, str | dict):
        return [Call(name, given)]
    if plain(name) in FINISH_ALIASES | {FINISH_TOOL} and given is not None:
        return [Call(name, {"answer": given})]
    beside = {key: value[key] for key in ("code", "answer") if key in value}
    known = Call(name, beside).is_known and (bool(beside) or "arguments" in value)
    return [Call(name, beside)] if known or (marked and given is None) else []


def _keyed(value: dict[str, Any], *, marked: bool) -> list[Call]:
    """Return the call of an object whose only key is the name of a tool."""
    name, arguments = next(iter(value.items())) if len(value) == 1 else ("", None)
    named = name in {PYTHON_TOOL, FINISH_TOOL} or (marked and _NAME.fullmatch(name))
    return [Call(name, arguments)] if named and isinstance(arguments, dict) else []


def balanced(text: str, start: int) -> int | None:
    """Return where the bracket at ``start`` is closed, brackets in strings left aside; None where it is not.

    Examples
    --------
    >>> text = 'x {"a": "}"} y'
    >>> text[2 : balanced(text, 2)]
    '{"a": "}"}'
    """
    open_brackets = 0
    for token in _TOKEN.finditer(text, start, start + LONGEST):
        mark = token[0]
        if mark in "[({":
            open_brackets += 1
        elif mark in "])}":
            open_brackets -= 1
            if open_brackets <= 0:
                return token.end()
    return None


def load(text: str) -> object:
    """Return the JSON value in ``text``, or the Python literal that a model wrote instead, or None.

    Examples
    --------
    >>> load('{"a": 1,}'), load("{'a': True}"), load("{a}")
    ({'a': 1}, {'a': True}, None)
    """
    for candidate in (text, re.sub(r",\s*+([\]}])", r"\1", text) if re.search(r",\s*+[\]}]", text) else ""):
        try:
            return _LENIENT.decode(candidate)
        except (ValueError, RecursionError):
            continue
    if not text.startswith(("{", "[")) or len(text) > LONGEST_CELL:
        return None
    try:
        return syntax.literal(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def calls_in(text: str, *, marked: bool = False, repair: bool = False) -> list[Call]:
    r"""Return the calls that ``text`` is: one after the other, with ``;``, ``,`` or nothing between; none if it is more.

    Parameters
    ----------
    text : str
        JSON or Python.
    marked : bool
        Whether the text around said that this is a call.
    repair : bool
        Whether a last bracket that is missing may be added.

    Examples
    --------
    >>> [call.arguments for call in calls_in('{"name": "f", "arguments": {"x": 1}}; {"name": "f", "args": {"x": 2}}')]
    [{'x': 1}, {'x': 2}]
    >>> calls_in('[execute_python(code="1 + 1")]')
    [Call(name='execute_python', arguments={'code': '1 + 1'})]
    """
    text = text.strip()
    if text[:1] not in {"{", "["}:
        return list(python_calls(text))
    calls: list[Call] = []
    position = 0
    while position < len(text):
        end = balanced(text, position) if text[position] in "{[" else None
        if end is None:
            broken = text[position:]
            ways = [broken + missing for missing in _MISSING] if repair and len(broken) <= LONGEST_CELL and text[position] in "{[" else []
            mended = next((made for way in ways if (made := calls_of(_json(way), marked=marked))), [])
            return [*calls, *mended] if mended else []
        found = calls_of(load(text[position:end]), marked=marked) or python_calls(text[position:end])
        if not found:
            return []
        calls += found
        position = BETWEEN.match(text, end).end()  # type: ignore[union-attr]  # it matches the empty string
    return calls


def _json(text: str) -> object:
    try:
        return _LENIENT.decode(text)
    except (ValueError, RecursionError):
        return None


@functools.lru_cache(maxsize=64)
def python_calls(code: str) -> Sequence[Call]:
    """Return the tool calls that ``code`` consists of, written as Python; none where it does anything else.

    Examples
    --------
    >>> python_calls('print(default_api.execute_python(code="1 + 1"))')
    (Call(name='execute_python', arguments={'code': '1 + 1'}),)
    >>> python_calls("print(1)"), python_calls("[f(x) for x in y]")
    ((), ())
    """
    if "(" not in code or len(code) > LONGEST_CELL:
        return ()
    try:
        statements = syntax.parse(code.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    calls = []
    for node in _expressions(statements):
        if (call := _python_call(node)) is None:
            return ()
        calls.append(call)
    return tuple(calls)


def _expressions(statements: list[ast.stmt]) -> Iterator[ast.expr | None]:
    for statement in statements:
        value = statement.value if isinstance(statement, ast.Expr | ast.Assign) else None
        if isinstance(value, ast.Await):
            value = value.value
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print" and len(value.args) == 1:
            value = value.args[0]
        yield from value.elts if isinstance(value, ast.List | ast.Tuple) else [value]


def _python_call(node: ast.expr | None) -> Call | None:
    if not isinstance(node, ast.Call):
        return None
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
    known = name in {PYTHON_TOOL, FINISH_TOOL}
    if not name or (node.args and not (known and len(node.args) == 1 and not node.keywords)) or not (node.args or node.keywords or known):
        return None
    try:
        given = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in node.keywords}
        if node.args:
            given["answer" if name == FINISH_TOOL else "code"] = ast.literal_eval(node.args[0])
        return Call(name, given)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def block_calls(code: str) -> list[Call]:
    """Return the calls of our tools that a block of code is, as models write them who were trained to; mostly none."""
    if PYTHON_TOOL not in code[:2000] and not re.match(r"\s*+(?:print\()?(?:\w+\.)?finish\(", code):
        return []
    calls = calls_in(code)
    return calls if all(plain(call.name) in {PYTHON_TOOL, FINISH_TOOL} for call in calls) else []


def only_code(text: str) -> Call | None:
    """Return the call whose arguments are all that ``text`` is, without a name."""
    value = load(text.strip()) if text.lstrip().startswith("{") else None
    code = value.get("code") if isinstance(value, dict) and len(value) == 1 else None
    return Call(PYTHON_TOOL, {"code": code}) if isinstance(code, str) and python_state(tidy(code)) == "complete" else None


def last_call(text: str) -> list[Call]:
    r"""Return the call with which a text ends, where nothing marks it as one: Python, or a name and JSON on the next line.

    Examples
    --------
    >>> last_call('I search.\nweb_search\n{"query": "x"}')
    [Call(name='web_search', arguments={'query': 'x'})]
    """
    text = text[-5000:].rstrip()
    names = list(_BARE.finditer(text))
    if not names:
        return []
    found = names[-1]
    if text.startswith("(", found.end()):
        return list(python_calls(text[found.start() :]))
    value = load(text[found.end() :])
    return [Call(found[1], value)] if isinstance(value, dict) else []


def unescaped(text: str) -> str | None:
    """Return the code in arguments whose quotes were not escaped, if it is valid Python so.

    Examples
    --------
    >>> unescaped('{"code": "print("hi")"}')
    'print("hi")'
    """
    if not (found := _UNESCAPED.fullmatch(text.strip())):
        return None
    for code in (found[1], found[1].replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"')):
        if python_state(tidy(code)) == "complete":
            return code
    return None


def written(text: str, name: str = "", *, repair: bool = False) -> list[Call]:
    """Return the calls in a text that was marked as one.

    Parameters
    ----------
    text : str
        What is between the marks.
    name : str
        The tool, where the marks name it.
    repair : bool
        Whether a last bracket that is missing may be added.

    Examples
    --------
    >>> written('<parameter=code>x</parameter>', "execute_python")
    [Call(name='execute_python', arguments={'code': 'x'})]
    """
    text = text.strip().removesuffix("</s>")
    if (prefix := _FUNCTION.match(text)) and text.startswith("<", prefix.end()):
        text = text[prefix.end() :]
    if opener := _NAMED.match(text):
        name, text = opener[1] or opener[2], text[opener.end() :]
    for pattern, closer in ((_PARAMETER, _PARAMETER_END), (_ARGUMENT, _ARGUMENT_END)):
        if openers := list(pattern.finditer(text)):
            return [Call(name or text[: openers[0].start()].strip(), _tagged(text, openers, closer))]
    if gemma := _GEMMA.match(text):
        return [Call(gemma[1], {key: value for key, _, value in _GEMMA_VALUE.findall(gemma[2])})]
    if older := _TOOL_NAME.match(text):
        begin = {name: text.find(f"<{name}>", older.end()) + len(name) + 2 for name in ("code", "answer") if f"<{name}>" in text}
        return [Call(older[1], {name: text[start : max(start, text.rfind(f"</{name}>"))] for name, start in begin.items()})]
    calls = calls_in(text, marked=not name, repair=repair)
    if calls and not (name and text.startswith("{") and _is_arguments(text)):
        return calls
    if not name and (called := CALLED.match(text)):
        name, text = called["name"], text[called.end() :]
    return [Call(name, text)] if name else []


def _is_arguments(text: str) -> bool:
    value = load(text)
    return isinstance(value, dict) and "code" in value


def _tagged(text: str, openers: list[re.Match[str]], closer: re.Pattern[str]) -> dict[str, Any]:
    """Return what is between each opening tag and the last closing one before the next."""
    bounds = [*(opener.start() for opener in openers[1:]), len(text)]
    values = {}
    for opener, stop in zip(openers, bounds, strict=True):
        ends = [end.start() for end in closer.finditer(text, opener.end(), stop)]
        values[opener[1]] = text[opener.end() : ends[-1] if ends else stop]
    return values
