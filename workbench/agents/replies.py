"""From a model's reply to actions: what a CodeAct agent runs, what the answer is, and what to tell the model.

Real models do not keep to one form. Code comes in Markdown fences, in ``<execute>`` tags (CodeAct, arXiv 2402.01030), in
native calls of the tool ``execute_python``, or in such calls written into the text; reasoning and invented observations
come in between. Where the segments of a text begin and end is the business of :mod:`workbench.agents.fences`, what a
written call says that of :mod:`workbench.agents.calls`; here it is decided what each of them means.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import BaseModel

from workbench.agents import calls
from workbench.agents.calls import FINISH_ALIASES, PYTHON_ALIASES, Call
from workbench.agents.cells import does_something, normalise, python_state, tidy
from workbench.agents.fences import DATA_TAGS, MOST_SEGMENTS, Segment, scan
from workbench.agents.notes import FINISH_TOOL, PYTHON_TOOL, Notes
from workbench.messages import Reply

Source = Literal["fence", "execute", "tool_call"]

SHELL_TAGS = frozenset({"bash", "sh", "shell", "zsh", "console", "terminal", "shell-session", "shellsession", "cmd", "powershell"})
OUTPUT_TAGS = frozenset({"output", "outputs", "stdout", "tool_output", "tool_outputs", "observation", "result", "results"})
MOST_UNKNOWN = 3
"""How many unknown tools a model is told about at once."""

_OBSERVATION = re.compile(
    r"^[ \t]*+(?:[*_#> ]{0,4}(?:Observations?(?: \d+)?|Outputs?|Execution (?:output|result)s?)[*_ ]{0,3}:[*_]{0,2}"
    r"|<(?:observation|output|tool_response|execution_results?|function_results?)>)(?=\s*+(\S)?)",
    re.MULTILINE | re.IGNORECASE,
)
_FINAL_ANSWER = re.compile(r"^[ \t*_#>]{0,8}FINAL ANSWER[ \t*_]{0,4}:[ \t*_]*+(?:\n\s*+)?(\S[^\n]*)", re.MULTILINE | re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"\.{2,}|\u2026+|(?:(?:insert|put|write|enter|give)\s+)?"
    r"(?:answer|(?:(?:your|the|my|our|final|an?|actual|short|computed)\s+)+(?:answer|result|solution|response))"
    r"(?:\s+(?:text|value))?(?:\s+(?:goes\s+)?here)?[.:!]?",
    re.IGNORECASE,
)
_ONLY_END = re.compile(r"\s*(?:<(answer|solution|final_answer)>.*</\1>|<done\s*/?>)\s*", re.DOTALL | re.IGNORECASE)


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


def parse_reply(reply: Reply, notes: Notes = Notes()) -> ParsedReply:  # noqa: B008  # it is frozen
    r"""Return the actions, the answer and the notes of ``reply``; never raises.

    Parameters
    ----------
    reply : Reply
        Text, native tool calls, or both.
    notes : Notes
        The wording of the notes, which is that of the format the model was asked for; all formats are understood.

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
    segments = scan(reply.text, cut_off=cut_off)
    written, called = _Reading(cut_off, notes), _Reading(cut_off, notes)
    written.read(segments)
    if len(segments) >= MOST_SEGMENTS:
        written.note(notes.too_much)
    for call in reply.tool_calls:
        called.call(Call(call.name, call.arguments), call.id)
    reading = _together(written, called)
    if not (reading.actions or reading.done):
        reading.last_resort(reply, segments)
    return ParsedReply(actions=reading.actions, answer=reading.answer, done=reading.done, notes=list(reading.notes))


def is_placeholder(answer: str) -> bool:
    """Return whether an answer is none: empty, or what stands in its place in instructions.

    Examples
    --------
    >>> [is_placeholder(text) for text in ("", " your answer ", "...", "[Your final answer here]", "42", "A result of 3", "[]")]
    [True, True, True, True, False, False, False]
    """
    said = answer.strip()
    words = re.sub(r"^[\[({<\"'`*_]+|[\])}>\"'`*_]+$", "", said)
    return not said or (len(said) <= 60 and bool(_PLACEHOLDER.fullmatch(words)))


