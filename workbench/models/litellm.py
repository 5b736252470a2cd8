"""Any model litellm can reach, with our own retries, so that every request on the wire is on the record.

The order here: the model, the request it sends, the answer it reads, and the trouble it can be in.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import functools
import importlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import tenacity

from workbench.messages import Attempt, AttemptStatus, Message, Reply, Tool, ToolCall, Usage
from workbench.models.base import ModelError

CUT_OFF_NOTE = "\n[stream cut off; asking again]\n"
"""What a streaming caller is shown when the text so far is void."""

_Theirs: TypeAlias = Any
"""An object of litellm's, whose types would have to be imported to be named."""


class LiteLLMModel:
    """A model behind an API, named as litellm names it.

    Rate limits, 5xx, timeouts, broken connections, malformed bodies and streams cut off before a finish reason are asked
    again; what no repetition mends (400, 401, 403, 404, a full context window, an empty account) is not.

    Parameters
    ----------
    name : str
        ``provider/model``, for example ``anthropic/claude-sonnet-4-5``, or ``openai/NAME`` for any OpenAI-compatible server.
    base_url : str, optional
        Where the server is; the provider's own address without it.
    api_key : str, optional
        Without it the provider's environment variable is used; a server of your own at ``base_url`` needs none.
    temperature, max_tokens : float and int, optional
        Sent only when given.
    timeout : float
        Seconds to wait for the connection and then for each next byte.
    retries : int
        How often to ask again after a failed attempt.
    max_wait : float
        Seconds to wait between two attempts at most, also where the provider asks for more.
    extra : dict, optional
        Further arguments of ``litellm.acompletion``, for example ``{"reasoning_effort": "low"}``.
    sees_images : bool, optional
        Whether the model takes pictures. Without it litellm's table decides once litellm is loaded (that takes seconds,
        so it happens in the first call); until then, and for models not in the table, False.
    sleep : callable
        Waits between attempts; tests pass one that does not.

    Examples
    --------
    >>> model = LiteLLMModel("openai/qwen3-coder", base_url="http://127.0.0.1:8000/v1")
    >>> model.name, model.sees_images
    ('openai/qwen3-coder', False)
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        timeout: float = 120.0,
        retries: int = 5,
        max_wait: float = 60.0,
        extra: dict[str, Any] | None = None,
        sees_images: bool | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.base_url = base_url
        self.timeout = timeout
        self.retries = retries
        self.max_wait = max_wait
        self.extra = dict(extra or {})
        self._api_key = api_key
        self._sampling = {"temperature": temperature, "max_tokens": max_tokens}
        self._sees_images = sees_images
        self._sleep = sleep
        self._backoff = tenacity.wait_exponential_jitter(initial=1, max=max_wait, jitter=1)

    @property
    def sees_images(self) -> bool:
        """Whether figures are passed on as pictures."""
        if self._sees_images is None and _litellm.cache_info().currsize:
            with contextlib.suppress(Exception):  # a model litellm does not know is a model without pictures
                self._sees_images = bool(_litellm().supports_vision(self.name))
        return bool(self._sees_images)

    @sees_images.setter
    def sees_images(self, value: bool) -> None:
        self._sees_images = value

    async def reply(
        self, messages: Sequence[Message], *, tools: Sequence[Tool] = (), on_text: Callable[[str], None] | None = None
    ) -> Reply:
        """Return the model's reply; raise :class:`ModelError` when no attempt had one."""
        litellm = await asyncio.to_thread(_litellm)  # importing it takes seconds, which the event loop should not notice
        request = self._request(litellm, messages, tools, stream=on_text is not None)
        show = _Show(on_text)
        attempts: list[Attempt] = []
        outer = sys.exception()  # we may be called while the caller handles an error, which is then no trouble of ours

        async def attempt() -> Reply:
            show.shown = False
            started = time.perf_counter()
            try:
                response = await litellm.acompletion(**request)
                answer = await _read_stream(response, show) if request["stream"] else _read(response)
            except Exception as error:
                if error is show.error:
                    raise
                trouble = _diagnose(error, outer, timeout=self.timeout)
                said = self._without_secrets(trouble.said)
                attempts.append(Attempt(status=trouble.status, seconds=time.perf_counter() - started, error=said))
                raise _AttemptFailedError(trouble) from error
            attempts.append(Attempt(status="ok", seconds=time.perf_counter() - started))
            return answer.model_copy(update={"cost_usd": _cost(litellm, self.name, response, answer.usage)})

        def before_waiting(state: tenacity.RetryCallState) -> None:
            attempts[-1].waited = state.upcoming_sleep
            if show.shown:
                show(CUT_OFF_NOTE)

        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self.retries + 1),
            wait=self._wait,
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, _AttemptFailedError) and error.trouble.retry),
            before_sleep=before_waiting,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            answer: Reply = await retrying(attempt)
        except _AttemptFailedError as failed:
            trouble = failed.trouble
        else:
            return answer.model_copy(update={"attempts": attempts})
        # out here, where no chain is attached: it quotes the provider unredacted, and providers quote keys
        raise self._error(litellm, trouble, attempts)

    def _request(self, litellm: ModuleType, messages: Sequence[Message], tools: Sequence[Tool], *, stream: bool) -> dict[str, Any]:
        request: dict[str, Any] = {key: value for key, value in self._sampling.items() if value is not None}
        if stream:
            request["stream_options"] = {"include_usage": True}
        request |= self.extra
        # max_retries is the provider client's own, which would hide attempts from the record just as num_retries would
        request |= {"model": self.name, "stream": stream, "timeout": self.timeout, "num_retries": 0, "max_retries": 0}
        request["messages"] = to_wire(messages, images=self.sees_images)
        if tools:
            request["tools"] = [{"type": "function", "function": tool.model_dump()} for tool in tools]
            if (Path(str(litellm.__file__)).parent / "responses/mcp/chat_completions_handler.py").exists():
                # asked for any tools, litellm 1.106 imports its MCP gateway, which needs a package that it does not depend on
                request["_skip_mcp_handler"] = True
        if self.base_url is not None:
            request["base_url"] = self.base_url
        key = self._api_key
        if key is None and self.base_url is not None and any(name.endswith("KEY") for name in _missing_settings(litellm, self.name)):
            key = "none"  # a local server wants no key, but the client refuses to start without one
        if key is not None:
            request["api_key"] = key
        return request

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, _AttemptFailedError) and error.trouble.retry_after is not None:
            return min(error.trouble.retry_after, self.max_wait)
        return self._backoff(state)

    def _error(self, litellm: ModuleType, trouble: _Trouble, attempts: Sequence[Attempt]) -> ModelError:
        where = _public(self.base_url or trouble.url) or f"the API of {self.name.partition('/')[0]}"
        what = f"HTTP {trouble.code}" if trouble.code and trouble.answered else trouble.status.replace("_", " ")
        how = f"failed {len(attempts)} times, last with {what}" if len(attempts) > 1 else f"failed with {what}"
        message = self._without_secrets(f"{self.name} at {where} {how}: {trouble.said}")
        return ModelError(message, hint=self._without_secrets(self._hint(litellm, trouble)), attempts=attempts)

    def _hint(self, litellm: ModuleType, trouble: _Trouble) -> str:
        url = _public(self.base_url)
        if trouble.hint:
            return trouble.hint
        if trouble.code == 401:
            missing = [] if self._api_key else _missing_settings(litellm, self.name)
            return f"set {' and '.join(missing)}, or pass api_key" if missing else "the API key was not accepted: check it"
        if trouble.code == 403:
            return "the API key may not use this model"
        if trouble.code == 404:
            return f"check the model name{f'; {url}/models lists what the server has' if url else ''}"
        if trouble.status == "rate_limited":
            return "run fewer at a time, or raise retries or max_wait"
        if trouble.status == "connection":
            return (
                f"is the server up at {url}?"
                if url
                else f"is {urlsplit(trouble.url).netloc or 'the server'} up, and is there a network here?"
            )
        if trouble.status == "timeout":
            return "raise timeout, if the model is that slow"
        return ""

    def _without_secrets(self, text: str) -> str:
        secrets = [self._api_key or "", *_secrets(os.environ), *_secrets(self.extra)]
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) >= 6:  # shorter ones are placeholders such as "none", and words of their own
                text = text.replace(secret, "***")
        return _SECRET_SHAPES.sub("***", text)


