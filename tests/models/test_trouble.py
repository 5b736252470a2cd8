"""What an attempt came to, told by what went over the wire: every provider's client and every way in which an answer can go wrong."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import httpx
import pytest
import trustme

from tests.loopback import CutOff, HangUp, Loopback, Malformed, Raw, Say, Turn
from tests.models.asked import Asked
from workbench.models.base import ModelError
from workbench.models.exchange import Exchange, watch

Start = Callable[..., Loopback]


def events(*given: dict[str, Any]) -> str:
    """Server-sent events; Anthropic's have their type beside their data."""
    return "".join((f"event: {each['type']}\n" if "type" in each else "") + f"data: {json.dumps(each)}\n\n" for each in given)


def delta(text: str, reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}


def line(**more: Any) -> str:
    message = {"role": "assistant", "content": "half an ans"}
    return json.dumps({"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False, **more}) + "\n"


STARTED = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}}
SAID = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "half an ans"}}


@dataclass(frozen=True)
class Wire:
    """How a provider streams; each of these is spoken by another client inside litellm."""

    model: str
    text: str
    finish: str
    done: str
    failure: str
    """What it sends when something breaks while it answers, by its words a rate limit."""
    content_type: str = "text/event-stream"
    path: str = ""

    def asked(self, server: Loopback, **options: Any) -> Asked:
        return Asked(server, self.model, base_url=server.base_url.removesuffix("/v1") + self.path, api_key="sk-0123456789", **options)


WIRES = [
    Wire(
        "openai/m",
        text=events(delta("half an "), delta("ans")),
        finish=events(delta("", "stop")),
        done="data: [DONE]\n\n",
        failure=events({"error": {"message": "no rate limit", "code": 503}}),
        path="/v1",
    ),
    Wire(
        "anthropic/m",
        text=events({"type": "message_start", "message": STARTED}, SAID),
        finish=events({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}),
        done=events({"type": "message_stop"}),
        failure=events({"type": "error", "error": {"type": "overloaded_error", "message": "no rate limit"}}),
    ),
    Wire(
        "ollama_chat/m",
        text=line(),
        finish=line(done=True, done_reason="stop", message={"role": "assistant", "content": ""}, prompt_eval_count=3, eval_count=2),
        done="",
        failure=json.dumps({"error": "no rate limit"}) + "\n",
        content_type="application/x-ndjson",
    ),
]
wires = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.model)
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])

STATUSES = {
    **dict.fromkeys((400, 401, 402, 403, 404, 409, 413, 422), ("refused", 1)),
    429: ("rate_limited", 2),
    408: ("timeout", 2),
    **dict.fromkeys((500, 502, 503, 504, 529), ("server_error", 2)),
}
MISLEADING = ["rate limit", "context length", "overloaded", "request timeout", "quota", "invalid api key", "model not found", "500"]


BODIES: list[tuple[Callable[[str], str], str]] = [
    (lambda words: json.dumps({"error": {"message": words, "type": "error", "code": None}}), "application/json"),
    (lambda words: json.dumps({"error": words}), "application/json"),
    (lambda words: f"<html><h1>{words}</h1></html>", "text/html"),
]


@wires
@both
@pytest.mark.parametrize("status", STATUSES)
async def test_the_status_decides_whatever_the_words(loopback: Start, wire: Wire, status: int, stream: bool) -> None:
    expected, requests = STATUSES[status]
    said = [(body(words), content_type) for words, (body, content_type) in zip(MISLEADING, itertools.cycle(BODIES), strict=False)]
    for body, content_type in [*said, ("", "text/plain")]:
        turn = Raw(body, status, content_type)
        server = loopback(turn, turn)
        error = await wire.asked(server, retries=1).error(stream=stream)
        seen = [attempt.status for attempt in error.attempts]
        assert (seen, len(server.requests)) == ([expected] * requests, requests), f"{body}: {error}"
        assert f"HTTP {status}" in error.message
        assert all(attempt.error for attempt in error.attempts)
        assert "context window" not in error.hint