class _Reading:
    """What has been understood of one reply so far."""

    def __init__(self, cut_off: bool, say: Notes) -> None:
        self.cut_off = cut_off
        self.say = say
        self.actions: list[Action] = []
        self.answer: str | None = None
        self.done = False
        self.notes: dict[str, None] = {}
        self.first_source: dict[str, Source] = {}
        self.unknown: dict[str, None] = {}
        """Tools that do not exist, in calls that nothing marks as such: they may be data."""
        self.told_unknown = 0

    def note(self, text: str) -> None:
        self.notes[" ".join(normalise(text).split())] = None

    def finish(self, answer: str | None) -> None:
        if answer is not None and is_placeholder(answer):
            return self.note(self.say.no_answer)
        self.done = True
        self.answer = answer if answer is not None else self.answer
        return None

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
                case "untagged" if not (self.object(segment) or tagged):
                    self.untagged(segment)
                case "other" if segment.tag in SHELL_TAGS:
                    self.note(self.say.shell)
                case "other" if segment.tag in DATA_TAGS:
                    self.object(segment)
                case "other" if _ONLY_END.fullmatch(segment.text[:2000]):
                    self.block(segment)
                case "object":
                    self.object(segment)
                case "call":
                    self.written_call(segment)
                case "answer":
                    self.written_answer(segment)
                case "done":
                    self.finish(None)
                case "reasoning" if segment.end == "open" and number < len(segments) - 1:
                    self.note(self.say.reasoning_left_open)

    def imagined(self, segment: Segment, *, last: bool) -> bool:
        """Return whether the model goes on here with an output of its own making; a bare ``Observation:`` at the end is no harm."""
        if segment.kind == "other" and segment.tag in OUTPUT_TAGS:
            self.note(self.say.imagined)
            return True
        if segment.kind != "prose" or not (found := _OBSERVATION.search(segment.text)):
            return False
        if found[1] or not last:
            self.note(self.say.imagined)
        return True

    def block(self, segment: Segment) -> None:
        code = tidy(segment.text)
        if segment.end == "open" and self.cut_off:
            return self.note(self.say.cut_off)
        if segment.kind == "execute" and "```" in code and python_state(code) != "complete":
            inside = [tidy(inner.text) for inner in scan(code) if inner.kind == "python"]
            code = inside[0] if len(inside) == 1 else code
        if found := calls.block_calls(code):
            for call in found:
                self.call(call)
            return None
        if _ONLY_END.fullmatch(code[:2000]):
            return self.read([inner for inner in scan(code) if inner.kind in {"answer", "done"}])
        if segment.end == "open" and code and python_state(code) != "complete":
            return self.note(self.say.unclosed_invalid)
        if segment.end != "closed" and code:
            self.note(self.say.unclosed if segment.end == "open" else self.say.loose)
        return self.act(code, "execute" if segment.kind == "execute" else "fence")

    def untagged(self, segment: Segment) -> None:
        code = tidy(segment.text)
        if not code:
            return
        if segment.end == "open" and self.cut_off:
            self.note(self.say.cut_off)
        elif _ONLY_END.fullmatch(code[:2000]):
            self.block(segment)
        elif does_something(code):
            if not calls.block_calls(code):
                self.note(self.say.untagged)
            self.block(segment)
        else:
            self.note(self.say.untagged_skipped)

    def written_answer(self, segment: Segment) -> None:
        if segment.end == "open" and self.cut_off:
            return self.note(self.say.cut_off)
        if segment.end == "open":
            self.note(self.say.unclosed_answer)
        return self.finish(segment.text.strip())

    def last_resort(self, reply: Reply, segments: list[Segment]) -> None:
        """Take an answer without tags or arguments without a name, else say what is missing."""
        for segment in segments:
            if segment.kind == "prose":
                for found in _FINAL_ANSWER.finditer(segment.text):
                    self.finish(found[1].strip("*_ \t"))
                    self.note(self.say.untagged_answer)
            if not self.cut_off and (segment.kind == "prose" or segment.tag in DATA_TAGS) and (call := calls.only_code(segment.text)):
                self.call(call)
        if not (self.actions or self.done or self.cut_off) and segments and segments[-1].kind == "prose":
            self.take(calls.last_call(segments[-1].text))
        for name in self.unknown:
            self.note_unknown(name)
        if self.actions or self.done or self.notes:
            return
        if self.cut_off:
            self.note(self.say.cut_off)
        elif any(segment.kind == "reasoning" and segment.end == "open" for segment in segments):
            self.note(self.say.unclosed_reasoning)
        elif any(segment.kind != "reasoning" for segment in segments):
            self.note(self.say.no_code)
        else:
            self.note(self.say.only_reasoning if segments or reply.reasoning.strip() else self.say.empty)

    # Tool calls

    def object(self, segment: Segment) -> bool:
        """Take what looks like a call though nothing marks it as one; return whether it is one of a tool of ours."""
        if segment.end == "open" and self.cut_off:
            self.note(self.say.cut_off)
            return True
        text = tidy(segment.text)
        found = calls.calls_in(text, repair=not self.cut_off) if text[:1] in {"{", "["} or segment.kind == "object" else []
        if not found and segment.kind == "object":
            # only what names our tool comes here without being readable
            self.unreadable(text)
        self.take(found)
        return bool(found)

    def take(self, found: list[Call]) -> None:
        """Take calls that nothing marks as such; those of other tools may be data."""
        for call in found:
            if call.is_known:
                self.call(call)
            else:
                self.unknown[calls.plain(call.name)] = None

    def unreadable(self, text: str) -> None:
        """Take a call that is no JSON, if its code can be made out."""
        inner = text[text.rfind('{"code"') if '{"code"' in text else text.find("{", 1) :]
        code = next((code for cut in range(3) if (code := calls.unescaped(inner[: len(inner) - cut].rstrip())) is not None), None)
        if code is None:
            return self.note(self.say.bad_arguments)
        self.note(self.say.unescaped_quotes)
        return self.act(tidy(code), "tool_call")

    def written_call(self, segment: Segment) -> None:
        """Take a tool call that leaked into the text: JSON, or the tags of Qwen, GLM, DeepSeek and others."""
        if segment.end == "open" and self.cut_off:
            return self.note(self.say.cut_off)
        if self.actions and not segment.text.strip():
            return None  # an opening mark that was meant to close the call before it
        found = calls.written(segment.text, segment.tag, repair=not self.cut_off)
        if not found and f'"{PYTHON_TOOL}"' in segment.text[:300]:
            return self.unreadable(segment.text.strip())
        if not found:
            self.note(self.say.bad_arguments)
        for call in found:
            code = call.arguments.get("code", "") if isinstance(call.arguments, dict) else ""
            if segment.end == "open" and isinstance(call.arguments, dict) and python_state(tidy(str(code))) != "complete":
                self.note(self.say.unclosed_invalid)
            else:
                self.call(call)
        return None

    def call(self, call: Call, call_id: str | None = None) -> None:
        """Take one call of a tool."""
        name = calls.plain(call.name)
        if name in FINISH_ALIASES:
            self.note_unknown(name)
        if name == FINISH_TOOL or name in FINISH_ALIASES:
            return self.finish_call(call.arguments)
        if name != PYTHON_TOOL:
            self.note_unknown(name)
            if name not in PYTHON_ALIASES:
                return None
        values = self.arguments(call.arguments) if isinstance(call.arguments, str) else call.arguments
        if isinstance(values, str):
            if self.cut_off:
                return self.note(self.say.cut_off)
            self.note(self.say.raw_arguments)
            values = {"code": values}
        if values is None:
            return self.note(self.say.cut_off if self.cut_off else self.say.bad_arguments)
        code = values.get("code")
        if not isinstance(code, str):
            return self.note(self.say.no_code_argument)
        if unknown := sorted(set(values) - {"code"}):
            self.note(self.say.unknown_argument(", ".join(unknown)[:60]))
        return self.act(self.once_escaped(tidy(normalise(code))), "tool_call", call_id)

    def note_unknown(self, name: str) -> None:
        """Name the tools there are."""
        self.told_unknown += 1
        if self.told_unknown <= MOST_UNKNOWN:
            self.note(self.say.unknown_tool(name[:60]))

    def arguments(self, text: str) -> dict[str, Any] | str | None:
        """Return the arguments of a call, the code itself where that was given in their place, or None."""
        values = _arguments(text)
        if values is None and not self.cut_off and (code := calls.unescaped(text)) is not None:
            self.note(self.say.unescaped_quotes)
            return {"code": code}
        return values

    def finish_call(self, arguments: str | dict[str, Any]) -> None:
        values = _arguments(arguments) if isinstance(arguments, str) else arguments
        if values is None and self.cut_off:
            return self.note(self.say.cut_off)
        if values is None or (isinstance(values, dict) and values and "answer" not in values):
            return self.note(self.say.bad_finish)
        answer = values if isinstance(values, str) else values.get("answer")
        text = answer if answer is None or isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        # the name of the tool says it all where no answer is asked for
        ended = text is None or (self.say.done and is_placeholder(text))
        return self.finish(None if ended or text is None else normalise(text).strip())

    def once_escaped(self, code: str) -> str:
        """Return ``code`` with its newlines back where they were escaped twice, which only shows when it is valid so alone."""
        if "\n" in code or "\\n" not in code or python_state(code) == "complete":
            return code
        plain = code.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"')
        if python_state(plain) != "complete":
            return code
        self.note(self.say.escaped_newlines)
        return plain

    # Actions

    def act(self, code: str, source: Source, call_id: str | None = None) -> None:
        """Take ``code`` as an action, unless it is empty or came before in another form."""
        if not code:
            self.note(self.say.empty_block)
        elif self.first_source.setdefault(code, source) == source:
            self.go_on()
            self.actions.append(Action(code=code, source=source, call_id=call_id))

    def go_on(self) -> None:
        """Take back an end that code follows: the model has not seen yet what that does."""
        self.notes.pop(self.say.no_answer, None)
        if self.done:
            self.done, self.answer = False, None
            self.note(self.say.early)


def _together(written: _Reading, called: _Reading) -> _Reading:
    """Return text and native calls as one reading; where code was called, code in the text repeats or illustrates it."""
    if called.actions:
        same = {"".join(action.code.split()) for action in called.actions}
        if any("".join(action.code.split()) not in same for action in written.actions):
            called.note(called.say.beside_call)
        if written.done and not called.done:
            # the call came after the text
            called.note(called.say.early)
        return called
    called.actions = written.actions
    called.unknown |= written.unknown
    called.notes = written.notes | called.notes
    if written.done and called.answer is None:
        called.finish(written.answer)
    return called


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
    value = calls.load(text) if text else {}
    if isinstance(value, str):
        text = value
        value = calls.load(text)
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    return text if python_state(tidy(text)) == "complete" else None
