"""Where the code is in a model's text: a scanner that walks it once into segments.

A segment is prose, a code block (fenced or between tags), a tool call written out as text, reasoning, or an answer.
The scanner knows where each one begins and ends, however badly it is closed; what to do with it is decided in
:mod:`workbench.agents.replies`.

Hostile text costs no more than linear time: every search for an end is remembered, and checks for valid Python draw on a
budget. Once that is spent, the first line that looks like an end is one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

from workbench.agents.calls import BETWEEN, CALLED, LONGEST, balanced, calls_in, calls_of, load, python_calls
from workbench.agents.cells import BLANK, FENCE_CLOSER, FOREIGN_CELL, GAP, SPECIAL, State, normalise, python_state, tidy
from workbench.agents.notes import FINISH_TOOL, PYTHON_TOOL

Kind = Literal["prose", "python", "untagged", "other", "execute", "call", "object", "reasoning", "answer", "done"]
"""A ``call`` is marked as one by the model's template; an ``object`` only looks like one."""
End = Literal["closed", "loose", "open"]

PYTHON_TAGS = frozenset({"python", "py", "python3", "py3", "ipython", "ipython3", "tool_code", "execute_python", "execute_ipython"})
DATA_TAGS = frozenset({"json", "json5", "jsonc", "tool_call", "tool_calls", "function_call", "tool", "tool_use", "action"})
"""Languages of blocks that may hold a tool call."""
MOST_SEGMENTS = 500
"""After how many segments the rest of a text is prose; no model means more."""
CANDIDATES = 50
"""How many possible ends of one block are tried."""

_BAR, _LOW = r"[|\uff5c]", r"[_\u2581]"  # as in the special tokens of DeepSeek, and in ASCII
_MIND = r"(?:seed:)?(?:think|thinking|thoughts?|reasoning|reflection|scratchpad)"
_REPLY = r"answer|solution|final_answer"
_STAR = r"[ \t*_#]{0,6}+"
_CALL_MARK = (
    rf"</(?:tool_calls?|toolcall|function_calls?|tool_use)>|<\|/tool_call\|>|<tool_call\|>|<{_BAR}tool{_LOW}call{_LOW}end{_BAR}>"
    r"|<\|action_end\|>|<\|END_ACTION\|>|<\|tools_suffix\|>|<\|python_end\|>|<end_function_call>|\[END_TOOL_REQUEST\]"
)
"""What closes a call."""

