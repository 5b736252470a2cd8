"""Any model that litellm supports, with our own retries, so that every HTTP request is recorded.

What is sent and received is in ``wire.py``, how it is observed in ``exchange.py``, what can go wrong in ``trouble.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import tenacity

from workbench import blocking
from workbench.messages import Attempt, Message, Reply, Tool, Usage
from workbench.models.base import ContextFullError, ModelError
from workbench.models.base_url import BaseUrl
from workbench.models.caller import current_caller
from workbench.models.exchange import Patience, check_length, watch
from workbench.models.options import ModelOptions
from workbench.models.trouble import Trouble, diagnose, hint, public, without_secrets
from workbench.models.wire import Theirs, read, read_stream, to_wire

CUT_OFF_NOTE = "\n[stream cut off; asking again]\n"
"""What a streaming caller is shown when the text so far is void."""

MOST_TEXT = 2 * 2**20
"""Most characters of a reply: more than any model writes, and as much as can be taken apart without a pause."""


class LiteLLMModel:
    """A model behind an API, named as litellm names it.

    Requests are retried after rate limits, 5xx, timeouts, broken connections, malformed bodies and streams cut off
    before a finish reason, and not after errors that a retry cannot fix (400, 401, 403, 404, a full context window, an
    account without credit).

    Parameters
    ----------
    name : str
        ``provider/model``, for example ``anthropic/claude-sonnet-4-5``, or ``openai/NAME`` for any OpenAI-compatible server.
    base_url : str, optional
        The address of the server; by default the provider's own. A user and a password in it
        (``https://USER:PASSWORD@HOST``) are sent as basic authentication, and are neither shown nor recorded.
    api_key : str, optional
        By default from the provider's environment variable; your own server at ``base_url`` needs none.
    max_wait : float
        Maximum seconds to wait between two attempts, even if the provider asks for more.
    sees_images : bool, optional
        Whether the model accepts pictures. By default litellm's table decides once litellm is loaded (that takes
        seconds, so it happens in the first call); until then, and for models not in the table, False.
    sleep : callable
        Waits between attempts; tests pass one that does not wait.
    **options
        Those of :class:`workbench.models.options.ModelOptions`: ``temperature``, ``max_tokens``, ``timeout``,
        ``idle_timeout``, ``retries``, ``stream`` and ``extra``.

    Raises
    ------
    UsageError
        If ``base_url`` or an option is invalid.

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
        max_wait: float = 60.0,
        sees_images: bool | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        **options: Any,
    ) -> None:
        self.name = name
        base = None if base_url is None else BaseUrl.parse(base_url)
        self.base_url = base.url if base else None
        self.options = ModelOptions.parse(options)
        self.max_wait = max_wait
        self._api_key = api_key
        self._authorization = base.authorization if base else None
        self._secrets = (api_key or "", *(base.secrets if base else ()))
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

    async def ready(self) -> None:
        """Import litellm, which takes seconds the first time."""
        await blocking.call(_litellm)

    async def reply(
        self, messages: Sequence[Message], *, tools: Sequence[Tool] = (), on_text: Callable[[str], None] | None = None
    ) -> Reply:
        """Return the model's reply; raise :class:`ModelError` when no attempt had one."""
        caller = current_caller()
        caller.preparing()
        litellm = await blocking.call(_litellm)  # importing it takes seconds, which must not block the event loop
        stream = self.options.stream if self.options.stream is not None else on_text is not None
        request = self._request(litellm, messages, tools, stream=stream)
        patience = Patience(self.options.timeout, self.options.idle_timeout, stream)
        show = _Show(on_text)
        attempts: list[Attempt] = []
        outer = sys.exception()  # we may be called while the caller handles an error, which is then no trouble of ours

        async def attempt() -> Reply:
            show.shown = False
            started = time.perf_counter()
            error: Exception | None = None
            with watch(patience, caller.sent) as exchanges:
                try:
                    response = await litellm.acompletion(**request)
                    answer = await read_stream(response, show, exchanges) if stream else read(response)
                    check_length(_length(answer), MOST_TEXT)
                except Exception as raised:
                    if raised is show.error:
                        raise
                    error = raised
            if exchanges.last is not None:
                started = exchanges[0].began
                await exchanges.last.digest()
            if trouble := diagnose(exchanges.last, error, outer):
                said = self._without_secrets(trouble.said)
                attempts.append(Attempt(status=trouble.status, seconds=time.perf_counter() - started, error=said))
                raise _AttemptFailedError(trouble) from error
            attempts.append(Attempt(status="ok", seconds=time.perf_counter() - started))
            return answer.model_copy(update={"cost_usd": _cost(litellm, self.name, response, answer.usage)})

        def before_waiting(state: tenacity.RetryCallState) -> None:
            attempts[-1].waited = state.upcoming_sleep
            failed = state.outcome.exception() if state.outcome else None
            assert isinstance(failed, _AttemptFailedError)
            what = f"{self._how(failed.trouble)}: {attempts[-1].error}"
            turn = f"attempt {len(attempts) + 1} of {self.options.retries + 1}"
            caller.noticed(f"{self.name} failed with {what}; asking again in {state.upcoming_sleep:.1f} s, {turn}")
            if show.shown:
                show(CUT_OFF_NOTE)

        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self.options.retries + 1),
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
        except asyncio.CancelledError as cancelled:
            # if the caller stops waiting, it is told what was tried
            cancelled.attempts = attempts  # type: ignore[attr-defined]
            raise
        else:
            if on_text is not None and not stream and answer.text:
                on_text(answer.text)
            return answer.model_copy(update={"attempts": attempts})
        # out here, where no chain is attached: it quotes the provider unredacted, and providers quote keys
        raise self._error(litellm, trouble, attempts)

    def _request(self, litellm: ModuleType, messages: Sequence[Message], tools: Sequence[Tool], *, stream: bool) -> dict[str, Any]:
        sampling = {"temperature": self.options.temperature, "max_tokens": self.options.max_tokens}
        request: dict[str, Any] = {key: value for key, value in sampling.items() if value is not None}
        if stream:
            request["stream_options"] = {"include_usage": True}
        request |= self.options.extra
        # max_retries is the provider client's own, which would hide attempts from the record just as num_retries would
        request |= {"model": self.name, "stream": stream, "timeout": self.options.timeout, "num_retries": 0, "max_retries": 0}
        request["messages"] = to_wire(messages, images=self.sees_images)
        if tools:
            request["tools"] = [{"type": "function", "function": tool.model_dump()} for tool in tools]
            if (Path(str(litellm.__file__)).parent / "responses/mcp/chat_completions_handler.py").exists():
                # asked for any tools, litellm 1.106 imports its MCP gateway, which needs a package that it does not depend on
                request["_skip_mcp_handler"] = True
        if self.base_url is not None:
            request["base_url"] = self.base_url
        if self._authorization is not None:
            request["extra_headers"] = {"Authorization": self._authorization, **(request.get("extra_headers") or {})}
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

    def _error(self, litellm: ModuleType, trouble: Trouble, attempts: Sequence[Attempt]) -> ModelError:
        where = public(self.base_url or trouble.url) or f"the API of {self.name.partition('/')[0]}"
        what = self._how(trouble)
        how = f"failed {len(attempts)} times, last with {what}" if len(attempts) > 1 else f"failed with {what}"
        message = self._without_secrets(f"{self.name} at {where} {how}: {trouble.said}")
        unsent = not trouble.url
        missing = _missing_settings(litellm, self.name) if (unsent or trouble.code == 401) and not self._api_key else []
        remedy = hint(trouble, base_url=self.base_url, missing=missing, max_tokens=self.options.max_tokens)
        kind = ContextFullError if trouble.full else ModelError
        return kind(message, hint=self._without_secrets(remedy), attempts=attempts)

    @staticmethod
    def _how(trouble: Trouble) -> str:
        return f"HTTP {trouble.code}" if trouble.code and trouble.answered else trouble.status.replace("_", " ")

    def _without_secrets(self, text: str) -> str:
        return without_secrets(text, secrets=self._secrets, settings=self.options.extra)