_SECRET_SHAPES = re.compile(r"\b(?:sk|pk|gsk|xai|hf|r8)[-_][\w*-]{8,}|\bAIza[\w-]{20,}|(?<=[?&]key=)[^&\s'\"]+|(?<=Bearer )[^\s'\"]+")
_SECRET_NAMES = re.compile(r"key|token|secret|password|authorization", re.IGNORECASE)


def _secrets(settings: Mapping[str, Any]) -> Iterable[str]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif isinstance(value, str) and len(value) >= 8 and _SECRET_NAMES.search(name):
            yield from {value, value.removeprefix("Bearer ")}


@functools.cache
def _litellm() -> ModuleType:
    """Import litellm, quietly and without its requests to GitHub for price tables and header lists."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS", "True")
    os.environ.setdefault("LITELLM_DISABLE_BUG_REPORT_LINK", "True")
    module = importlib.import_module("litellm")
    module.suppress_debug_info = True  # type: ignore[attr-defined]
    if "LITELLM_LOG" not in os.environ:
        for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # it logs what it raises, and we report what it raises
    return module


def _missing_settings(litellm: ModuleType, name: str) -> list[str]:
    """Return the environment variables that this model's provider reads, keys for the most part, and that are not set."""
    if litellm.api_key:
        return []
    names: list[str] = litellm.validate_environment(model=name)["missing_keys"]
    return [name for name in names if not os.environ.get(name)]