_OPENER = re.compile(
    # where nothing can begin, no alternative is tried
    r"(?=^(?!\n)|[`~\[{\u25c1f]|<(?!<))(?:"
    + "|".join(
        rf"(?P<{name}>{pattern})"
        for name, pattern in {
            "oneline": rf"^{GAP}*+`{{3,}}+(?:python3?|py|ipython)[ \t]+(?P<line>[^`\n]+)`{{3,}}+{GAP}*+$",
            "fence": rf"^(?P<indent>{GAP}*+(?:(?:[-*+]|\d{{1,9}}[.)]){GAP}++)*+)(?P<ticks>`{{3,}}+(?=[^`\n]*$)|~{{3,}}+)"
            r"(?P<info>[^\n]*)\n?",
            "glued": rf"(?<=[^`\n])`{{3,}}+(?P<glued_info>python3?|py|ipython|json){GAP}*+\n",
            "inline": r"(?<!`)(?:`[^`\n]+`|``[^`\n]+``)(?!`)",
            "execute": r"<execute(?:_i?python)?>",
            "element": rf"^{GAP}*+<(?P<element_name>code|python)>",
            "foreign": r"<execute_(?P<foreign_tag>\w+)>",
            "think": rf"<{_MIND}>|◁think▷|\[THINK\]|<\|START_THINKING\|>|<\|begin_of_thought\|>",
            "thought": rf"</{_MIND}>|◁/think▷|\[/THINK\]|<\|END_THINKING\|>|<\|end_of_thought\|>",
            "answer": rf"<(?:{_REPLY})>",
            "done": r"<done\s*+/?>(?:\s*+</done>)?|<finish>\s*+</finish>",
            "channel": r"<\|channel\|>(?P<header>[^<\n]{0,200})(?:<\|constrain\|>\w*)?<\|message\|>",
            "react": rf"^{_STAR}Action{_STAR}:{_STAR}(?P<react_name>[A-Za-z_][\w. ]{{0,99}}?){_STAR}\n+{_STAR}Action Input{_STAR}:{_STAR}",
            "acted": rf"^{_STAR}Action(?: \d+)?{_STAR}:{_STAR}(?P<acted_name>(?:\w{{1,40}}\.)?\w{{1,100}})(?=[\[(])",
            "named": rf"^{GAP}*+(?:print\(|>>>)?(?:functions\.|default_api\.)?(?:{PYTHON_TOOL}|{FINISH_TOOL})\s{{0,3}}:?\s{{0,3}}(?=[({{])",
            "object": r"[\[{](?=\s{0,99}+(?:[\[{]\s{0,99}+)?[\"'])|(?:^|(?<=\s))\[(?=(?:\w{1,40}\.)?\w{1,100}\()",
            "call": r"<tool_calls?>(?!\s{0,99}<tool_call>)|<TOOLCALL>|<\|tool_call\|?>|"
            r"<\|?function_call\|?>|<tool_use>|\[TOOL_CALLS\]|\[TOOL_REQUEST\]"
            r"|<\|action_start\|>(?:<\|\w+\|>)?|<\|START_ACTION\|>|<\|tool_call_start\|>|<\|tools_prefix\|>|<\|python_start\|>"
            r"|<start_function_call>|<function_calls>(?=\s{0,99}+(?:[\w\[{]|<invoke>))|functools(?=\[)|(?P<raw><\|python_tag\|>)"
            rf"|<{_BAR}tool{_LOW}call{_LOW}begin{_BAR}>"
            r"|<function=(?P<function>[\w.-]{1,100})>|<[^\s<>]{0,20}?invoke name=\"(?P<invoke>[\w.-]{1,100})\">",
            "noise": rf"<\|start\|>assistant|<tool_calls>|{SPECIAL}|</?[^\s<>]{{0,20}}?function_calls>|</?\w{{1,20}}:tool_call>"
            rf"|{_CALL_MARK}|<{_BAR}tool{_LOW}calls{_LOW}(?:section{_LOW})?(?:begin|end){_BAR}>",
        }.items()
    )
    + ")",
    re.MULTILINE | re.IGNORECASE,
)
_NESTED = re.compile(rf"^{GAP}*+(?P<ticks>`{{3,}}+|~{{3,}}+)(?P<info>[^`\n]*)$\n?", re.MULTILINE)
_LOOSE_END = re.compile(
    rf"^{GAP}*+(?P<before>(?:`{{3,}}+|~{{3,}}+)[ ]?[a-z{{][^\s`]*{GAP}*+$"
    rf"|<(?:{_REPLY}|done|{_MIND})\b|</(?:{_MIND})>|<\|\w|Observations?(?: \d+)?:)"
    r"|(?P<after>`{3,}+|</(?:execute\w*|code|python|end_code|tool_call)>?|<end_code>)",
    re.MULTILINE | re.IGNORECASE,
)
_STRAY_FENCE = re.compile(rf"\s*+(?:`{{3,}}+|~{{3,}}+){GAP}*+(?:\n|\Z)")
_JSON_FENCE = re.compile(r"`{3,}+(?:json)?\s*+")
_STRAY_TICKS = re.compile(r"\s{0,99}+`{3,}+")
_ANSWER_OPEN = re.compile(rf"<(?:{_REPLY})>", re.IGNORECASE)
_ANSWER_CLOSE = re.compile(rf"</(?:{_REPLY})>", re.IGNORECASE)
_EXECUTE_CLOSE = re.compile(r"</execute\w*>?", re.IGNORECASE)
_MESSAGE_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_CALL_CLOSE = re.compile(rf"{_CALL_MARK}|<\|e(?:om|ot)_id\|>|<\|im_end\|>|<\|end(?:_of_text)?\|>|</s>|\Z", re.IGNORECASE)
_REACT_END = re.compile(rf"^{_STAR}(?:Observation|Thought|Action|Final Answer)(?: \d+)?{_STAR}:|\Z", re.MULTILINE | re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?\u2026:][\"')*_]*\s*\Z")
_INTENTION = re.compile(
    r"\b(?:will|'ll|going to|when|once|after|until|later|then|should|would|can|must|to)\b[^.!?\n]*"
    r"\b(?:with|in|say|write|reply|respond|use|using|send|output|emit|put|type|give|add)\s+(?:an?\s+|the\s+)?\Z|\bthen\s+\Z"
    r"|\A\s*(?:\d+[.)]|[-*+])\s[^.!?\n]*\b(?:with|say|write|send|output|type|give)\s+\Z",
    re.IGNORECASE,
)
_TOOL_NAMED = re.compile(rf"[\[{{\s]*+\"(?:name|tool|tool_name|action|function)\"\s*:\s*\"(?:functions\.)?{PYTHON_TOOL}\"")
_QUOTE = frozenset("\"'\u201c\u201d\u2018\u2019")
_APART = _QUOTE | {" "}
_CONNECTIVE = re.compile(r"(?:and|or|to|with|then|\.\.\.|[/,&+\u2026-])?", re.IGNORECASE)
_TAG = re.compile(r"[\s{.]*([\w+#-]*)")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a model's text."""

    kind: Kind
    text: str
    """What is inside, without fences or tags."""
    tag: str = ""
    """The language of a fenced block or the tool of a call, where the text names one."""
    end: End = "closed"
    """``loose``: an end was found, though not where it should be; ``open``: the text ran out first."""