@functools.cache
def _litellm() -> ModuleType:
    """Import litellm, quietly and without its requests to GitHub for price tables and header lists."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS", "True")
    os.environ.setdefault("LITELLM_DISABLE_BUG_REPORT_LINK", "True")
    module = importlib.import_module("litellm")
    module.suppress_debug_info = True  # type: ignore[attr-defined]
    module.disable_aiohttp_transport = True  # type: ignore[attr-defined]  # some releases accept truncated bodies
    module.module_level_aclient = _ClientOfTheLoop()  # type: ignore[attr-defined]
    if "LITELLM_LOG" not in os.environ:
        for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # it logs what it raises, and we report what it raises
    return module


class _ClientOfTheLoop:
    """The HTTP client that some providers are asked with: one an event loop, where litellm has one for all.

    A connection cannot outlive the event loop it was opened in. A client that still has such connections fails with
    ``Event loop is closed`` in the next one.
    """

    def __getattr__(self, name: str) -> Any:
        litellm = _litellm()
        handlers = importlib.import_module("litellm.llms.custom_httpx.http_handler")
        params = {"timeout": litellm.request_timeout, "client_alias": "module level aclient"}
        return getattr(handlers.get_async_httpx_client("litellm_module_level_client", params), name)


def _missing_settings(litellm: ModuleType, name: str) -> list[str]:
    """Return the environment variables that this model's provider reads, keys for the most part, and that are not set."""
    if litellm.api_key:
        return []
    names: list[str] = litellm.validate_environment(model=name)["missing_keys"]
    return [name for name in names if not os.environ.get(name)]


def _cost(litellm: ModuleType, name: str, response: Theirs, usage: Usage) -> float | None:
    """Return US dollars, or None where there is no price or nothing was counted."""
    if not usage.total:
        return None
    try:
        if not hasattr(response, "choices"):  # a stream, whose chunks hold the usage
            response = litellm.stream_chunk_builder(response.chunks)
        return float(litellm.completion_cost(completion_response=response, model=name))
    except Exception:
        return None


def _length(reply: Reply) -> int:
    return len(reply.text) + len(reply.reasoning) + sum(len(call.arguments) for call in reply.tool_calls)


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


class _AttemptFailedError(Exception):
    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.status)
        self.trouble = trouble
