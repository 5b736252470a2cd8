"""From a model's reply to actions: what a CodeAct agent runs, what the answer is, and what to tell the model.

Real models do not keep to one form. Code comes in Markdown fences, in ``<execute>`` tags (CodeAct, arXiv 2402.01030), in
native calls of the tool ``execute_python``, or in such calls leaked into the text; reasoning and invented observations come
in between. Where the segments of a text begin and end is the business of :mod:`workbench.agents.fences`; here it is decided
what each of them means.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import BaseModel

from workbench import syntax
from workbench.agents.cells import does_something, normalise, python_state, tidy
from workbench.agents.fences import Segment, scan
from workbench.messages import Reply

Source = Literal["fence", "execute", "tool_call"]

SHELL_TAGS = frozenset({"bash", "sh", "shell", "zsh", "console", "terminal", "shell-session", "shellsession", "cmd", "powershell"})
OUTPUT_TAGS = frozenset({"output", "outputs", "stdout", "tool_output", "tool_outputs", "observation", "result", "results"})
PYTHON_TOOL = "execute_python"
FINISH_TOOL = "finish"
PYTHON_ALIASES = frozenset({"python", "ipython", "execute_ipython", "execute_code", "code_interpreter", "python_interpreter"})
"""What models trained with another tool call theirs."""

NO_CODE = "No code was found in your reply: reply with one ```python block to act, or with <answer>...</answer> to finish."
EMPTY = "Your reply was empty: reply with one ```python block to act, or with <answer>...</answer> to finish."
ONLY_REASONING = "Your reply held only reasoning, which is never run: after it, write one ```python block or <answer>...</answer>."
UNCLOSED_REASONING = "Your reasoning was not closed, so nothing after it was run: end it with </think>, then write one ```python block."
CUT_OFF = "Your reply was cut off at the token limit, so its unfinished part was not used: write less at once, in shorter code blocks."
EMPTY_BLOCK = "An empty code block was ignored: put Python code between ```python and ```."
UNTAGGED = "A code block without a language was run as Python: open code blocks with ```python."
UNTAGGED_SKIPPED = "A code block without a language did not look like Python and was not run: open code blocks with ```python."
UNCLOSED = "Your code block was not closed and was run to the end of your reply: close it with ``` (or </execute>) on a line of its own."
UNCLOSED_INVALID = (
    "Your code block was not closed and what follows is not valid Python, so nothing was run: close it with ``` on its own line."
)
LOOSE = "Your code block was not closed properly: put the closing ``` on a line of its own, with nothing before or after it."
SHELL = "Shell blocks are not run: use subprocess.run(...) or !command inside a ```python block."
IMAGINED = "You wrote the output yourself, so what came after it was ignored: stop after your code and wait for the real output."
UNCLOSED_ANSWER = "Your answer was not closed: end it with </answer>."
UNTAGGED_ANSWER = "Your final answer was taken, but put it in tags: <answer>...</answer>."
BESIDE_CALL = f"Code blocks beside a call of {PYTHON_TOOL} were not run: put all the code into the call."
BAD_ARGUMENTS = (
    f'The arguments of {PYTHON_TOOL} could not be read: call it with JSON such as {{"code": "print(1)"}}, newlines written as \\n.'
)
RAW_ARGUMENTS = f'The arguments of {PYTHON_TOOL} were taken as code: call it with JSON such as {{"code": "print(1)"}}.'
NO_CODE_ARGUMENT = f'{PYTHON_TOOL} was called without code: call it with JSON such as {{"code": "print(1)"}}.'
ESCAPED_NEWLINES = "The code was escaped twice and has been repaired: in the JSON, write a newline as \\n, not as \\\\n."

_OBSERVATION = re.compile(
    r"^[ \t]*+(?:[*_#> ]{0,4}(?:Observations?(?: \d+)?|Outputs?|Execution (?:output|result)s?)[*_ ]{0,3}:[*_]{0,2}"
    r"|<(?:observation|output|tool_response|execution_results?|function_results?)>)(?=\s*+(\S)?)",
    re.MULTILINE | re.IGNORECASE,
)
_FINAL_ANSWER = re.compile(r"^[ \t*_#>]{0,8}FINAL ANSWER[ \t*_]{0,4}:[ \t*_]*+(?:\n\s*+)?(\S[^\n]*)", re.MULTILINE | re.IGNORECASE)
_BAR, _LOW = r"[|\uff5c]", r"[_\u2581]"
_SEPARATOR = rf"<{_BAR}tool{_LOW}(?:sep|call{_LOW}argument{_LOW}begin){_BAR}>"
_CALLED = re.compile(
    rf"(?:function\s*+{_SEPARATOR}\s*+)?(?:functions\.)?(?P<name>[A-Za-z_][\w.-]{{0,99}})(?::\d+)?\s*+(?:{_SEPARATOR}|\[ARGS\])?\s*+"
)
_NAMED = re.compile(r"<function=([\w.-]{1,100})>|<\S{0,20}?invoke name=\"([\w.-]{1,100})\">")
_PARAMETER = re.compile(r"<\S{0,20}?parameter(?:=|\s+name=\")([\w-]{1,100})\"?[^<>\n]{0,100}>")
_PARAMETER_END = re.compile(r"</\S{0,20}?parameter>")
_ARGUMENT = re.compile(r"<arg_key>\s*+([\w-]{1,100})\s*+</arg_key>\s*+<arg_value>")
_ARGUMENT_END = re.compile(r"</arg_value>")


class Action(BaseModel, frozen=True):
    """A code cell that a model asked to run."""

    code: str
    source: Source
    """How it was written: in a fence, between tags, or as a tool call (native or leaked into the text)."""
    call_id: str | None = None
    """The id of the native tool call it answers."""


class ParsedReply(BaseModel, frozen=True):
    """What a reply asks for."""

    actions: list[Action]
    """Code cells in the order to run them."""
    answer: str | None
    """The answer to the task; an agent runs the actions first."""
    done: bool
    """Whether the model says it has finished, with or without an answer."""
    notes: list[str]
    """One line for each thing to do better next time, to be told to the model; empty for a well-formed reply."""


def parse_reply(reply: Reply) -> ParsedReply:
    r"""Return the actions, the answer and the notes of ``reply``; never raises.

    Parameters
    ----------
    reply : Reply
        Text, native tool calls, or both.

    Returns
    -------
    ParsedReply
        At least one of actions, done and notes is always there.

    Examples
    --------
    >>> parsed = parse_reply(Reply(text="Let me count.\n```python\nprint(len(rows))\n```"))
    >>> parsed.actions
    [Action(code='print(len(rows))', source='fence', call_id=None)]
    >>> parse_reply(Reply(text="<answer> 42 </answer>")).answer
    '42'
    >>> parse_reply(Reply(text="I am not sure.")).notes
    ['No code was found in your reply: reply with one ```python block to act, or with <answer>...</answer> to finish.']
    """
    cut_off = reply.finish_reason == "length"
    segments = scan(reply.text)
    written, called = _Reading(cut_off), _Reading(cut_off)
    written.read(segments)
    for call in reply.tool_calls:
        called.call(call.name, call.arguments, call.id)
    reading = _together(written, called)
    if not (reading.actions or reading.done):
        reading.last_resort(reply, segments)
    return ParsedReply(actions=reading.actions, answer=reading.answer, done=reading.done, notes=list(reading.notes))


class _Reading:
    """What has been understood of one reply so far."""

    def __init__(self, cut_off: bool) -> None:
        self.cut_off = cut_off
        self.actions: list[Action] = []
        self.answer: str | None = None
        self.done = False
        self.notes: dict[str, None] = {}
        self.first_source: dict[str, Source] = {}

    def note(self, text: str) -> None:
        self.notes[" ".join(normalise(text).split())] = None

    def finish(self, answer: str | None) -> None:
        self.done = True
        self.answer = answer if answer is not None else self.answer

    # Text

    def read(self, segments: list[Segment]) -> None:
        """Take the segments of a text in order, up to an observation the model invented."""
        tagged = any(segment.kind in {"python", "execute", "call"} for segment in segments)
        for number, segment in enumerate(segments):
            if self.actions and self.imagined(segment, last=number == len(segments) - 1):
                return
            match segment.kind:
                case "python" | "execute":
                    self.block(segment)
                case "untagged" if not tagged:
                    self.untagged(segment)
                case "other" if segment.tag in SHELL_TAGS:
                    self.note(SHELL)
                case "call":
                    self.written_call(segment)
                case "answer":
                    self.written_answer(segment)
                case "done":
                    self.finish(None)

    def imagined(self, segment: Segment, *, last: bool) -> bool:
        """Return whether the model goes on here with an output of its own making; a bare ``Observation:`` at the end is no harm."""
        if segment.kind == "other" and segment.tag in OUTPUT_TAGS:
            self.note(IMAGINED)
            return True
        if segment.kind != "prose" or not (found := _OBSERVATION.search(segment.text)):
            return False
        if found[1] or not last:
            self.note(IMAGINED)
        return True

    def block(self, segment: Segment) -> None:
        code = tidy(segment.text)
        if segment.end == "open" and self.cut_off:
            return self.note(CUT_OFF)
        if segment.kind == "execute" and "```" in code and python_state(code) != "complete":
            inside = [tidy(inner.text) for inner in scan(code) if inner.kind == "python"]
            code = inside[0] if len(inside) == 1 else code
        if segment.end == "open" and code and python_state(code) != "complete":
            return self.note(UNCLOSED_INVALID)
        if segment.end != "closed" and code:
            self.note(UNCLOSED if segment.end == "open" else LOOSE)
        return self.act(code, "execute" if segment.kind == "execute" else "fence")

    def untagged(self, segment: Segment) -> None:
        code = tidy(segment.text)
        if not code:
            return
        if segment.end == "open" and self.cut_off:
            self.note(CUT_OFF)
        elif does_something(code):
            self.note(UNTAGGED)
            self.block(segment)
        else:
            self.note(UNTAGGED_SKIPPED)

    def written_answer(self, segment: Segment) -> None:
        if segment.end == "open" and self.cut_off:
            return self.note(CUT_OFF)
        if segment.end == "open":
            self.note(UNCLOSED_ANSWER)
        return self.finish(segment.text.strip())

    def last_resort(self, reply: Reply, segments: list[Segment]) -> None:
        """Take an answer without tags or a call that is the whole text, else say what is missing."""
        for segment in segments:
            if segment.kind == "prose":
                for found in _FINAL_ANSWER.finditer(segment.text):
                    self.finish(found[1].strip("*_ \t"))
                    self.note(UNTAGGED_ANSWER)
        if reply.text.lstrip().startswith("{"):
            for name, arguments in _written_calls(Segment("call", reply.text)):
                if name in {PYTHON_TOOL, FINISH_TOOL}:
                    self.call(name, arguments, None)
        if self.actions or self.done or self.notes:
            return
        if self.cut_off:
            self.note(CUT_OFF)
        elif any(segment.kind == "reasoning" and segment.end == "open" for segment in segments):
            self.note(UNCLOSED_REASONING)
        elif any(segment.kind != "reasoning" for segment in segments):
            self.note(NO_CODE)
        else:
            self.note(ONLY_REASONING if segments or reply.reasoning.strip() else EMPTY)

    # Tool calls

    def written_call(self, segment: Segment) -> None:
        """Take a tool call that leaked into the text: JSON, or the tags of Qwen, GLM, DeepSeek and others."""
        calls = _written_calls(segment)
        if segment.end == "open" and self.cut_off:
            return self.note(CUT_OFF)
        if not calls:
            self.note(BAD_ARGUMENTS)
        for name, arguments in calls:
            if segment.end == "open" and isinstance(arguments, dict) and python_state(tidy(str(arguments.get("code", "")))) != "complete":
                self.note(UNCLOSED_INVALID)
            else:
                self.call(name, arguments, None)
        return None

    def call(self, name: str, arguments: str | dict[str, Any], call_id: str | None) -> None:
        """Take one call of a tool."""
        name = name.partition("<|")[0].strip().removeprefix("functions.")
        if name == FINISH_TOOL:
            return self.finish_call(arguments)
        if name != PYTHON_TOOL:
            self.note(f"There is no tool {name[:60]!r}: the tools are {PYTHON_TOOL}(code) and {FINISH_TOOL}(answer).")
            if name not in PYTHON_ALIASES:
                return None
        values = _arguments(arguments) if isinstance(arguments, str) else arguments
        if isinstance(values, str):
            if self.cut_off:
                return self.note(CUT_OFF)
            self.note(RAW_ARGUMENTS)
            values = {"code": values}
        if values is None:
            return self.note(CUT_OFF if self.cut_off else BAD_ARGUMENTS)
        code = values.get("code")
        if not isinstance(code, str):
            return self.note(NO_CODE_ARGUMENT)
        if unknown := sorted(set(values) - {"code"}):
            self.note(f"{PYTHON_TOOL} takes only code: {', '.join(unknown)[:60]} was ignored.")
        return self.act(self.once_escaped(tidy(normalise(code))), "tool_call", call_id)

    def finish_call(self, arguments: str | dict[str, Any]) -> None:
        values = _arguments(arguments) if isinstance(arguments, str) else arguments
        if values is None and self.cut_off:
            return self.note(CUT_OFF)
        if values is None or (isinstance(values, dict) and values and "answer" not in values):
            return self.note(f'The arguments of {FINISH_TOOL} could not be read: call it with JSON such as {{"answer": "42"}}.')
        answer = values if isinstance(values, str) else values.get("answer")
        text = answer if answer is None or isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        return self.finish(None if text is None else normalise(text).strip())

    def once_escaped(self, code: str) -> str:
        """Return ``code`` with its newlines back where they were escaped twice, which only shows when it is valid so alone."""
        if "\n" in code or "\\n" not in code or python_state(code) == "complete":
            return code
        plain = code.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"')
        if python_state(plain) != "complete":
            return code
        self.note(ESCAPED_NEWLINES)
        return plain

    # Actions

    def act(self, code: str, source: Source, call_id: str | None = None) -> None:
        """Take ``code`` as an action, unless it is empty or came before in another form."""
        if not code:
            self.note(EMPTY_BLOCK)
        elif self.first_source.setdefault(code, source) == source:
            self.actions.append(Action(code=code, source=source, call_id=call_id))


def _together(written: _Reading, called: _Reading) -> _Reading:
    """Return text and native calls as one reading; where code was called, code in the text repeats or illustrates it."""
    if called.actions:
        same = {"".join(action.code.split()) for action in called.actions}
        if any("".join(action.code.split()) not in same for action in written.actions):
            called.note(BESIDE_CALL)
    else:
        called.actions = written.actions
        called.notes = written.notes | called.notes
    if written.done and called.answer is None:
        called.finish(written.answer)
    return called


def _load(text: str) -> object:
    """Return the JSON value in ``text``, or the Python literal that a model wrote instead, or None."""
    for candidate in (text, re.sub(r",\s*\}$", "}", text)):
        try:
            return json.loads(candidate, strict=False)
        except (ValueError, RecursionError):
            continue
    try:
        return syntax.literal(text) if text.startswith("{") else None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _arguments(text: str) -> dict[str, Any] | str | None:
    """Return the arguments of a call, the code itself where that was given in their place, or None.

    Examples
    --------
    >>> _arguments('{"code": "print(1)",}')
    {'code': 'print(1)'}
    >>> _arguments("print(1)")
    'print(1)'
    >>> _arguments('{"code": "print(1') is None
    True
    """
    text = tidy(normalise(text)).removeprefix("json\n").strip()
    value = _load(text) if text else {}
    if isinstance(value, str):
        text = value
        value = _load(text)
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    return text if python_state(tidy(text)) == "complete" else None


def _written_calls(segment: Segment) -> list[tuple[str, str | dict[str, Any]]]:
    """Return name and arguments of each call in the text of a ``call`` segment."""
    name, text = segment.tag, segment.text.strip().removesuffix("</s>")
    if opener := _NAMED.match(text):
        name, text = opener[1] or opener[2], text[opener.end() :]
    for pattern, closer in ((_PARAMETER, _PARAMETER_END), (_ARGUMENT, _ARGUMENT_END)):
        if openers := list(pattern.finditer(text)):
            bounds = [*(opener.start() for opener in openers[1:]), len(text)]
            values = {}
            for opener, stop in zip(openers, bounds, strict=True):
                ends = [end.start() for end in closer.finditer(text, opener.end(), stop)]
                values[opener[1]] = text[opener.end() : ends[-1] if ends else stop]
            return [(name or text[: openers[0].start()].strip(), values)]
    value = _load(text) if text[:1] in {"{", "["} else None
    objects = [
        item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict) and isinstance(item.get("name"), str)
    ]
    if objects and not (name and "code" in objects[0]):
        given = [(item["name"], item.get("arguments", item.get("parameters", {}))) for item in objects]
        return [(called, arguments) for called, arguments in given if isinstance(arguments, str | dict)]
    if not name and (called := _CALLED.match(text)):
        name, text = called["name"], text[called.end() :]
    return [(name, text)] if name else []
