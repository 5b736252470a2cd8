"""The requests of a model call and their answers, as the HTTP client saw them: litellm's exceptions are misleading."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import math
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

from workbench import blocking
from workbench.models import parts

Fault = Literal["timeout", "connection", "cut_off", "refused"]
"""How a request failed: timed out, could not connect, lost its connection, or was never sent because it is invalid."""

CONNECT_SECONDS = 30.0
"""How long at most to wait for a connection."""
MOST_WHOLE = 8 * 2**20
"""Most bytes of an answer that is not streamed, or of one event of a stream: each is parsed in one go."""
MOST_STREAMED = 256 * 2**20
"""Most bytes of a streamed answer."""
MAX_BODY = 32 * 2**20
"""Bytes of an answer that are kept for inspection; the rest is still passed on."""
_LONG = 2**20
"""Bytes that are not parsed within the event loop."""


class TooLongError(Exception):
    """An answer that is longer than any reply can be."""


@dataclass(frozen=True)
class Patience:
    """How long an answer is waited for."""

    first: float
    """Seconds to the first byte of the body; to the last one of an answer that is not streamed."""
    idle: float
    """Seconds to each further byte of a streamed answer."""
    streamed: bool


@dataclass
class Exchange:
    """One request and its answer."""

    url: str
    patience: Patience | None = None
    """How long the answer is waited for, if that is ours to decide."""
    began: float = field(default_factory=time.perf_counter)
    """When the request was sent."""
    status: int | None = None
    """The HTTP status; None until an answer begins."""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytearray = field(default_factory=bytearray)
    """The part of the body that was received, still compressed if it was sent compressed."""
    fault: Fault | None = None
    error: Exception | None = None
    """The HTTP client's own exception, if there was one."""
    make_response: Any = None
    """The response class of the HTTP client, which can decompress."""
    deadline: float = math.inf
    """The event loop's time until which the first byte, or the whole answer, must have come."""
    received: int = 0
    """Bytes of the body so far."""
    event: int = 0
    """Those of them that belong to the last event of a stream."""

    def waiting(self) -> asyncio.Timeout:
        """Return the limit on the wait for the next bytes."""
        if self.patience is None:
            return asyncio.timeout(None)
        return asyncio.timeout(self.patience.idle) if self.patience.streamed and self.received else asyncio.timeout_at(self.deadline)

    def take(self, chunk: bytes) -> None:
        """Note a piece of the body.

        Raises
        ------
        TooLongError
            If the answer is now longer than any reply can be.
        """
        self.raw += chunk[: MAX_BODY - len(self.raw)]
        self.received += len(chunk)
        self.event = len(chunk) - 1 - end if (end := chunk.rfind(b"\n")) >= 0 else self.event + len(chunk)
        if self.patience is not None:
            whole = self.event if self.patience.streamed else self.received
            check_length(whole, MOST_WHOLE)
            check_length(self.received, MOST_STREAMED)

    async def digest(self) -> None:
        """Parse the body; a long one in a thread, since that takes a moment."""
        if len(self.raw) > _LONG:
            await blocking.call(lambda: (self.is_document, self.malformed, self.finish_reason, self.failure))

    @functools.cached_property
    def text(self) -> str:
        """The part of the body that was received, as text; only use it when the exchange is over."""
        try:
            body: bytes = self.make_response(200, headers=self.headers, content=bytes(self.raw)).content
        except Exception:  # cannot be decompressed, so it is shown as it is
            body = bytes(self.raw)
        return body.decode("utf-8", "replace")

    @functools.cached_property
    def is_document(self) -> bool:
        """Whether the body is one JSON document of OpenAI's protocol, and therefore not a stream."""
        whole = _json(self.text)
        return isinstance(whole, dict) and "choices" in whole

    @functools.cached_property
    def _values(self) -> list[Any]:
        """The body's content: a JSON document or else one JSON value per line, with or without ``data:`` before it."""
        if (whole := _json(self.text)) is not _BROKEN:
            return whole if isinstance(whole, list) else [whole]
        events = [line.strip().removeprefix("data:").strip() for line in self.text.split("\n") if line.startswith(("data:", "{"))]
        values = [_json(event) for event in events if event not in ("", "[DONE]")]
        if values and values[-1] is _BROKEN and not self.text.endswith("\n"):
            del values[-1]  # the stream was cut off inside it
        return values

    @functools.cached_property
    def parts(self) -> list[dict[str, Any]]:
        """The JSON objects of the body: the body itself, the elements of a list, or the events of a stream."""
        return [value for value in self._values if isinstance(value, dict)]

    @functools.cached_property
    def malformed(self) -> bool:
        """Whether an event of a stream is not JSON, or the body does not look like a stream."""
        unlike = bool(self.text.strip()) and not self._values and not re.search("^(data:|event:|:|{)", self.text, re.MULTILINE)
        return unlike or _BROKEN in self._values

    @functools.cached_property
    def finish_reason(self) -> str:
        """Why the model stopped, in the provider's words; empty if the answer does not say that it is complete."""
        return next((reason for part in reversed(self.parts) if (reason := _finish_reason(part))), "")

    @functools.cached_property
    def failure(self) -> dict[str, Any] | None:
        """The error in the body, also with status 200; None if there is none."""
        return next((failure for part in self.parts if (failure := _failure(part)) is not None), None)

    @functools.cached_property
    def complaint(self) -> dict[str, Any] | None:
        """The last part of an answer, if it is nothing but a message, as some servers send an error by itself."""
        last = self.parts[-1] if self.parts else {}
        said = next((last[name] for name in ("message", "detail") if isinstance(last.get(name), str)), "")
        return last if said and not _CONTENT & set(last) else None