def _public(url: str | None) -> str:
    """Return a URL without its user, password and query, where keys may be."""
    if not url:
        return ""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def to_wire(messages: Sequence[Message], *, images: bool) -> list[dict[str, Any]]:
    """Return messages as the OpenAI wire has them.

    Examples
    --------
    >>> to_wire([Message(role="user", text="2 + 2?")], images=False)
    [{'role': 'user', 'content': '2 + 2?'}]
    """
    wire: list[dict[str, Any]] = []
    seen_by_tools: list[dict[str, Any]] = []
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
        if message.role == "assistant" and message.tool_calls:
            turn |= {"content": text or None, "tool_calls": [_call_to_wire(call) for call in message.tool_calls]}
        elif message.role == "tool":
            turn["tool_call_id"] = message.tool_call_id
            seen_by_tools += pictures  # the wire takes pictures from users only, and nothing between two tool results
        elif message.role == "user" and pictures:
            turn["content"] = [*([{"type": "text", "text": text}] if text else []), *pictures]
        wire.append(turn)
    if seen_by_tools:
        wire.append({"role": "user", "content": seen_by_tools})
    return wire


def _call_to_wire(call: ToolCall) -> dict[str, Any]:
    arguments = _utf8(call.arguments)
    try:
        whole = isinstance(json.loads(arguments), dict)
    except ValueError:
        whole = False
    if not whole:  # several providers answer malformed arguments in the history with an error, which would end the run
        arguments = json.dumps({"malformed_arguments": arguments})
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _utf8(text: str) -> str:
    """Return text without lone surrogates, which a kernel may print and no request can carry."""
    return text.encode("utf-8", "replace").decode()


class _Show:
    """Passes streamed text on, and remembers that it did and whether that failed."""

    def __init__(self, on_text: Callable[[str], None] | None) -> None:
        self.on_text = on_text
        self.shown = False
        self.error: Exception | None = None

    def __call__(self, text: str) -> None:
        self.shown = True
        try:
            if self.on_text is not None:
                self.on_text(text)
        except Exception as error:
            self.error = error  # the caller's own, so not a trouble of the model
            raise


