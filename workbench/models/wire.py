"""Converts our messages to OpenAI's protocol, and its answers, complete or streamed, to our replies."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from workbench.messages import MOST_TOKENS, Message, Reply, ToolCall, Usage
from workbench.models import parts
from workbench.models.base import call_ids
from workbench.models.exchange import Watch

Theirs: TypeAlias = Any
"""An object of litellm's, whose types would have to be imported to be named."""


class NoReplyError(Exception):
    """An answer that was received but contains no reply."""


def to_wire(messages: Sequence[Message], *, images: bool) -> list[dict[str, Any]]:
    """Return messages as the OpenAI wire has them.

    Ids of tool calls are unique in the whole conversation there, since several providers refuse any other.

    Examples
    --------
    >>> to_wire([Message(role="user", text="2 + 2?")], images=False)
    [{'role': 'user', 'content': '2 + 2?'}]
    """
    wire: list[dict[str, Any]] = []
    seen_by_tools: list[dict[str, Any]] = []
    ids = _Ids()
    for message in messages:
        if message.role != "tool" and seen_by_tools:
            wire.append({"role": "user", "content": seen_by_tools})
            seen_by_tools = []
        pictures = [
            {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{image.data}"}}
            for image in message.images
            if images
        ]
        text = _utf8(message.text)
        turn: dict[str, Any] = {"role": message.role, "content": text}
        if message.role == "assistant":
            ids.begin_turn()
        if message.role == "assistant" and message.tool_calls:
            turn |= {"content": text or None, "tool_calls": [_call_to_wire(call, ids.of_call(call.id)) for call in message.tool_calls]}
        elif message.role == "tool":
            turn["tool_call_id"] = ids.of_answer(message.tool_call_id)
            seen_by_tools += pictures  # the wire takes pictures from users only, and nothing between two tool results
        elif message.role == "user" and pictures:
            turn["content"] = [*([{"type": "text", "text": text}] if text else []), *pictures]
        wire.append(turn)
    if seen_by_tools:
        wire.append({"role": "user", "content": seen_by_tools})
    return wire


class _Ids:
    """The ids of tool calls on the wire: the provider's own, or ours where it gave none or one that was there before.

    They depend on nothing but the messages so far, so that a conversation begins the same way each time it is sent.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._waiting: dict[str, list[str]] = {}

    def begin_turn(self) -> None:
        """Begin a turn of the model's: what answers a call of an earlier one has been said."""
        self._waiting = {}

    def of_call(self, given: str) -> str:
        """Return the id of the next call."""
        unique = given if given and given not in self._used else next(new for new in call_ids() if new not in self._used)
        self._used.add(unique)
        self._waiting.setdefault(given, []).append(unique)
        return unique

    def of_answer(self, given: str | None) -> str | None:
        """Return the id of the call that the next answer belongs to: the first of that id which has none yet."""
        waiting = self._waiting.get(given or "", [])
        return waiting.pop(0) if len(waiting) > 1 else waiting[0] if waiting else given


def _call_to_wire(call: ToolCall, unique: str) -> dict[str, Any]:
    arguments = _utf8(call.arguments)
    if not _is_object(arguments):  # several providers answer malformed arguments in the history with an error, which would end the run
        arguments = json.dumps({"malformed_arguments": arguments})
    return {"id": unique, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _is_object(arguments: str) -> bool:
    try:
        return arguments.rstrip().endswith("}") and isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def _utf8(text: str) -> str:
    """Return text without lone surrogates, which a kernel may print and no request can carry."""
    return text.encode("utf-8", "replace").decode()


def read(response: Theirs) -> Reply:
    """Return a whole answer as our reply."""
    if not response.choices:
        raise NoReplyError("the answer has no choices")
    choice = response.choices[0]
    text, reasoning = parts.split(choice.message.content)
    return Reply(
        text=text,
        reasoning=getattr(choice.message, "reasoning_content", None) or reasoning,
        tool_calls=_calls(choice.message),
        finish_reason=choice.finish_reason or "stop",
        usage=_usage(getattr(response, "usage", None)),
    )


def _calls(message: Theirs) -> list[ToolCall]:
    """Return the tool calls of a whole message, or the one call of the older protocol."""
    called = [(call.id, call.function) for call in message.tool_calls or []]
    if not called and (older := getattr(message, "function_call", None)):
        called = [("", older)]
    return [ToolCall(id=given or "", name=function.name or "", arguments=function.arguments or "") for given, function in called]


async def read_stream(stream: Theirs, show: Callable[[str], None], exchanges: Watch) -> Reply:
    """Return a streamed answer as our reply, showing its text as it arrives; `exchanges` are its HTTP exchanges."""
    text: list[str] = []
    reasoning: list[str] = []
    calls: list[tuple[int, ToolCall]] = []
    finish_reason = ""
    usage: Any = None
    try:
        async with contextlib.aclosing(stream):  # a cancelled call disconnects, so that the server stops writing
            async for chunk in stream:
                usage = getattr(chunk, "usage", None) or usage
                if not chunk.choices:
                    continue
                finish_reason = chunk.choices[0].finish_reason or finish_reason
                delta = chunk.choices[0].delta
                reasoning.append(getattr(delta, "reasoning_content", None) or "")
                for piece in delta.tool_calls or []:
                    _add_piece(calls, piece)
                said, thought = parts.split(delta.content)
                reasoning.append(thought)
                if said:
                    text.append(said)
                    show(said)
    except Exception:
        # if the connection breaks after the finish reason, the answer is still complete
        if exchanges.last is not None:
            await exchanges.last.digest()
        if exchanges.last is None or exchanges.last.fault != "cut_off" or not exchanges.last.finish_reason:
            raise
    exchange = exchanges.last
    if exchange is not None:
        await exchange.digest()
    # litellm ends every stream with a finish reason, and invents one if the provider sent none; so its finish reason
    # counts only for providers whose protocol we do not read
    saw = getattr(stream, "received_finish_reason", None) or getattr(stream, "intermittent_finish_reason", None)
    if not saw and not (exchange and exchange.finish_reason):
        raise NoReplyError("the stream ended before a finish reason")
    if not (text or any(reasoning) or calls) and exchange and exchange.is_document:
        raise NoReplyError("the answer is no stream")
    if not any(getattr(chunk, "usage", None) for chunk in getattr(stream, "chunks", ())):
        usage = None  # litellm counts for itself where the provider did not, which is an estimate
    return Reply(
        text="".join(text),
        reasoning="".join(reasoning),
        tool_calls=[call for _, call in calls],
        finish_reason=finish_reason or "stop",
        usage=_usage(usage),
    )


def _add_piece(calls: list[tuple[int, ToolCall]], piece: Theirs) -> None:
    """Add a piece of a tool call: to the call with its index, unless it shows that another one begins.

    Another id shows it; where a server counts no calls and gives no ids, a name after a call that is whole.
    """
    call = next((call for index, call in reversed(calls) if index == piece.index), None)
    if call is None or (piece.id and call.id and piece.id != call.id) or (piece.function.name and _is_object(call.arguments)):
        call = ToolCall(id="", name="", arguments="")
        calls.append((piece.index, call))
    call.id = call.id or piece.id or ""
    call.name = call.name or piece.function.name or ""
    call.arguments += piece.function.arguments or ""


def _usage(usage: Theirs) -> Usage:
    """Return what the provider counted: nothing if a count is none, so that tokens and cost are never partly nonsense."""
    details = getattr(usage, "prompt_tokens_details", None)
    found = {
        "input_tokens": getattr(usage, "prompt_tokens", None) or 0,
        "output_tokens": getattr(usage, "completion_tokens", None) or 0,
        "cached_tokens": getattr(details, "cached_tokens", None) or 0,
    }
    if not all(isinstance(count, int) and 0 <= count <= MOST_TOKENS for count in found.values()):
        return Usage()
    return Usage(**found)
