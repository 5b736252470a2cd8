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

from workbench.agents.cells import BLANK, FENCE_CLOSER, FOREIGN_CELL, GAP, SPECIAL, State, normalise, python_state, tidy

Kind = Literal["prose", "python", "untagged", "other", "execute", "call", "reasoning", "answer", "done"]
End = Literal["closed", "loose", "open"]

PYTHON_TAGS = frozenset({"python", "py", "python3", "py3", "ipython", "ipython3", "tool_code", "execute_python", "execute_ipython"})
CANDIDATES = 50
"""How many possible ends of one block are tried."""

_BAR, _LOW = r"[|\uff5c]", r"[_\u2581]"  # as in the special tokens of DeepSeek, and in ASCII
_MIND = r"think|thinking|thought|reasoning|reflection"
_REPLY = r"answer|solution|final_answer"

_OPENER = re.compile(
    "|".join(
        rf"(?P<{name}>{pattern})"
        for name, pattern in {
            "oneline": rf"^{GAP}*+`{{3,}}+(?:python3?|py|ipython)[ \t]+(?P<line>[^`\n]+)`{{3,}}+{GAP}*+$",
            "fence": rf"^(?P<indent>{GAP}*+(?:(?:[-*+]|\d{{1,9}}[.)]){GAP}++)*+)(?P<ticks>`{{3,}}+(?=[^`\n]*$)|~{{3,}}+)"
            r"(?P<info>[^\n]*)\n?",
            "glued": rf"(?<=[^`\n])`{{3,}}+(?:python3?|py|ipython){GAP}*+\n",
            "inline": r"(?<!`)(?:`[^`\n]+`|``[^`\n]+``)(?!`)",
            "execute": r"<execute(?:_i?python)?>",
            "element": rf"^{GAP}*+<(?P<element_name>code|python)>",
            "foreign": r"<execute_(?P<foreign_tag>\w+)>",
            "think": rf"<(?:{_MIND})>|◁think▷|\[THINK\]",
            "thought": rf"</(?:{_MIND})>|◁/think▷|\[/THINK\]",
            "answer": rf"<(?:{_REPLY})>",
            "done": r"<done\s*+/?>(?:\s*+</done>)?|<finish>\s*+</finish>",
            "channel": r"<\|channel\|>(?P<header>[^<\n]{0,200})(?:<\|constrain\|>\w*)?<\|message\|>",
            "call": r"<tool_call>|\[TOOL_CALLS\]|(?P<raw><\|python_tag\|>)"
            rf"|<{_BAR}tool{_LOW}call{_LOW}begin{_BAR}>"
            r"|<function=(?P<function>[\w.-]{1,100})>|<\S{0,20}?invoke name=\"(?P<invoke>[\w.-]{1,100})\">",
            "noise": rf"<\|start\|>assistant|{SPECIAL}|</?\S{{0,20}}?function_calls>"
            rf"|<{_BAR}tool{_LOW}calls{_LOW}(?:section{_LOW})?(?:begin|end){_BAR}>",
        }.items()
    ),
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
_ANSWER_OPEN = re.compile(rf"<(?:{_REPLY})>", re.IGNORECASE)
_ANSWER_CLOSE = re.compile(rf"</(?:{_REPLY})>", re.IGNORECASE)
_EXECUTE_CLOSE = re.compile(r"</execute\w*>?", re.IGNORECASE)
_MESSAGE_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_CALL_CLOSE = re.compile(rf"</tool_call>|<{_BAR}tool{_LOW}call{_LOW}end{_BAR}>|<\|e(?:om|ot)_id\|>|</s>|\Z")
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


def scan(text: str) -> list[Segment]:
    r"""Return the segments of ``text`` in order.

    Parameters
    ----------
    text : str
        What a model wrote; any line endings.

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
    return _Scanner(normalise(text)).scan()


class _Scanner:
    """One walk over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.segments: list[Segment] = []
        self.prose_from = 0
        self.mention: tuple[int, int] | None = None
        """The last ``<answer>`` that nothing closes: how many segments came before it, and where its text begins."""
        self.budget = 3 * len(text) + 300_000
        """How many characters may still be checked for valid Python, or lines looked at as possible ends."""
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
            "done": lambda opener: self.add(Segment("done", ""), opener.start(), opener.end()),
            "channel": self.channel,
            "call": self.call,
            "noise": lambda opener: self.add(None, opener.start(), opener.end()),
            "inline": lambda opener: opener.end(),
        }
        while opener := _OPENER.search(self.text, position):
            position = max(handlers[str(opener.lastgroup)](opener), opener.start() + 1)
        self.add(None, len(self.text), len(self.text))
        if self.mention and all(
            segment.kind not in {"python", "execute", "call", "answer"} for segment in self.segments[self.mention[0] :]
        ):
            before, start = self.mention
            self.segments[before:] = [Segment("answer", self.text[start:], end="open")]
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
        ticks, info, indent = opener["ticks"] or "```", opener["info"] if opener["ticks"] else "python", opener["indent"] or ""
        tag = _TAG.match(info)[1].lower()  # type: ignore[index]  # it matches the empty string
        start = opener.end()
        closers = self.fence_closers(start, ticks, len(indent.expandtabs(4)) + 3)
        if tag in PYTHON_TAGS or not tag:
            kind: Kind = "python" if tag else "untagged"
            stop, resume, end = self.end_of_code(start, closers, ticks)
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

    def state(self, start: int, stop: int) -> State:
        self.budget -= stop - start + 100
        return python_state(tidy(self.text[start:stop])) if self.budget > 0 else "invalid"

    # What is not code

    def think(self, opener: re.Match[str]) -> int:
        mark = opener[0]
        closer = self.find(re.compile(re.escape(f"{mark[0]}/{mark[1:]}"), re.IGNORECASE), opener.end())
        stop, resume = closer.span() if closer else (len(self.text), len(self.text))
        return self.add(Segment("reasoning", self.text[opener.end() : stop], end="closed" if closer else "open"), opener.start(), resume)

    def thought(self, closer: re.Match[str]) -> int:
        """Take all before a lone closing mark as reasoning: the opening one was part of the prompt."""
        self.segments, self.mention = [Segment("reasoning", self.text[: closer.start()])], None
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
        else:
            stop, resume = self.end_of_call(opener)
        whole = stop >= 0 and (stop < resume or opener[0] == "[TOOL_CALLS]" or bool(opener["raw"]))
        stop, resume = (stop, resume) if stop >= 0 else (len(self.text), len(self.text))
        return self.add(Segment("call", self.text[opener.end() : stop], name, "closed" if whole else "open"), opener.start(), resume)

    def end_of_call(self, opener: re.Match[str]) -> tuple[int, int]:
        """Return the closing mark of a call, past those in its strings: what comes before it ends as JSON, a tag or a fence does."""
        first = self.find(_CALL_CLOSE, opener.end())
        if opener["raw"] or first is None:
            return first.span() if first else (-1, -1)
        for closer in islice(_CALL_CLOSE.finditer(self.text, first.start()), CANDIDATES):
            self.budget -= closer.start() - opener.end()
            if self.budget < 0 or self.text.find(opener[0], opener.end(), closer.start()) >= 0:
                break
            if self.text[max(opener.end(), closer.start() - 200) : closer.start()].rstrip()[-1:] in {"}", "]", ">", "`"}:
                return closer.span()
        return first.span()

    def answer(self, opener: re.Match[str]) -> int:
        closer, again = self.find(_ANSWER_CLOSE, opener.end()), self.find(_ANSWER_OPEN, opener.end())
        if closer and not (again and again.start() < closer.start()):
            return self.add(Segment("answer", self.text[opener.end() : closer.start()]), opener.start(), closer.end())
        if closer is None:
            self.add(None, opener.start(), opener.start())
            self.mention = (len(self.segments), opener.end())
        return opener.end()
