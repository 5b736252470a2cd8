"""What goes to a provider and what comes back: ids of tool calls, and content in parts."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.loopback import Loopback, Raw
from tests.models.asked import Asked
from workbench.messages import Message, Reply, ToolCall
from workbench.models import parts
from workbench.models.base import ask
from workbench.models.function import FunctionModel
from workbench.models.wire import to_wire

Start = Callable[..., Loopback]


def call(given: str, name: str = "f") -> ToolCall:
    return ToolCall(id=given, name=name, arguments="{}")


def calls_and_answers(*turns: tuple[list[str], list[str]]) -> list[Message]:
    messages = []
    for called, answered in turns:
        messages.append(Message(role="assistant", tool_calls=[call(given) for given in called]))
        messages += [Message(role="tool", tool_call_id=given, text=f"answer {number}") for number, given in enumerate(answered)]
        messages.append(Message(role="user", text="and now?"))
    return messages


def wire_ids(messages: list[Message]) -> tuple[list[str], list[str]]:
    wire = to_wire(messages, images=False)
    called = [each["id"] for turn in wire for each in turn.get("tool_calls", [])]
    return called, [turn["tool_call_id"] for turn in wire if turn["role"] == "tool"]


@pytest.mark.parametrize("given", [["", ""], ["a", "a", "a"], ["a", "", "b", "a", ""], ["call00001", "", ""]])
async def test_each_call_of_a_reply_has_an_id_of_its_own_with_any_model(given: list[str]) -> None:
    model = FunctionModel(lambda messages: Reply(tool_calls=[call(each, name=f"f{place}") for place, each in enumerate(given)]))
    reply = await ask(model, [Message(role="user", text="go")])
    ids = [each.id for each in reply.tool_calls]
    assert all(ids) and len(set(ids)) == len(ids)
    assert [each.name for each in reply.tool_calls] == [f"f{place}" for place in range(len(given))]
    for each in set(given) - {""}:
        assert ids[given.index(each)] == each, "an id that is good is kept"
    again = await ask(model, [Message(role="user", text="go")])
    assert again.tool_calls == reply.tool_calls, "a cassette finds the same ids"


@pytest.mark.parametrize(
    "turns",
    [
        [(["a"], ["a"]), (["a"], ["a"]), (["a"], ["a"])],
        [(["a", "b"], ["a", "b"]), (["b", "a"], ["b", "a"])],
        [(["call00001", "x"], ["call00001", "x"]), (["call00001"], ["call00001"])],
        [([""], [""]), (["", ""], ["", ""])],
        [(["a", "a"], ["a", "a"])],
        [(["a"], ["a"]), (["a", "call00001"], ["a", "call00001"])],
    ],
)
def test_ids_are_unique_in_the_conversation_and_answers_belong_to_their_calls(turns: list[tuple[list[str], list[str]]]) -> None:
    called, answered = wire_ids(calls_and_answers(*turns))
    assert len(set(called)) == len(called) and all(called)
    assert answered == called


def test_answers_in_another_order_find_their_calls() -> None:
    called, answered = wire_ids(calls_and_answers((["a", "b"], ["a", "b"]), (["a", "b"], ["b", "a"])))
    assert answered == [called[0], called[1], called[3], called[2]]


def test_a_longer_conversation_begins_like_the_shorter_one() -> None:
    messages = calls_and_answers((["a"], ["a"]), (["a"], ["a"]), (["", "b"], ["", "b"]), (["call00001"], ["call00001"]))
    whole = to_wire(messages, images=False)
    for length in range(len(messages)):
        assert to_wire(messages[:length], images=False) == whole[:length]


def test_good_ids_are_sent_as_they_came() -> None:
    assert wire_ids(calls_and_answers((["call_x1"], ["call_x1"]), (["toolu_2"], ["toolu_2"]))) == (["call_x1", "toolu_2"],) * 2


# Content in parts

TEXT = [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there"}]
THINKING = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Hello"}]


def document(message: dict[str, Any]) -> str:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return json.dumps({"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})


def events(*deltas: dict[str, Any]) -> str:
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunks = [{"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]} for choice in choices]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


@pytest.mark.parametrize("provider", ["openai/m", "hosted_vllm/m", "mistral/m"])
@pytest.mark.parametrize(("content", "text", "reasoning"), [(TEXT, "Hello there", ""), (THINKING, "Hello", "hm")], ids=["text", "thinking"])
async def test_content_in_parts(loopback: Start, provider: str, content: list[dict[str, Any]], text: str, reasoning: str) -> None:
    streamed = events({"role": "assistant", "content": ""}, *({"content": [part]} for part in content))
    server = loopback(Raw(document({"content": content})), Raw(streamed, content_type="text/event-stream"))
    for stream in (False, True):
        asked = Asked(server, provider, api_key="k")
        reply = await asked.reply(stream=stream)
        assert (reply.text, reply.reasoning) == (text, reasoning)
        assert "".join(asked.shown) == (text if stream else "")


async def test_compressed_content_in_parts(loopback: Start) -> None:
    body = gzip.compress(document({"content": TEXT}).encode())
    assert (await Asked(loopback(Raw(body, headers={"Content-Encoding": "gzip"}))).reply()).text == "Hello there"


async def test_streamed_calls_without_ids_and_numbers_are_several_calls(loopback: Start) -> None:
    def piece(name: str, arguments: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": 0, "id": "", "type": "function", "function": {"name": name, "arguments": arguments}}]}

    body = events({"role": "assistant"}, piece("a", '{"x": 1}'), piece("b", '{"y":'), piece("", " 2}"))
    reply = await Asked(loopback(Raw(body, content_type="text/event-stream"))).reply(stream=True)
    assert [(each.name, each.arguments) for each in reply.tool_calls] == [("a", '{"x": 1}'), ("b", '{"y": 2}')]


async def test_a_call_in_the_older_protocol(loopback: Start) -> None:
    body = document({"content": None, "function_call": {"name": "f", "arguments": "{}"}})
    assert [each.name for each in (await Asked(loopback(Raw(body))).reply()).tool_calls] == ["f"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["a", "b"], ("ab", "")),
        ([{"type": "output_text", "text": "a"}], ("a", "")),
        ([{"type": "text", "text": {"value": "a"}}], ("a", "")),
        ([{"type": "reasoning", "reasoning": "r"}, {"type": "refusal", "refusal": "no"}], ("no", "r")),
        ([{"type": "image_url", "image_url": {"url": "data:"}}, {"type": "text", "text": None}, 7, None], ("", "")),
        ({"type": "text", "text": "a"}, ("a", "")),
    ],
)
def test_parts_of_any_kind(content: object, expected: tuple[str, str]) -> None:
    assert parts.split(content) == expected


@pytest.mark.parametrize("by_line", [True, False])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_other_bytes_pass_as_they_came(by_line: bool, size: int) -> None:
    lines = ['data: {"content": [1]}\r\n\r', ': "content": [', '{"choices": "content"}', 'data: {"content": [broken']
    text = "\n".join([*lines, '{"choices": [{"content": []}]}', "end"])

    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(text), size):
            yield text[start : start + size].encode()

    async def joined() -> bytes:
        return b"".join([chunk async for chunk in parts.flattened(body(), by_line=by_line)])

    assert asyncio.run(joined()).decode() == text