ENDINGS: list[tuple[str, str]] = [
    ("the text, cleanly", "cut_off"),
    ("the text, closed", "cut_off"),
    ("the text, reset", "cut_off"),
    ("the text, slow", "timeout"),
    ("half a line, cleanly", "cut_off"),
    ("half a line, closed", "cut_off"),
    ("the headers, cleanly", "cut_off"),
    ("the headers, closed", "cut_off"),
    ("a failure", "server_error"),
    ("a failure at once", "server_error"),
    ("a page", "malformed"),
    ("the finish, cleanly", "ok"),
    ("the finish, closed", "ok"),
    ("the finish, reset", "ok"),
    ("all", "ok"),
    ("all, as html", "ok"),
]


def ending(wire: Wire, kind: str) -> Raw:
    ends: dict[str, Literal["whole", "closed", "reset", "slow"]] = {"closed": "closed", "reset": "reset", "slow": "slow"}
    what, _, how = kind.partition(", ")
    body = {
        "the text": wire.text,
        "half a line": wire.text[:-20],
        "the headers": "",
        "a failure": wire.text + wire.failure,
        "a failure at once": wire.failure,
        "a page": "<html>bad gateway</html>",
        "the finish": wire.text + wire.finish,
        "all": wire.text + wire.finish + wire.done,
    }[what]
    return Raw(body, content_type="text/html" if how == "as html" else wire.content_type, end=ends.get(how, "whole"))


@wires
@pytest.mark.parametrize(("kind", "status"), ENDINGS, ids=[kind for kind, _ in ENDINGS])
async def test_how_a_stream_ends(loopback: Start, wire: Wire, kind: str, status: str) -> None:
    turn = ending(wire, kind)
    server = loopback(turn, ending(wire, "all"))
    asked = wire.asked(server, idle_timeout=0.5 if "slow" in kind else 60, retries=1)
    reply = await asked.reply(stream=True)
    assert [attempt.status for attempt in reply.attempts] == ([status] if status == "ok" else [status, "ok"])
    assert len(server.requests) == len(reply.attempts)
    assert (reply.text, reply.finish_reason) == ("half an ans", "stop")


@wires
@both
@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_a_connection_that_ends_without_an_answer(loopback: Start, wire: Wire, stream: bool, how: Literal["closed", "reset"]) -> None:
    server = loopback(HangUp(how), HangUp(how))
    error = await wire.asked(server, retries=1).error(stream=stream)
    assert [attempt.status for attempt in error.attempts] == ["cut_off", "cut_off"]
    assert len(server.requests) == 2  # litellm sends a request again by itself, which stays off


