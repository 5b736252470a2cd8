"""Cassettes: the calls of a model in a file, to be replayed exactly and in order, with no key and no network.

A cassette is JSON lines: a header, then one line for each call. A conversation grows by a few messages a call, so a line
holds only those after the first ``kept`` ones that the call before had too.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from workbench.errors import UsageError
from workbench.messages import Message, Reply, Tool
from workbench.models.base import Model, ModelError, ready

_Line = TypeVar("_Line", bound=BaseModel)


class _Header(BaseModel):
    cassette: Literal[1] = 1
    """The version of this format."""
    model: str
    sees_images: bool = False


class _Exchange(BaseModel):
    kept: int = Field(0, ge=0)
    messages: list[Message]
    tools: list[Tool] = Field(default_factory=list)
    reply: Reply
    sees_images: bool = False
    """After this call: a model may learn it only by being called."""


class Recorder:
    """A model that keeps every exchange of another one in a new file.

    An exchange is on disk when its reply is returned. A call that fails leaves no line. Calls made at the same time
    are made one after the other, since a cassette has an order.

    Parameters
    ----------
    model : Model
        Who answers.
    path : path
        The cassette to write; refused where it holds something already.

    Examples
    --------
    >>> import asyncio, tempfile
    >>> from workbench.models.function import FunctionModel
    >>> path = Path(tempfile.mkdtemp()) / "sum.jsonl"
    >>> question = [Message(role="user", text="2 + 2?")]
    >>> recorder = Recorder(FunctionModel(lambda messages: "4", name="adder"), path)
    >>> asyncio.run(recorder.reply(question)).text
    '4'
    >>> cassette = Cassette(path)
    >>> cassette.name, asyncio.run(cassette.reply(question)).text
    ('cassette:adder', '4')
    """

    def __init__(self, model: Model, path: str | Path) -> None:
        self.model = model
        self.name = model.name
        self.path = Path(path)
        self._previous: list[Message] = []
        self._turn = asyncio.Lock()
        if self.path.exists() and self.path.stat().st_size:
            raise UsageError(f"{self.path} is a recording already", hint="delete it to record again, or choose another path")
        self._begun = False

    @property
    def sees_images(self) -> bool:
        """Whether the recorded model sees images."""
        return self.model.sees_images

    @sees_images.setter
    def sees_images(self, value: bool) -> None:
        self.model.sees_images = value

    async def ready(self) -> None:
        """Have the recorded model load what it needs."""
        await ready(self.model)

    async def reply(
        self, messages: Sequence[Message], *, tools: Sequence[Tool] = (), on_text: Callable[[str], None] | None = None
    ) -> Reply:
        """Return the model's reply once it is on disk."""
        async with self._turn:
            asked = [message.model_copy(deep=True) for message in messages]  # the caller may go on writing in its own
            reply = await self.model.reply(messages, tools=tools, on_text=on_text)
            kept = _common(self._previous, asked)
            line = _Exchange(kept=kept, messages=asked[kept:], tools=list(tools), reply=reply, sees_images=self.model.sees_images)
            if not self._begun:
                # only now, so that a run that never began leaves no recording behind
                self.path.parent.mkdir(parents=True, exist_ok=True)
                await asyncio.to_thread(_append, self.path, _Header(model=self.name, sees_images=self.model.sees_images))
                self._begun = True
            await asyncio.to_thread(_append, self.path, line)
            self._previous = asked
        return reply


