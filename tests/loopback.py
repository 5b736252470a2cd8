"""A scripted model server on 127.0.0.1 that speaks the OpenAI wire, for tests that want a real HTTP path and no network.

A script is a list of turns; each request to ``/v1/chat/completions`` is answered by the next one, streamed when it asks for a stream.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

USAGE: Mapping[str, Any] = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
MODEL = "scripted"


@dataclass(frozen=True)
class Say:
    """Answer with text."""

    text: str
    reasoning: str | None = None
    finish_reason: str = "stop"
    usage: Mapping[str, Any] | None = field(default_factory=lambda: USAGE)


@dataclass(frozen=True)
class Call:
    """Answer with a tool call."""

    name: str
    arguments: Mapping[str, Any] | str
    """A mapping is sent as JSON, a string as it is."""
    text: str = ""
    id: str = "call_1"
    usage: Mapping[str, Any] | None = field(default_factory=lambda: USAGE)


@dataclass(frozen=True)
class RateLimit:
    """Answer 429, with a Retry-After header unless it is None."""

    retry_after: float | str | None = None
    message: str = "slow down"


@dataclass(frozen=True)
class ServerError:
    """Answer with a 5xx."""

    status: int = 500
    message: str = "the server broke"
    retry_after: float | str | None = None


@dataclass(frozen=True)
class Refuse:
    """Answer with a 4xx that no retry mends."""

    status: int
    message: str
    code: str | None = None


@dataclass(frozen=True)
class CutOff:
    """Break off: a stream after ``text``, a plain answer in the middle of its body.

    ``how="closed"`` drops the connection; ``how="ended"`` ends a stream properly but without a finish_reason.
    """

    text: str
    how: Literal["closed", "ended"] = "closed"


@dataclass(frozen=True)
class Malformed:
    """Answer 200 with a body that is no completion: whole or, in a stream, as an event after ``text``."""

    text: str = ""
    body: str = '{"id": "chatcmpl-1", "choices": [{"mess'


@dataclass(frozen=True)
class Raw:
    """Answer with exactly these bytes, whatever was asked for.

    ``end`` is what comes after them: the proper end, a closed connection, a reset one, or nothing until ``until`` is set.
    """

    body: str | bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    end: Literal["whole", "closed", "reset", "slow"] = "whole"
    until: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class HangUp:
    """Answer nothing: close or reset the connection when the request is read."""

    how: Literal["closed", "reset"] = "closed"


@dataclass(frozen=True)
class SlowFirstByte:
    """Send nothing until an event is set (the server sets it when it closes), then answer ``then``."""

    until: threading.Event = field(default_factory=threading.Event)
    then: Say | Call = field(default_factory=lambda: Say("late"))


@dataclass(frozen=True)
class Slowly:
    """Stream an answer and call ``pause`` before each event."""

    say: Say | Call
    pause: Callable[[], None]


Turn = Slowly | Say | Call | RateLimit | ServerError | Refuse | CutOff | Malformed | Raw | HangUp | SlowFirstByte

CHATS = ("/v1/chat/completions", "/v1/completions", "/v1/messages", "/api/chat")
"""Where OpenAI's wire, its older one, Anthropic's and Ollama's are asked; all but the first only with :class:`Raw` turns."""