class Watch(list[Exchange]):
    """The exchanges of one model call, in order.

    Parameters
    ----------
    patience : Patience, optional
        How long each answer is waited for; without it, the client decides.
    on_sent : callable, optional
        Called when a request is being sent.
    """

    def __init__(self, patience: Patience | None = None, on_sent: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.patience = patience
        self.on_sent = on_sent

    def begin(self, url: str, make_response: Any) -> Exchange:
        """Add the exchange of a request that is being sent."""
        if self.on_sent is not None:
            self.on_sent()
        exchange = Exchange(url, self.patience, make_response=make_response)
        if self.patience is not None:
            exchange.deadline = asyncio.get_running_loop().time() + self.patience.first
        self.append(exchange)
        return exchange

    @property
    def last(self) -> Exchange | None:
        """The exchange that decides the outcome; None if no request was made."""
        return self[-1] if self else None


_watching: ContextVar[Watch | None] = ContextVar("watching", default=None)


@contextlib.contextmanager
def watch(patience: Patience | None = None, on_sent: Callable[[], None] | None = None) -> Iterator[Watch]:
    """List the exchanges that this task, and what it starts, begin inside the block; the arguments are those of `Watch`.

    Inside, a failed request is not sent a second time by the client: the caller decides about retries.
    """
    for name in ("httpx", "httpx2"):  # litellm's client, and that of OpenAI's own package
        if name in sys.modules:
            _listen(sys.modules[name])
    exchanges = Watch(patience, on_sent)
    token = _watching.set(exchanges)
    try:
        yield exchanges
    finally:
        _watching.reset(token)


@functools.cache
def _listen(module: ModuleType) -> None:
    """Have the HTTP client's ``send`` report to those who watch; for all others it works as before.

    litellm creates clients in many places and accepts one of ours in only a few of them, but all of them send here.
    """
    send = module.AsyncClient.send

    class Heard(module.AsyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, stream: Any, exchange: Exchange) -> None:
            self._stream = stream
            self._exchange = exchange

        async def __aiter__(self) -> AsyncIterator[bytes]:
            chunks = aiter(self._stream)
            with _noting(module, self._exchange):
                while True:
                    async with self._exchange.waiting():
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        return
                    self._exchange.take(chunk)
                    yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    @functools.wraps(send)
    async def heard(client: Any, request: Any, *, stream: bool = False, **options: Any) -> Any:
        exchanges = _watching.get()
        if exchanges is None:
            return await send(client, request, stream=stream, **options)
        for earlier in exchanges:
            if earlier.error is not None and earlier.url == str(request.url):
                raise earlier.error
        exchange = exchanges.begin(str(request.url), module.Response)
        if exchange.patience is not None:
            connect = min(CONNECT_SECONDS, exchange.patience.first)
            # its other limits are those of `waiting`, which knows the first byte from the next ones
            request.extensions["timeout"] = {"connect": connect, "read": None, "write": None, "pool": None}
        with _noting(module, exchange):
            async with exchange.waiting():
                response = await send(client, request, stream=True, **options)
        exchange.status, exchange.headers = response.status_code, response.headers
        response.stream = Heard(response.stream, exchange)
        response.aiter_bytes = functools.partial(_flattened, response, response.aiter_bytes)
        if not stream:
            try:
                await response.aread()
                if exchange.patience is not None:
                    with _noting(module, exchange):
                        check_length(len(response.content), MOST_WHOLE)  # it may have been compressed
            except BaseException:
                await response.aclose()
                raise
        return response

    module.AsyncClient.send = heard


def _flattened(response: Any, aiter_bytes: Any, chunk_size: int | None = None) -> AsyncIterator[bytes]:
    """Yield the answer's bytes with content that is a list of parts as one text."""
    document = "json" in response.headers.get("content-type", "") and "ndjson" not in response.headers.get("content-type", "")
    return parts.flattened(aiter_bytes(chunk_size), by_line=not document)


@contextlib.contextmanager
def _noting(module: Any, exchange: Exchange) -> Iterator[None]:
    """Record in the exchange what breaks it."""
    try:
        yield
    except Exception as error:
        exchange.error = error
        exchange.fault = _fault(module, error)
        raise


def check_length(length: int, most: int) -> None:
    """Raise :class:`TooLongError` if an answer is longer than `most` bytes."""
    if length > most:
        raise TooLongError(f"the answer is longer than {most >> 20} MiB")


def _fault(module: Any, error: Exception) -> Fault:
    if isinstance(error, module.ConnectTimeout):
        return "connection"
    if isinstance(error, module.TimeoutException | TimeoutError):
        return "timeout"
    if isinstance(error, module.ConnectError | module.ProxyError | ConnectionRefusedError):
        return "connection"
    if isinstance(error, module.UnsupportedProtocol | module.LocalProtocolError):
        return "refused"
    return "cut_off" if isinstance(error, module.TransportError | OSError) else "refused"


_BROKEN = object()


def _json(text: str) -> Any:
    """Return the text's value as JSON, or `_BROKEN`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _BROKEN


_LAST = frozenset({"message_stop", "message-end", "response.completed", "response.incomplete"})
"""Types of the events that end an answer from Anthropic, from Cohere and from OpenAI's responses API."""


def _finish_reason(part: Mapping[str, Any]) -> str:
    """Return why the model stopped, if this part of an answer says so in any of the known protocols."""
    for holder in (*_objects(part.get("choices")), *_objects(part.get("candidates")), *_objects([part.get("delta")]), part):
        for name in ("finish_reason", "finishReason", "stop_reason", "done_reason"):
            if isinstance(reason := holder.get(name), str) and reason:
                return reason
    return "stop" if part.get("done") is True or part.get("type") in _LAST else ""


def _failure(part: Mapping[str, Any]) -> dict[str, Any] | None:
    holders = [part, *_objects(part.get("choices")), *_objects([part.get("response")])]
    for holder in holders:
        if error := holder.get("error"):
            return error if isinstance(error, dict) else {"message": str(error)}
        if "error" in (holder.get("type"), holder.get("object")):
            return dict(holder)
    return None


_CONTENT = frozenset({"choices", "candidates", "content", "delta", "done", "generations", "output", "response", "text"})
"""Fields of which one is in every part of an answer that says something."""


def _objects(given: Any) -> list[dict[str, Any]]:
    return [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