class Cassette:
    """A model that answers as it was recorded, provided it is asked what was recorded.

    Memory addresses (``0x7f...``) may differ; everything else is compared exactly. Usage and cost are the recorded ones.

    Parameters
    ----------
    path : path
        A file that :class:`Recorder` wrote.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            # not splitlines(), which would also split at the odd separators a model may write
            lines = self.path.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            raise UsageError(f"there is no cassette at {self.path}", hint=_how_to_record(self.path)) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.path} cannot be read as a cassette: {error}") from None
        header = _parse(_Header, lines[0], self.path, 1)
        self.name = f"cassette:{header.model}"
        self.sees_images = header.sees_images
        self.played = 0
        """How many calls were answered so far."""
        self._exchanges = [_parse(_Exchange, line, self.path, number) for number, line in enumerate(lines[1:], 2) if line]
        self._previous: list[Message] = []

    @property
    def remaining(self) -> int:
        """How many calls it can still answer."""
        return len(self._exchanges) - self.played

    async def reply(
        self, messages: Sequence[Message], *, tools: Sequence[Tool] = (), on_text: Callable[[str], None] | None = None
    ) -> Reply:
        """Return the next recorded reply; raise :class:`ModelError` where this is not the call that was recorded."""
        line = self.played + 2
        if not self.remaining:
            raise ModelError(
                f"{self.path} ends after {self.played} calls, and one more was made",
                hint=f"the run went on longer than the recorded one; {_how_to_record(self.path)}",
            )
        exchange = self._exchanges[self.played]
        if exchange.kept > len(self._previous):
            raise ModelError(f"{self.path}:{line} keeps {exchange.kept} messages of the {len(self._previous)} before it", hint=_BROKEN)
        expected = [*self._previous[: exchange.kept], *exchange.messages]
        difference = _difference(expected, messages) or _tools_difference(exchange.tools, tools)
        if difference:
            raise ModelError(
                f"{self.path}:{line}, call {self.played + 1}, was recorded for another request: {difference}",
                hint=f"if the change is meant, {_how_to_record(self.path)}",
            )
        self._previous = expected
        self.played += 1
        self.sees_images = exchange.sees_images
        if on_text is not None and exchange.reply.text:
            on_text(exchange.reply.text)
        return exchange.reply.model_copy(deep=True)


_BROKEN = "the file was edited or cut off; delete it and record again"


def _how_to_record(path: Path) -> str:
    return f"delete {path} where it exists and record again: workbench.models.cassette.Recorder(model, {str(path)!r})"


def _append(path: Path, line: BaseModel) -> None:
    # ASCII: a kernel may print lone surrogates, which JSON can escape and UTF-8 cannot hold
    data = json.dumps(line.model_dump(exclude_defaults=isinstance(line, _Exchange)), ensure_ascii=True)
    with path.open("a", encoding="ascii") as file:
        file.write(data + "\n")
        file.flush()
        os.fsync(file.fileno())


def _parse(kind: type[_Line], line: str, path: Path, number: int) -> _Line:
    try:
        return kind.model_validate(json.loads(line))
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(str(part) for part in first['loc']) or 'line'}: {first['msg']}"
    except ValueError as error:
        what = f"not JSON: {error}"
    name = "header" if kind is _Header else "call"
    raise ModelError(f"{path}:{number} is not the {name} of a cassette, {what}", hint=_BROKEN)


def _common(before: Sequence[Message], after: Sequence[Message]) -> int:
    pairs = zip(before, after, strict=False)
    return next((index for index, (old, new) in enumerate(pairs) if old != new), min(len(before), len(after)))


def _normal(message: BaseModel) -> dict[str, Any]:
    """Return what is compared: the message with its memory addresses made equal."""
    normal: dict[str, Any] = json.loads(_ADDRESS.sub("0x...", json.dumps(message.model_dump())))
    return normal


_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")


def _difference(expected: Sequence[Message], got: Sequence[Message]) -> str:
    """Say which message differs first, and how; empty where none does."""
    for index, (old, new) in enumerate(zip(expected, got, strict=False)):
        was, now = _normal(old), _normal(new)
        if was != now:
            field = next(name for name in was if was[name] != now[name])
            return f"message {index + 1} ({old.role}) differs in its {field}:\n{_diff(was[field], now[field])}"
    if len(expected) != len(got):
        longer, word = (expected, "missing") if len(expected) > len(got) else (got, "too many")
        first = longer[min(len(expected), len(got))]
        return f"it had {len(expected)} messages and now there are {len(got)}; {word} from: {first.role}: {_short(first.text, 200)!r}"
    return ""


def _tools_difference(expected: Sequence[Tool], got: Sequence[Tool]) -> str:
    was, now = [_normal(tool) for tool in expected], [_normal(tool) for tool in got]
    return "" if was == now else f"its tools differ:\n{_diff(was, now)}"


def _diff(expected: object, got: object, *, most: int = 12) -> str:
    """Return a unified diff of a few lines, with ``-`` what was recorded and ``+`` what came."""
    was, now = (value if isinstance(value, str) else json.dumps(value, indent=1) for value in (expected, got))
    diff = difflib.unified_diff(was.split("\n"), now.split("\n"), "recorded", "got", n=1, lineterm="")
    lines = [_short(line, 160) for line in diff]
    more = [f"... {len(lines) - most} more lines"] if len(lines) > most else []
    return "\n".join(lines[:most] + more)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."