class Loopback:
    """The server; a context manager.

    Examples
    --------
    >>> import urllib.request
    >>> with Loopback(Say("hello")) as server:
    ...     request = urllib.request.Request(f"{server.base_url}/chat/completions", data=b'{"messages": []}')
    ...     answer = json.load(urllib.request.urlopen(request))
    >>> answer["choices"][0]["message"]["content"], server.requests
    ('hello', [{'messages': []}])
    """

    def __init__(self, *script: Turn) -> None:
        self.script: list[Turn] = list(script)
        self.requests: list[dict[str, Any]] = []
        """The body of every chat request, in order."""
        self.headers: list[dict[str, str]] = []
        """The headers of every chat request, names in lower case."""
        self._played = 0
        self._lock = threading.Lock()
        loopback = self

        class Handler(_Handler):
            server_script = loopback

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def base_url(self) -> str:
        """What to give a client as its base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def remaining(self) -> list[Turn]:
        """The turns not asked for yet."""
        with self._lock:
            return self.script[self._played :]

    def add(self, *turns: Turn) -> None:
        """Put turns at the end of the script."""
        with self._lock:
            self.script.extend(turns)

    def play(self, headers: Mapping[str, str], body: dict[str, Any]) -> Turn:
        """Record a request and return the turn that answers it."""
        with self._lock:
            self.requests.append(body)
            self.headers.append({name.lower(): value for name, value in headers.items()})
            self._played += 1
            if self._played > len(self.script):
                return ServerError(500, f"unscripted: request {self._played}, but the script has {len(self.script)} turns")
            return self.script[self._played - 1]

    def __enter__(self) -> Loopback:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for turn in self.script:
            if isinstance(turn, SlowFirstByte | Raw):
                turn.until.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_script: Loopback
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise each chunk of a stream waits for the client's delayed acknowledgement

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the log would land in the tests' output."""

    def handle(self) -> None:
        """Answer until the connection closes; a client that gave up is what a test of timeouts wants, no error."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._json(200, {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "loopback"}]})
        else:
            self._error(404, f"no such path: {self.path}")

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path in CHATS:
            body = json.loads(data)
            self._answer(self.server_script.play(dict(self.headers.items()), body), body)
        else:
            self._error(404, f"no such path: {self.path}")

    def _answer(self, turn: Turn, body: dict[str, Any]) -> None:
        stream = bool(body.get("stream"))
        match turn:
            case SlowFirstByte(until, then):
                until.wait()
                self._answer(then, body)
            case Slowly(say, pause):
                self._stream(_paused([*_deltas(say), *_ending(say, usage=True), "[DONE]"], pause))
            case Raw():
                self._raw(turn)
            case HangUp(how):
                self._hang_up(reset=how == "reset")
            case RateLimit(retry_after, message):
                self._error(429, message, retry_after=retry_after, code="rate_limit_exceeded")
            case ServerError(status, message, retry_after):
                self._error(status, message, retry_after=retry_after)
            case Refuse(status, message, code):
                self._error(status, message, code=code)
            case Malformed(text, broken) if stream:
                self._stream([*_deltas(Say(text)), broken])
            case Malformed(_, broken):
                self._send(200, broken.encode())
            case CutOff(text, how) if stream:
                self._stream(_deltas(Say(text)), end=how == "ended")
            case CutOff(text):
                whole = json.dumps(_completion(Say(text))).encode()
                self._send(200, whole[: len(whole) // 2], length=len(whole))
                self.close_connection = True
            case _ if stream:
                options = body.get("stream_options") or {}
                self._stream([*_deltas(turn), *_ending(turn, usage=bool(options.get("include_usage"))), "[DONE]"])
            case _:
                self._json(200, _completion(turn))

    def _stream(self, events: Iterable[dict[str, Any] | str], *, end: bool = True) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            data = event if isinstance(event, str) else json.dumps(event)
            line = f"data: {data}\n\n".encode()
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        if end:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _raw(self, turn: Raw) -> None:
        data = turn.body.encode() if isinstance(turn.body, str) else turn.body
        self.send_response(turn.status)
        self.send_header("Content-Type", turn.content_type)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in turn.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if data:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        if turn.end == "slow":
            turn.until.wait()
        if turn.end == "whole":
            self.wfile.write(b"0\r\n\r\n")
        self._hang_up(reset=turn.end == "reset")

    def _hang_up(self, *, reset: bool) -> None:
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _json(self, status: int, body: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(body).encode())

    def _error(self, status: int, message: str, *, retry_after: float | str | None = None, code: str | None = None) -> None:
        body = json.dumps({"error": {"message": message, "type": "error", "param": None, "code": code}}).encode()
        self._send(status, body, headers={} if retry_after is None else {"Retry-After": str(retry_after)})

    def _send(self, status: int, body: bytes, *, length: int | None = None, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _tool_call(turn: Call) -> dict[str, Any]:
    arguments = turn.arguments if isinstance(turn.arguments, str) else json.dumps(turn.arguments)
    return {"id": turn.id, "type": "function", "function": {"name": turn.name, "arguments": arguments}}


def _completion(turn: Say | Call) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": turn.text}
    if isinstance(turn, Call):
        message["tool_calls"] = [_tool_call(turn)]
    elif turn.reasoning is not None:
        message["reasoning_content"] = turn.reasoning
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(turn)}
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice]}
    return whole if turn.usage is None else {**whole, "usage": dict(turn.usage)}


def _finish_reason(turn: Say | Call) -> str:
    return turn.finish_reason if isinstance(turn, Say) else "tool_calls"


def _chunk(choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": MODEL, "choices": choices, **more}


def _delta(**delta: Any) -> dict[str, Any]:
    return _chunk([{"index": 0, "delta": delta, "finish_reason": None}])


def _pieces(text: str, size: int = 5) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def _deltas(turn: Say | Call) -> Iterator[dict[str, Any]]:
    """Everything a streamed turn says, in small pieces, without its ending."""
    yield _delta(role="assistant", content="")
    if isinstance(turn, Say):
        for piece in _pieces(turn.reasoning or ""):
            yield _delta(reasoning_content=piece)
    for piece in _pieces(turn.text):
        yield _delta(content=piece)
    if isinstance(turn, Call):
        call = _tool_call(turn)
        arguments = call["function"].pop("arguments")
        yield _delta(tool_calls=[{"index": 0, **call, "function": {**call["function"], "arguments": ""}}])
        for piece in _pieces(arguments):
            yield _delta(tool_calls=[{"index": 0, "function": {"arguments": piece}}])


def _paused(events: Iterable[dict[str, Any] | str], pause: Callable[[], None]) -> Iterator[dict[str, Any] | str]:
    for event in events:
        pause()
        yield event


def _ending(turn: Say | Call, *, usage: bool) -> Iterator[dict[str, Any]]:
    yield _chunk([{"index": 0, "delta": {}, "finish_reason": _finish_reason(turn)}])
    if usage and turn.usage is not None:
        yield _chunk([], usage=dict(turn.usage))