def scan(text: str, *, cut_off: bool = False) -> list[Segment]:
    r"""Return the segments of ``text`` in order.

    Parameters
    ----------
    text : str
        What a model wrote; any line endings.
    cut_off : bool
        Whether it ends where no model meant it to, so that reasoning without an end goes to the end.

    Returns
    -------
    list of Segment
        Together they cover the text; prose that is only blank is left out.

    Examples
    --------
    >>> for segment in scan("<think>x or y?</think>I count.\n```python\nprint(len(x))\n```\n<done/>"):
    ...     print(segment.kind, repr(segment.text))
    reasoning 'x or y?'
    prose 'I count.\n'
    python 'print(len(x))\n'
    done ''
    """
    return _Scanner(normalise(text), cut_off=cut_off).scan()


class _Scanner:
    """One walk over one text."""

    def __init__(self, text: str, *, cut_off: bool) -> None:
        self.text = text
        self.cut_off = cut_off
        self.segments: list[Segment] = []
        self.prose_from = 0
        self.mention: tuple[int, int] | None = None
        """The last ``<answer>`` that nothing closes: how many segments came before it, and where its text begins."""
        self.budget = len(text) + 60_000
        """How many characters may still be checked for valid Python, or lines looked at as possible ends."""
        self.value_budget = len(text) + 100_000
        """Likewise, how many may be read as JSON."""
        self.left_open: tuple[int, int] | None = None
        """The first ``<think>`` that nothing closes: how many segments came before it, and where its text begins."""
        self.found: dict[re.Pattern[str], re.Match[str] | None] = {}
        self.closing = list(FENCE_CLOSER.finditer(text))
        self.closing_at = [line.start() for line in self.closing]

    def scan(self) -> list[Segment]:
        position = 0
        handlers: dict[str, Callable[[re.Match[str]], int]] = {
            "oneline": self.oneline,
            "fence": self.fence,
            "glued": self.fence,
            "execute": self.execute,
            "element": self.execute,
            "foreign": self.foreign,
            "think": self.think,
            "thought": self.thought,
            "answer": self.answer,
            "done": self.done,
            "channel": self.channel,
            "call": self.call,
            "react": self.react,
            "acted": self.acted,
            "named": self.named,
            "object": self.object,
            "noise": lambda opener: self.add(None, opener.start(), opener.end()),
            "inline": lambda opener: opener.end(),
        }
        while len(self.segments) < MOST_SEGMENTS and (opener := _OPENER.search(self.text, position)):
            position = max(handlers[str(opener.lastgroup)](opener), opener.start() + 1)
        self.add(None, len(self.text), len(self.text))
        if self.mention and all(
            segment.kind not in {"python", "execute", "call", "object", "answer"} for segment in self.segments[self.mention[0] :]
        ):
            before, start = self.mention
            self.segments[before:] = [Segment("answer", self.text[start:], end="open")]
        if self.left_open:
            before, start = self.left_open
            following = self.segments[before:]
            whole = [segment for segment in following if segment.end != "open" or segment.kind == "answer"]
            acts = any(segment.kind not in {"prose", "reasoning", "other"} for segment in whole)
            self.segments[before:] = [Segment("reasoning", "" if acts else self.text[start:], end="open"), *(whole if acts else [])]
        return self.segments

    def add(self, segment: Segment | None, start: int, end: int) -> int:
        """Take ``text[start:end]`` as ``segment``, and what was not taken before it as prose; return ``end``."""
        prose = self.text[self.prose_from : start]
        if prose.strip():
            self.segments.append(Segment("prose", prose))
        if segment is not None:
            self.segments.append(segment)
        self.prose_from = end
        return end

    def find(self, pattern: re.Pattern[str], position: int) -> re.Match[str] | None:
        """Return the first match from ``position``, which never moves back; a match still ahead is not searched again."""
        if pattern not in self.found or ((match := self.found[pattern]) is not None and match.start() < position):
            self.found[pattern] = pattern.search(self.text, position)
        return self.found[pattern]

    # Code blocks

    def oneline(self, opener: re.Match[str]) -> int:
        return self.add(Segment("python", opener["line"], end="loose"), opener.start(), opener.end())

    def fence(self, opener: re.Match[str]) -> int:
        ticks, info, indent = opener["ticks"] or "```", opener["info"] if opener["ticks"] else opener["glued_info"], opener["indent"] or ""
        tag = _TAG.match(info)[1].lower()  # type: ignore[index]  # it matches the empty string
        start = opener.end()
        closers = self.fence_closers(start, ticks, len(indent.expandtabs(4)) + 3)
        if tag in PYTHON_TAGS or not tag:
            kind: Kind = "python" if tag else "untagged"
            stop, resume, end = self.end_of_code(start, closers, ticks)
        elif tag in DATA_TAGS and (end_of_value := self.end_of_values(start, calls=False)):
            # a string in it may hold a line that looks like the end of the block
            kind = "other"
            stray = _STRAY_TICKS.match(self.text, end_of_value)
            stop, resume, end = end_of_value, stray.end() if stray else end_of_value, "loose"
            for line in closers:
                if line[0] >= end_of_value:
                    stop, resume, end = (*line, "closed")
                    break
        else:
            kind = "other"
            first = self.end_of_nested(start, ticks) or next(closers, None)
            stop, resume, end = (*first, "closed") if first else (len(self.text), len(self.text), "open")
        return self.add(Segment(kind, self.text[start:stop], tag, end), opener.start(), resume)

    def execute(self, opener: re.Match[str]) -> int:
        name = opener["element_name"]
        pattern = re.compile(rf"</{name}>?", re.IGNORECASE) if name else _EXECUTE_CLOSE
        start = opener.end()
        first = self.find(pattern, start)
        on_own_line = self.text[max(0, opener.start() - 200) : opener.start()].rstrip(BLANK)[-1:] in {"", "\n"}
        rest_of_line = self.rest_of_line(start)
        if first is None and rest_of_line and not on_own_line:
            return start  # the tag is only mentioned in a sentence
        if first is not None and name and self.rest_of_line(first.end()):
            return start  # HTML in a sentence
        closers = ((match.start(), match.end()) for match in pattern.finditer(self.text, start)) if first else iter(())
        stop, resume, end = self.end_of_code(start, closers)
        code = self.text[start:stop].lstrip(BLANK) if rest_of_line else self.text[start:stop]
        return self.add(Segment("execute", code, end=end), opener.start(), resume)

    def foreign(self, opener: re.Match[str]) -> int:
        closer = self.find(_EXECUTE_CLOSE, opener.end())
        stop, resume = closer.span() if closer else (len(self.text), len(self.text))
        return self.add(Segment("other", self.text[opener.end() : stop], opener["foreign_tag"].lower()), opener.start(), resume)

    def fence_closers(self, start: int, ticks: str, indent: int) -> Iterator[tuple[int, int]]:
        """Yield where each line that closes a fence of ``ticks`` begins and ends."""
        for number in range(bisect_left(self.closing_at, start), len(self.closing)):
            line = self.closing[number]
            self.budget -= 10
            if self.budget < 0:
                return
            if line[2].startswith(ticks) and len(line[1].expandtabs(4)) <= indent:
                yield line.span()

    def end_of_nested(self, start: int, ticks: str) -> tuple[int, int] | None:
        """Return the line that closes a fence of ``ticks`` whose block holds fenced blocks itself."""
        opened = [ticks]
        for line in _NESTED.finditer(self.text, start):
            self.budget -= 10
            if line["info"].strip(BLANK) and not FENCE_CLOSER.match(line[0]):
                opened.append(line["ticks"])
            elif line["ticks"].startswith(opened[-1]):
                opened.pop()
            if not opened or self.budget < 0:
                return line.span()
        return None

    def end_of_code(self, start: int, closers: Iterator[tuple[int, int]], ticks: str = "") -> tuple[int, int, End]:
        """Return where Python code stops, where the text goes on after it, and how the block was closed.

        The first closer before which the code is valid is the end: a closer inside a string leaves the string open.
        """
        first = next(closers, None)
        if first and ticks and FOREIGN_CELL.match(self.text, start):
            return (*(self.end_of_nested(start, ticks) or first), "closed")
        for stop, resume in islice(chain([first] if first else [], closers), CANDIDATES):
            state = self.state(start, stop)
            if state == "complete":
                return stop, resume, "closed"
            if state == "invalid":
                break
        limit = first[0] if first else len(self.text)
        for loose in islice(_LOOSE_END.finditer(self.text, start, limit), CANDIDATES):
            line = self.text[self.text.rfind("\n", start, loose.start()) + 1 : loose.start()] if loose["after"] else ""
            stop = loose.start()
            if line.lstrip().startswith("#") or not self.text[start:stop].strip() or self.state(start, stop) != "complete":
                continue
            if not loose["after"]:
                return stop, stop, "loose"
            stray = None if loose["after"].startswith("`") else _STRAY_FENCE.match(self.text, loose.end())
            return stop, stray.end() if stray else loose.end(), "loose"
        return (*first, "closed") if first else (len(self.text), len(self.text), "open")

    def rest_of_line(self, start: int) -> str:
        return self.text[start : start + 200].partition("\n")[0].strip(BLANK)

    def within(self, start: int, end: int, *, either_side: bool = True) -> bool:
        """Return whether the mark at ``text[start:end]`` is only named, in a sentence that goes on after it.

        Parameters
        ----------
        start, end : int
            The mark.
        either_side : bool
            Whether a sentence may also begin with it, or end with it if it says what will be.
        """
        before = self.text[max(0, start - 200) : start].rpartition("\n")[2]
        after = self.text[end : end + 200].partition("\n")[0]
        begun = bool(re.search(r"\w", before)) and not _SENTENCE.search(before)
        goes_on = bool(re.search(r"\w", after))
        if begun and goes_on and not re.match(r"[.!?]+[\"')*_]*\s", after):
            return True
        if not either_side:
            return False
        if before[-1:] in _QUOTE and after[:1] in _QUOTE and re.search(r"\w", before):
            return True
        return after.lstrip()[:1].islower() or (bool(re.search(r"\w", before)) and bool(_INTENTION.search(before)))

    def end_of_values(self, start: int, *, calls: bool = True) -> int | None:
        """Return where the JSON values from ``start`` end, one after the other; with ``calls``, only those that are calls."""
        end, position = None, BETWEEN.match(self.text, start).end()  # type: ignore[union-attr]  # it matches the empty string
        while self.text[position : position + 1] in {"{", "["}:
            stop = self.end_of_bracket(position)
            if stop is None or (calls and not calls_in(self.text[position:stop], marked=True)):
                break
            end, position = stop, BETWEEN.match(self.text, stop).end()  # type: ignore[union-attr]
        return end

    def end_of_named(self, start: int) -> int | None:
        """Return where a call ends that is the name of a tool and a JSON object, in a fence or not."""
        called = CALLED.match(self.text, start)
        fence = _JSON_FENCE.match(self.text, called.end()) if called else None
        begin = fence.end() if fence else called.end() if called else start
        end = self.end_of_bracket(begin) if called and self.text.startswith("{", begin) else None
        stray = _STRAY_TICKS.match(self.text, end) if end and fence else None
        return stray.end() if stray else end

    def state(self, start: int, stop: int) -> State:
        self.budget -= stop - start + 300
        return python_state(tidy(self.text[start:stop])) if self.budget > 0 else "invalid"

    # What is not code

    def think(self, opener: re.Match[str]) -> int:
        mark = opener[0]
        closing = mark.replace("START_", "END_").replace("begin_", "end_") if mark.startswith("<|") else f"{mark[0]}/{mark[1:]}"
        closer = self.find(re.compile(re.escape(closing), re.IGNORECASE), opener.end())
        if closer is None and self.left_open:
            return opener.end()
        on_one_line = closer and closer.start() < opener.end() + 2000 and self.text.find("\n", opener.end(), closer.start()) < 0
        if not on_one_line and self.within(*opener.span(), either_side=False):
            return opener.end()
        if closer is None and not self.cut_off:
            self.add(None, *opener.span())
            self.left_open = self.left_open or (len(self.segments), opener.end())
            return opener.end()
        stop, resume = closer.span() if closer else (len(self.text), len(self.text))
        return self.add(Segment("reasoning", self.text[opener.end() : stop], end="closed" if closer else "open"), opener.start(), resume)

    def thought(self, closer: re.Match[str]) -> int:
        """Take all before a lone closing mark as reasoning: the opening one was part of the prompt."""
        before, after = self.text[closer.start() - 1 : closer.start()], self.text[closer.end() : closer.end() + 1]
        apart = before in _APART and after in _APART | {",", ";"}
        if apart and self.within(*closer.span(), either_side=False):
            return closer.end()
        self.segments, self.mention, self.left_open = [Segment("reasoning", self.text[: closer.start()])], None, None
        self.prose_from = closer.end()
        return closer.end()

    def channel(self, opener: re.Match[str]) -> int:
        """Take one message in the harmony format of GPT-OSS."""
        header = opener["header"]
        if "to=" not in header and "analysis" not in header:
            return self.add(None, opener.start(), opener.end())
        closer = self.find(_MESSAGE_END, opener.end())
        stop = closer.start() if closer else len(self.text)
        body = self.text[opener.end() : stop]
        end: End = "closed" if closer else "open"
        to = re.search(r"to=([\w.]+)", header)
        return self.add(Segment("call", body, to[1], end) if to else Segment("reasoning", body, end=end), opener.start(), stop)

    def call(self, opener: re.Match[str]) -> int:
        name = opener["function"] or opener["invoke"] or ("execute_python" if opener["raw"] else "")
        if opener["function"] or opener["invoke"]:
            closing = "</function>" if opener["function"] else "</" + opener[0][1:].partition(" ")[0] + ">"
            stop = self.text.find(closing, opener.end())
            resume = stop + len(closing)
        elif re.match(r" [a-z]+\b", self.text[opener.end() : opener.end() + 20]) and self.within(*opener.span()):
            return opener.end()
        elif end := self.end_of_values(opener.end()) or self.end_of_named(opener.end()):
            closer = _CALL_CLOSE.match(self.text, BETWEEN.match(self.text, end).end())  # type: ignore[union-attr]
            resume = closer.end() if closer else end
            return self.add(Segment("call", self.text[opener.end() : end], name), opener.start(), resume)
        else:
            stop, resume = self.end_of_call(opener)
        whole = stop >= 0 and (stop < resume or opener[0] in {"[TOOL_CALLS]", "functools"} or bool(opener["raw"]))
        stop, resume = (stop, resume) if stop >= 0 else (len(self.text), len(self.text))
        return self.add(Segment("call", self.text[opener.end() : stop], name, "closed" if whole else "open"), opener.start(), resume)

    def react(self, opener: re.Match[str]) -> int:
        """Take a call in the format of ReAct, ``Action: tool`` and ``Action Input: ...``, whose input goes on to the next label."""
        rest = self.text[opener.end() : opener.end() + 20].lstrip()
        if re.match(r"`{3,}(?:python3?|py|ipython)?\s*?\n", rest):
            return opener.end()  # the block says more than the label
        stop = self.end_of_bracket(opener.end()) if self.text.startswith("{", opener.end()) else None
        if stop is None:
            stop = self.find(_REACT_END, opener.end()).start()  # type: ignore[union-attr]  # it matches the end of the text
        text, name = self.text[opener.end() : stop], opener["react_name"].strip()
        fence = re.match(r"\s*+`{3,}\w*+\s*+(.*?)`{3,}", text, re.DOTALL)
        return self.add(Segment("call", fence[1] if fence else text, name), opener.start(), stop)

    def acted(self, opener: re.Match[str]) -> int:
        """Take ``Action: tool[input]`` or ``Action: tool(code="...")``."""
        end = self.end_of_bracket(opener.end())
        if end is None:
            return opener.end()
        inside = self.text[opener.end() : end]
        if inside.startswith("("):
            return self.python_object(opener.start("acted_name"), end, opener.start())
        return self.add(Segment("call", inside[1:-1], opener["acted_name"]), opener.start(), end)

    def named(self, opener: re.Match[str]) -> int:
        """Take the name of a tool of ours with its arguments after it, in Python or JSON."""
        end = self.end_of_bracket(opener.end())
        if end is None:
            return opener.end()
        if self.text[opener.end()] == "(":
            begin = opener.start() + len(opener[0]) - len(opener[0].lstrip(BLANK))
            return self.python_object(begin, end + 1 if opener[0].lstrip(BLANK).startswith("print(") else end, opener.start())
        name = PYTHON_TOOL if PYTHON_TOOL in opener[0] else FINISH_TOOL
        return self.add(Segment("call", self.text[opener.end() : end], name), opener.start(), end)

    def object(self, opener: re.Match[str]) -> int:
        """Take JSON, or a list of calls in Python, that looks like a call; pass over what is plainly data."""
        start = opener.end() - 1
        end = self.end_of_bracket(start)
        if end is None:
            if not self.calls_tool(start):
                return opener.end()
            return self.add(Segment("object", self.text[start:], end="open"), start, len(self.text))
        if self.text[opener.end() : opener.end() + 1].isidentifier():
            return self.python_object(start, end, start)
        value = load(self.text[start:end])
        if value is None and self.calls_tool(start):
            return self.add(Segment("object", self.text[start:end], end="loose"), start, end)
        if calls_of(value):
            return self.add(Segment("object", self.text[start:end]), start, end)
        return opener.end() if value is None else end

    def calls_tool(self, start: int) -> bool:
        """Return whether what begins here, and cannot be read, is meant as a call of a tool of ours."""
        return bool(_TOOL_NAMED.match(self.text, start, start + 200))

    def python_object(self, start: int, end: int, begin: int) -> int:
        """Take ``text[start:end]`` as an object if it is a call written as Python, with what is before it from ``begin``."""
        if python_calls(self.text[start:end]):
            return self.add(Segment("object", self.text[start:end]), begin, end)
        return start + 1

    def end_of_bracket(self, start: int) -> int | None:
        """Return where the bracket at ``start`` is closed, as long as there is a budget for looking."""
        if self.value_budget <= 0:
            return None
        end = balanced(self.text, start)
        self.value_budget -= 2 * (min(len(self.text), start + LONGEST) - start) if end is None else end - start + 600
        return end

    def end_of_call(self, opener: re.Match[str]) -> tuple[int, int]:
        """Return the closing mark of a call, past those in its strings: before it, JSON, Python, a tag or a fence ends."""
        first = self.find(_CALL_CLOSE, opener.end())
        if opener["raw"] or first is None:
            return first.span() if first else (-1, -1)
        for closer in islice(_CALL_CLOSE.finditer(self.text, first.start()), CANDIDATES):
            self.budget -= closer.start() - opener.end()
            if self.budget < 0 or not closer[0] or self.text.find(opener[0], opener.end(), closer.start()) >= 0:
                break
            if self.text[max(opener.end(), closer.start() - 200) : closer.start()].rstrip()[-1:] in {"}", "]", ")", ">", "`"}:
                return closer.span()
        return first.span()

    def answer(self, opener: re.Match[str]) -> int:
        closer, again = self.find(_ANSWER_CLOSE, opener.end()), self.find(_ANSWER_OPEN, opener.end())
        named = re.match(r"[\s,.;:\"')]", self.text[opener.end() : opener.end() + 1]) and self.within(*opener.span())
        if closer and not (again and again.start() < closer.start()):
            inside = self.text[opener.end() : closer.start()]
            if (named and "\n" in inside) or (_CONNECTIVE.fullmatch(inside[:40].strip()) and self.within(opener.start(), closer.end())):
                return opener.end()
            return self.add(Segment("answer", inside), opener.start(), closer.end())
        if closer is None and not named:
            self.add(None, opener.start(), opener.start())
            self.mention = (len(self.segments), opener.end())
        return opener.end()

    def done(self, opener: re.Match[str]) -> int:
        if self.within(*opener.span()):
            return opener.end()
        return self.add(Segment("done", ""), opener.start(), opener.end())