@wires
@both
async def test_a_port_where_nobody_listens(loopback: Start, wire: Wire, stream: bool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        error = await Asked(loopback(), wire.model, base_url=url, api_key="none", retries=1).error(stream=stream)
    assert [attempt.status for attempt in error.attempts] == ["connection", "connection"]
    assert error.hint == f"is the server up at {url}?"


@wires
@pytest.mark.parametrize(
    "body", ["", "{}", "[]", '"text"', "null", "nothing", "[" * 100_000, '{"choices": [{"mess'], ids=lambda body: body[:10]
)
async def test_a_whole_answer_that_is_none(loopback: Start, wire: Wire, body: str) -> None:
    server = loopback(Raw(body), Raw(body, headers={"Content-Encoding": "gzip"}))
    error = await wire.asked(server, retries=1).error()
    assert [attempt.status for attempt in error.attempts] == ["malformed", "malformed"]
    assert len(server.requests) == 2


async def test_a_document_where_a_stream_was_asked_for(loopback: Start) -> None:
    message = {"role": "assistant", "content": "a whole answer"}
    document = {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    error = await Asked(loopback(Raw(json.dumps(document))), retries=0).error(stream=True)
    assert [attempt.status for attempt in error.attempts] == ["malformed"]
    assert "the answer is no stream" in error.message


FAILURES: list[tuple[Any, str]] = [
    ({"message": "no rate limit", "code": 500}, "server_error"),
    ({"message": "no rate limit", "code": "503"}, "server_error"),
    ({"message": "the server broke"}, "server_error"),
    ("out of memory", "server_error"),
    ({"message": "slow down", "code": "rate_limit_exceeded"}, "rate_limited"),
    ({"message": "slow down", "type": "rate_limit_error"}, "rate_limited"),
    ({"message": "slow down", "code": 429, "status": "RESOURCE_EXHAUSTED"}, "rate_limited"),
    ({"message": "a server error", "type": "invalid_request_error"}, "refused"),
    ({"message": "a server error", "type": "authentication_error"}, "refused"),
    ({"message": "slow down", "code": "insufficient_quota"}, "refused"),
    ({"message": "too long", "code": "context_length_exceeded"}, "refused"),
]


@both
@pytest.mark.parametrize(("failure", "status"), FAILURES, ids=str)
async def test_an_error_inside_of_a_200(loopback: Start, failure: Any, status: str, stream: bool) -> None:
    body = json.dumps({"error": failure})
    server = loopback(Raw(f"data: {body}\n\n", content_type="text/event-stream") if stream else Raw(body))
    error = await Asked(server, retries=0).error(stream=stream)
    assert [attempt.status for attempt in error.attempts] == [status]
    assert "HTTP" not in error.message  # whose status was 200
    assert (failure if isinstance(failure, str) else failure["message"]) in error.message


OVERFLOWS: list[tuple[int, dict[str, Any]]] = [
    (400, {"message": "too long", "code": "context_length_exceeded"}),
    (500, {"message": "too long", "code": "context_length_exceeded"}),
    (400, {"message": "the request exceeds the available context size", "type": "exceed_context_size_error", "code": 400}),
    (400, {"message": "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens"}),
    (400, {"message": "The decoder prompt (length 9000) is longer than the maximum model length of 4096"}),
    (400, {"message": "the input length exceeds the context length"}),
    (400, {"message": "prompt is too long: 210000 tokens > 200000 maximum", "type": "invalid_request_error"}),
    (413, {"message": "prompt is too long", "type": "request_too_large"}),
    (
        400,
        {"message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)", "status": "INVALID_ARGUMENT"},
    ),
    (400, {"message": "The input (9000 tokens) is longer than the model's context length (4096 tokens)"}),
]


@both
@pytest.mark.parametrize(("status", "error"), OVERFLOWS, ids=lambda given: given["message"][:30] if isinstance(given, dict) else str(given))
async def test_a_full_context_window_is_hinted_at(loopback: Start, status: int, error: dict[str, Any], stream: bool) -> None:
    server = loopback(Raw(json.dumps({"error": error}), status))
    told = await Asked(server).error(stream=stream)
    assert [attempt.status for attempt in told.attempts] == ["refused"]
    assert "context window" in told.hint


async def test_a_limit_of_google_that_speaks_of_billing_passes(loopback: Start) -> None:
    words = "You exceeded your current quota, please check your plan and billing details."
    limit = Raw(json.dumps({"error": {"code": 429, "message": words, "status": "RESOURCE_EXHAUSTED"}}), 429)
    reply = await Asked(loopback(limit, Say("later"))).reply()
    assert [attempt.status for attempt in reply.attempts] == ["rate_limited", "ok"]


async def test_a_certificate_nobody_trusts_is_not_asked_again(loopback: Start) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0, ssl=context) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        error = await Asked(loopback(), base_url=url).error()
    assert [attempt.status for attempt in error.attempts] == ["refused"]
    assert "certificate" in error.message.lower()


@pytest.mark.parametrize("address", ["localhost:1/v1", "ftp://127.0.0.1/v1", "http://127.0.0.1:99999999/v1", "http://[::1/v1"])
async def test_an_address_of_the_providers_variable_that_is_none(loopback: Start, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("OPENAI_API_BASE", address)
    error = await Asked(loopback(), base_url=None, api_key="sk-0123456789").error()
    assert [attempt.status for attempt in error.attempts] == ["refused"]


async def test_concurrent_calls_do_not_mix(loopback: Start) -> None:
    turns: dict[str, Turn] = {
        "ok": Say("fine"),
        "refused": Raw('{"error": "no"}', 400),
        "server_error": Raw("", 503),
        "cut_off": CutOff("half", how="ended"),
        "malformed": Malformed(),
    }
    wanted = [*turns] * 6

    async def outcome(kind: str) -> str:
        asked = Asked(loopback(turns[kind]), retries=0)
        try:
            return (await asked.reply(stream=True)).attempts[0].status
        except ModelError as error:
            return error.attempts[0].status

    assert await asyncio.gather(*map(outcome, wanted)) == wanted


async def test_a_client_that_nobody_watches_does_what_it_did(loopback: Start) -> None:
    server = loopback(Say("for the model"), Say("for the user"), Raw(b"streamed"))
    with watch() as mine:
        async with httpx.AsyncClient() as client:
            await client.post(f"{server.base_url}/chat/completions", json={})
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{server.base_url}/chat/completions", json={})
        async with client.stream("POST", f"{server.base_url}/chat/completions", json={}) as streamed:
            pieces = [piece async for piece in streamed.aiter_bytes()]
    assert answer.json()["choices"][0]["message"]["content"] == "for the user"
    assert pieces == [b"streamed"]
    assert len(mine) == 1
    assert mine[0].text == json.dumps(json.loads(mine[0].text))
    assert "for the model" in mine[0].text


async def test_the_client_of_openais_own_package_is_heard_too(loopback: Start) -> None:
    httpx2 = pytest.importorskip("httpx2")
    server = loopback(Raw("busy", 503))
    with watch() as mine:
        async with httpx2.AsyncClient() as client:
            answer = await client.post(f"{server.base_url}/chat/completions", json={})
    assert answer.text == "busy"
    assert [(each.status, each.text, each.fault) for each in mine] == [(503, "busy", None)]


@pytest.mark.parametrize(
    ("body", "parts", "malformed"),
    [
        (b"", [], False),
        (b'{"a": 1}', [{"a": 1}], False),
        (b'[{"a": 1}, 2, {"b": 2}]', [{"a": 1}, {"b": 2}], False),
        (b'data: {"a": 1}\r\n\r\ndata:{"b": 2}\n\ndata: [DONE]\n\n', [{"a": 1}, {"b": 2}], False),
        (b': ping\n\ndata: {"a": 1}\n\ndata: {"b', [{"a": 1}], False),
        (b'data: {"a": 1}\n\ndata: {"b\n\n', [{"a": 1}], True),
        (b'{"a": 1}\n{"b": 2}', [{"a": 1}, {"b": 2}], False),
        (b'data: {"a": "\xe2\x80\xa8"}\n\ndata: \xff\n\n', [{"a": "\u2028"}], True),
        (b"<html>", [], True),
    ],
)
def test_what_a_body_holds(body: bytes, parts: list[dict[str, Any]], malformed: bool) -> None:
    exchange = Exchange("http://x", raw=bytearray(body), make_response=httpx.Response)
    assert (exchange.parts, exchange.malformed) == (parts, malformed)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"choices": [{"finish_reason": "length"}]}, "length"),
        ({"choices": [{"finish_reason": None, "delta": {"content": '"finish_reason": "stop"'}}]}, ""),
        ({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}, "max_tokens"),
        ({"candidates": [{"finishReason": "STOP"}]}, "STOP"),
        ({"done": True}, "stop"),
        ({"done": False}, ""),
        ({"type": "response.completed", "response": {}}, "stop"),
        ({"choices": "nonsense", "delta": 7}, ""),
    ],
    ids=str,
)
def test_where_a_finish_reason_stands(part: dict[str, Any], reason: str) -> None:
    exchange = Exchange("http://x", raw=bytearray(json.dumps(part).encode()), make_response=httpx.Response)
    assert exchange.finish_reason == reason
