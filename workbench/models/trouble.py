"""What went wrong on the wire: what an exception of litellm's means, what to do about it, and no keys in what is said of it."""

from __future__ import annotations

import contextlib
import email.utils
import json
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from workbench.messages import AttemptStatus
from workbench.models.wire import BrokenAnswerError, Theirs


@dataclass(frozen=True)
class Trouble:
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


def diagnose(error: Exception, outer: BaseException | None, *, timeout: float) -> Trouble:
    """Tell what an exception of litellm means.

    litellm derives its types from words in the message (a 400 that mentions a rate limit is a RateLimitError there) and
    gives a lost connection status 500, so we look for the HTTP response or the transport error at the bottom of the chain.
    """
    import httpx  # litellm's own, so loaded by now

    if isinstance(error, BrokenAnswerError):
        return Trouble(error.status, str(error))
    chain = list(_chain(error, outer))
    url = next((str(link.request.url) for link in chain if isinstance(link, httpx.HTTPError) and getattr(link, "_request", None)), "")
    response = next((r for link in chain if isinstance(r := getattr(link, "response", None), httpx.Response) and r.headers), None)
    said = _said(chain, response)
    if any(type(link).__name__ == "ContextWindowExceededError" for link in chain):
        hint = "the conversation no longer fits the model's context window: bound the observations, or use a larger model"
        code = None if response is None else response.status_code
        return Trouble("refused", said, code, answered=True, retry=False, url=url, hint=hint)
    if response is not None and response.status_code >= 400:
        trouble = _by_code(response.status_code, said, url)
        return replace(trouble, answered=True, retry_after=_retry_after(response.headers))
    if any(isinstance(link, httpx.TimeoutException | TimeoutError) for link in chain):
        return Trouble("timeout", f"nothing came for {timeout:g} s", url=url)
    if any(isinstance(link, httpx.ConnectError | ConnectionRefusedError) for link in chain):
        return Trouble("connection", str(next((link for link in reversed(chain) if isinstance(link, OSError)), chain[-1])), url=url)
    if any(isinstance(link, httpx.TransportError | ConnectionError) for link in chain):
        return Trouble("cut_off", "the connection closed before the answer was whole", url=url)
    if any(isinstance(link, json.JSONDecodeError) for link in chain):
        return Trouble("malformed", f"the answer is not JSON: {said}", url=url)
    if missing := next((link for link in chain if isinstance(link, ImportError)), None):
        return Trouble("refused", str(missing).partition("\n")[0], retry=False, hint="install what this provider needs")
    code = getattr(error, "status_code", None)
    if not isinstance(code, int):  # an error inside a body with status 200, which may have a word for a code
        code = 429 if "rate_limit" in str(code) else 500
    if _NO_KEY.search(said):
        code = 401
    if "LLM Provider NOT provided" in said:
        return Trouble("refused", said, retry=False, hint="begin the name with a provider: openai/NAME for OpenAI-compatible servers")
    return _by_code(code, said, url)


_NO_KEY = re.compile(r"missing credentials|missing \S+ api key|api_key client option must be set", re.IGNORECASE)
"""What the providers' clients say before they send anything; litellm gives some of it status 500."""


def _by_code(code: int, said: str, url: str) -> Trouble:
    if code == 429 and "quota" in said and "billing" in said:
        return Trouble("refused", said, code, retry=False, url=url, hint="the account has no credit left")
    if code == 429 or code == 408 or code >= 500:
        status: AttemptStatus = "rate_limited" if code == 429 else "timeout" if code == 408 else "server_error"
        return Trouble(status, said, code, url=url)
    return Trouble("refused", said, code, retry=False, url=url)


def _chain(error: BaseException | None, outer: BaseException | None) -> Iterable[BaseException]:
    seen: set[int] = set()
    while error is not None and error is not outer and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _said(chain: Sequence[BaseException], response: Theirs) -> str:
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


def hint(trouble: Trouble, *, base_url: str | None, missing: Sequence[str]) -> str:
    """Return what to do about it, or nothing; `missing` are the settings of the provider's that are not set."""
    url = public(base_url)
    if trouble.hint:
        return trouble.hint
    if trouble.code == 401:
        return f"set {' and '.join(missing)}, or pass api_key" if missing else "the API key was not accepted: check it"
    if trouble.code == 403:
        return "the API key may not use this model"
    if trouble.code == 404:
        return f"check the model name{f'; {url}/models lists what the server has' if url else ''}"
    if trouble.status == "rate_limited":
        return "run fewer at a time, or raise retries or max_wait"
    if trouble.status == "connection":
        return (
            f"is the server up at {url}?" if url else f"is {urlsplit(trouble.url).netloc or 'the server'} up, and is there a network here?"
        )
    if trouble.status == "timeout":
        return "raise timeout, if the model is that slow"
    return ""


def without_secrets(text: str, *, key: str | None, settings: Mapping[str, Any]) -> str:
    """Return text with `***` for the key, for the secrets of settings and environment, and for what has the shape of a key."""
    for secret in sorted([key or "", *_secrets(os.environ), *_secrets(settings)], key=len, reverse=True):
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


def public(url: str | None) -> str:
    """Return a URL without its user, password and query, where keys may be."""
    if not url:
        return ""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