def _read(response: _Theirs) -> Reply:
    if not response.choices:
        raise _BrokenAnswerError("malformed", "the answer has no choices")
    choice = response.choices[0]
    return Reply(
        text=choice.message.content or "",
        reasoning=getattr(choice.message, "reasoning_content", None) or "",
        tool_calls=[
            ToolCall(id=call.id or "", name=call.function.name or "", arguments=call.function.arguments or "")
            for call in choice.message.tool_calls or []
        ],
        finish_reason=choice.finish_reason or "stop",
        usage=_usage(getattr(response, "usage", None)),
    )


async def _read_stream(stream: _Theirs, show: _Show) -> Reply:
    text: list[str] = []
    reasoning: list[str] = []
    calls: list[tuple[int, ToolCall]] = []
    finish_reason = ""
    usage: Any = None
    async with contextlib.aclosing(stream):  # a cancelled call hangs up, so that the server stops writing
        async for chunk in stream:
            usage = getattr(chunk, "usage", None) or usage
            if not chunk.choices:
                continue
            finish_reason = chunk.choices[0].finish_reason or finish_reason
            delta = chunk.choices[0].delta
            reasoning.append(getattr(delta, "reasoning_content", None) or "")
            for piece in delta.tool_calls or []:
                _add_piece(calls, piece)
            if delta.content:
                text.append(delta.content)
                show(delta.content)
    # litellm ends every stream with a finish reason, of its own making if the provider sent none
    if not (stream.received_finish_reason or stream.intermittent_finish_reason):
        raise _BrokenAnswerError("cut_off", "the stream ended before a finish reason")
    if not any(getattr(chunk, "usage", None) for chunk in stream.chunks):
        usage = None  # litellm counts for itself where the provider did not, which is an estimate
    return Reply(
        text="".join(text),
        reasoning="".join(reasoning),
        tool_calls=[call for _, call in calls],
        finish_reason=finish_reason,
        usage=_usage(usage),
    )


def _add_piece(calls: list[tuple[int, ToolCall]], piece: _Theirs) -> None:
    """Add a piece of a tool call: to the call with its index, unless its id says that another one begins."""
    call = next((call for index, call in reversed(calls) if index == piece.index), None)
    if call is None or (piece.id and call.id and piece.id != call.id):
        call = ToolCall(id="", name="", arguments="")
        calls.append((piece.index, call))
    call.id = call.id or piece.id or ""
    call.name = call.name or piece.function.name or ""
    call.arguments += piece.function.arguments or ""


def _usage(usage: _Theirs) -> Usage:
    details = getattr(usage, "prompt_tokens_details", None)
    return Usage(
        input_tokens=getattr(usage, "prompt_tokens", None) or 0,
        output_tokens=getattr(usage, "completion_tokens", None) or 0,
        cached_tokens=getattr(details, "cached_tokens", None) or 0,
    )


def _cost(litellm: ModuleType, name: str, response: _Theirs, usage: Usage) -> float | None:
    """Return US dollars, or None where there is no price or nothing was counted."""
    if not usage.total:
        return None
    try:
        if not hasattr(response, "choices"):  # a stream, whose chunks hold the usage
            response = litellm.stream_chunk_builder(response.chunks)
        return float(litellm.completion_cost(completion_response=response, model=name))
    except Exception:
        return None


@dataclass(frozen=True)
class _Trouble:
    """What went wrong in an attempt."""

    status: AttemptStatus
    said: str
    """What the provider or the connection said; may hold secrets."""
    code: int | None = None
    answered: bool = False
    """Whether the code is the provider's; litellm makes codes up where no answer came."""
    retry: bool = True
    retry_after: float | None = None
    url: str = ""
    hint: str = ""


class _AttemptFailedError(Exception):
    def __init__(self, trouble: _Trouble) -> None:
        super().__init__(trouble.status)
        self.trouble = trouble


class _BrokenAnswerError(Exception):
    def __init__(self, status: AttemptStatus, said: str) -> None:
        super().__init__(said)
        self.status = status


def _diagnose(error: Exception, outer: BaseException | None, *, timeout: float) -> _Trouble:
    """Tell what an exception of litellm means.

    litellm derives its types from words in the message (a 400 that mentions a rate limit is a RateLimitError there) and
    gives a lost connection status 500, so we look for the HTTP response or the transport error at the bottom of the chain.
    """
    import httpx  # litellm's own, so loaded by now

    if isinstance(error, _BrokenAnswerError):
        return _Trouble(error.status, str(error))
    chain = list(_chain(error, outer))
    url = next((str(link.request.url) for link in chain if isinstance(link, httpx.HTTPError) and getattr(link, "_request", None)), "")
    response = next((r for link in chain if isinstance(r := getattr(link, "response", None), httpx.Response) and r.headers), None)
    said = _said(chain, response)
    if any(type(link).__name__ == "ContextWindowExceededError" for link in chain):
        hint = "the conversation no longer fits the model's context window: bound the observations, or use a larger model"
        code = None if response is None else response.status_code
        return _Trouble("refused", said, code, answered=True, retry=False, url=url, hint=hint)
    if response is not None and response.status_code >= 400:
        trouble = _by_code(response.status_code, said, url)
        return replace(trouble, answered=True, retry_after=_retry_after(response.headers))
    if any(isinstance(link, httpx.TimeoutException | TimeoutError) for link in chain):
        return _Trouble("timeout", f"nothing came for {timeout:g} s", url=url)
    if any(isinstance(link, httpx.ConnectError | ConnectionRefusedError) for link in chain):
        return _Trouble("connection", str(next((link for link in reversed(chain) if isinstance(link, OSError)), chain[-1])), url=url)
    if any(isinstance(link, httpx.TransportError | ConnectionError) for link in chain):
        return _Trouble("cut_off", "the connection closed before the answer was whole", url=url)
    if any(isinstance(link, json.JSONDecodeError) for link in chain):
        return _Trouble("malformed", f"the answer is not JSON: {said}", url=url)
    if missing := next((link for link in chain if isinstance(link, ImportError)), None):
        return _Trouble("refused", str(missing).partition("\n")[0], retry=False, hint="install what this provider needs")
    code = getattr(error, "status_code", None)
    if not isinstance(code, int):  # an error inside a body with status 200, which may have a word for a code
        code = 429 if "rate_limit" in str(code) else 500
    if _NO_KEY.search(said):
        code = 401
    if "LLM Provider NOT provided" in said:
        return _Trouble("refused", said, retry=False, hint="begin the name with a provider: openai/NAME for OpenAI-compatible servers")
    return _by_code(code, said, url)


_NO_KEY = re.compile(r"missing credentials|missing \S+ api key|api_key client option must be set", re.IGNORECASE)
"""What the providers' clients say before they send anything; litellm gives some of it status 500."""


def _by_code(code: int, said: str, url: str) -> _Trouble:
    if code == 429 and "quota" in said and "billing" in said:
        return _Trouble("refused", said, code, retry=False, url=url, hint="the account has no credit left")
    if code == 429 or code == 408 or code >= 500:
        status: AttemptStatus = "rate_limited" if code == 429 else "timeout" if code == 408 else "server_error"
        return _Trouble(status, said, code, url=url)
    return _Trouble("refused", said, code, retry=False, url=url)


def _chain(error: BaseException | None, outer: BaseException | None) -> Iterable[BaseException]:
    seen: set[int] = set()
    while error is not None and error is not outer and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _said(chain: Sequence[BaseException], response: _Theirs) -> str:
    """Return the provider's own words where there are some, else litellm's first line without its prefixes."""
    bodies: list[Any] = [getattr(link, "body", None) for link in chain]
    if response is not None:
        with contextlib.suppress(Exception):  # no JSON, or a stream that was never read
            bodies.insert(0, response.json())
    for body in bodies:
        if isinstance(body, dict):
            inner = body["error"] if isinstance(body.get("error"), dict) else body
            words = inner.get("message") or inner.get("detail") or body.get("error")
            if words:
                return str(words)[:500]
    line = str(chain[0]).strip().partition("\n")[0]
    return re.sub(r"^(?:(?:litellm\.)?\w+(?:Error|Timeout): )*(?:\w+Exception - )?", "", line)[:500]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds a provider asks to wait, whether it names seconds or a date."""
    if (value := headers.get("retry-after")) is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return seconds if 0 <= seconds < float("inf") else 0.0
