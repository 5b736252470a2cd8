"""What went wrong in an attempt, according to the HTTP exchange, and what to do about it; messages contain no keys."""

from __future__ import annotations

import email.utils
import http.client
import os
import re
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from workbench.messages import AttemptStatus
from workbench.models import overflow
from workbench.models.exchange import CONNECT_SECONDS, Exchange, TooLongError
from workbench.models.wire import NoReplyError


@dataclass(frozen=True)
class Trouble:
    """What went wrong in an attempt."""

    status: AttemptStatus
    said: str
    """What the provider or the connection said; may hold secrets."""
    code: int | None = None
    """The HTTP status, or the status that an error in the body corresponds to."""
    answered: bool = False
    """Whether the code is the actual HTTP status of an answer."""
    full: bool = False
    """Whether the conversation does not fit the model's context window."""
    retry: bool = True
    retry_after: float | None = None
    url: str = ""
    hint: str = ""


def diagnose(exchange: Exchange | None, error: Exception | None, outer: BaseException | None) -> Trouble | None:
    """Return what went wrong in an attempt, judging by the HTTP exchange; None if nothing did.

    litellm's exceptions are not used: it derives their types from words in the message (a 400 that mentions a rate
    limit is a RateLimitError there), invents a status if there was no answer, and all of that changes from release to
    release.

    Parameters
    ----------
    exchange : Exchange or None
        The attempt's last request; None if none was made.
    error : Exception or None
        What litellm raised, or our code while reading the answer; None if there is a reply.
    outer : BaseException or None
        What the caller was already handling, which does not concern the attempt.
    """
    if exchange is None:
        return None if error is None else _unsent(list(_chain(error, outer)))
    if exchange.status is not None and not 200 <= exchange.status < 300:
        trouble = _by_code(exchange.status, *_words(exchange))
        return replace(trouble, answered=True, retry_after=_retry_after(exchange.headers), url=exchange.url)
    if exchange.failure is not None:
        said, marks = _words(exchange)
        return replace(_by_code(_code(marks), said, marks), url=exchange.url)
    if error is None:
        return None
    if exchange.fault in (None, "cut_off") and not exchange.finish_reason and exchange.complaint is not None:
        said, marks = _words(exchange)
        return replace(_by_code(_code(marks), said, marks), url=exchange.url)
    causes = [*_chain(exchange.error, outer), *_chain(error, outer)]
    return replace(_broken(exchange, causes), url=exchange.url)


def _broken(exchange: Exchange, causes: Sequence[BaseException]) -> Trouble:
    """Return why an answer that reports no error is nevertheless not a reply."""
    if exchange.fault == "refused" or any(isinstance(cause, ssl.SSLCertVerificationError | TooLongError) for cause in causes):
        return Trouble("refused", _line(causes[0]), retry=False)
    if exchange.fault == "timeout" or (exchange.fault is None and any(isinstance(cause, TimeoutError) for cause in causes)):
        return _late(exchange)
    if exchange.fault == "connection":
        said = str(next((cause for cause in reversed(causes) if isinstance(cause, OSError)), causes[0]))
        return Trouble("connection", said or f"no connection within {CONNECT_SECONDS:g} s")
    if exchange.fault == "cut_off":
        return Trouble("cut_off", "the connection closed before the answer was whole")
    streamed = exchange.patience is not None and exchange.patience.streamed
    if streamed and not exchange.finish_reason and not exchange.malformed:
        return Trouble("cut_off", "the stream ended before a finish reason")
    lacks = next((str(cause) for cause in causes if isinstance(cause, NoReplyError)), "the answer is no reply")
    what = lacks if exchange.parts and not exchange.malformed else "the answer is not JSON"
    return Trouble("malformed", f"{what}: {_shown(exchange.text) or 'it is empty'}")


def _late(exchange: Exchange) -> Trouble:
    """Return for which bytes it was waited in vain, and how long."""
    patience = exchange.patience
    if patience is None:
        return Trouble("timeout", "nothing came in time")
    if not exchange.received:
        remedy = f"raise timeout, if the model is that slow: --model-option timeout={2 * patience.first:g}"
        return Trouble("timeout", f"nothing came for {patience.first:g} s", hint=remedy)
    if not patience.streamed:
        remedy = f"raise timeout, if the model is that slow: --model-option timeout={2 * patience.first:g}; or set stream=true"
        return Trouble("timeout", f"the answer was not whole after {patience.first:g} s", hint=remedy)
    remedy = f"raise idle_timeout, if the model pauses for so long: --model-option idle_timeout={2 * patience.idle:g}"
    return Trouble("timeout", f"nothing more came for {patience.idle:g} s", hint=remedy)


def _unsent(chain: Sequence[BaseException]) -> Trouble:
    """Return why litellm made no request; only network errors are worth a retry."""
    said = _line(chain[0])
    if missing := next((link for link in chain if isinstance(link, ImportError)), None):
        return Trouble("refused", _line(missing), retry=False, hint="install what this provider needs")
    if any(isinstance(link, TimeoutError | ConnectionError) for link in chain):
        return Trouble("connection", said)
    if "LLM Provider NOT provided" in said:
        return Trouble("refused", said, retry=False, hint="begin the name with a provider: openai/NAME for OpenAI-compatible servers")
    return Trouble("refused", said, retry=False)


def _by_code(code: int, said: str, marks: frozenset[str]) -> Trouble:
    """Return what a status means, refined by `marks` (the error's code, type, status), or by words without a code."""
    if overflow.is_full(code, said, marks):
        return Trouble("refused", said, code, retry=False, full=True)
    # Google words a limit per minute in the same way, with a status of its own
    no_credit = "insufficient_quota" in marks or ("quota" in said and "billing" in said and "resource_exhausted" not in marks)
    if code == 402 or (code == 429 and no_credit):
        return Trouble("refused", said, code, retry=False, hint="the account has no credit left")
    if code == 429 or code == 408 or code >= 500:
        status: AttemptStatus = "rate_limited" if code == 429 else "timeout" if code == 408 else "server_error"
        return Trouble(status, said, code)
    return Trouble("refused", said, code, retry=False)


_CODES = {
    **dict.fromkeys(("rate_limit_error", "rate_limit_exceeded", "too_many_requests", "resource_exhausted", "insufficient_quota"), 429),
    **dict.fromkeys(("authentication_error", "invalid_api_key", "unauthenticated"), 401),
    **dict.fromkeys(("permission_error", "permission_denied"), 403),
    **dict.fromkeys(("not_found_error", "model_not_found", "not_found"), 404),
    **dict.fromkeys(("invalid_request_error", "invalid_argument", "failed_precondition", *overflow.MARKS), 400),
    "billing_error": 402,
    "request_too_large": 413,
    "overloaded_error": 529,
}
"""The HTTP status that providers send with an error of this code, type or status; an error in a stream has none."""


def _code(marks: Iterable[str]) -> int:
    """Return the HTTP status that an error in the body of a 200 corresponds to."""
    numbers = [int(mark) for mark in marks if re.fullmatch("[45][0-9][0-9]", mark)]
    return next(iter([*numbers, *sorted(_CODES[mark] for mark in marks if mark in _CODES)]), 500)


def _words(exchange: Exchange) -> tuple[str, frozenset[str]]:
    """Return an error in the body, in words and as its code, type and status."""
    body = exchange.failure or exchange.complaint or next(iter(exchange.parts), {})
    said = _shown(str(body.get("message") or body.get("detail") or exchange.text))
    said = said or http.client.responses.get(exchange.status or 0, "no reason was given")
    return said, frozenset(str(body.get(name)).lower() for name in ("code", "type", "status"))


def _shown(text: str) -> str:
    return " ".join(text.split())[:500]


def _chain(error: BaseException | None, outer: BaseException | None) -> Iterable[BaseException]:
    seen: set[int] = set()
    while error is not None and error is not outer and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _line(error: BaseException) -> str:
    """Return the first line of an error, without litellm's prefixes."""
    line = str(error).strip().partition("\n")[0]
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


def hint(trouble: Trouble, *, base_url: str | None, missing: Sequence[str], max_tokens: int | None) -> str:
    """Return what to do about it, or nothing; `missing` are the settings of the provider's that are not set."""
    url = public(base_url)
    if trouble.full:
        return overflow.hint(trouble.code or 0, trouble.said, own=base_url is not None, max_tokens=max_tokens)
    if trouble.hint:
        return trouble.hint
    if trouble.code == 401 or missing:
        return f"set {' and '.join(missing)}, or pass api_key" if missing else "the API key was not accepted: check it"
    if trouble.code == 403:
        return "the API key may not use this model"
    if trouble.code == 404:
        return f"check the model name{f'; {url}/models lists what the server has' if url else ''}"
    if trouble.status == "rate_limited":
        return "run fewer at a time, or raise retries: --model-option retries=20"
    if trouble.status == "connection":
        return (
            f"is the server up at {url}?" if url else f"is {urlsplit(trouble.url).netloc or 'the server'} up, and is there a network here?"
        )
    return ""


def without_secrets(text: str, *, secrets: Iterable[str], settings: Mapping[str, Any]) -> str:
    """Return text with `***` for these secrets, those of settings and environment, and what looks like a key."""
    for secret in sorted([*secrets, *_secrets(os.environ), *_secrets(settings)], key=len, reverse=True):
        if len(secret) >= 6:  # shorter ones are placeholders such as "none", and words of their own
            text = text.replace(secret, "***")
    return _SECRET_SHAPES.sub("***", text)


_SECRET_SHAPES = re.compile(
    r"\b(?:sk|pk|gsk|xai|hf|r8)[-_][\w*-]{8,}|\bAIza[\w-]{20,}|(?<=[?&]key=)[^&\s'\"]+|(?<=Bearer )[^\s'\"]+|(?<=://)[^\s/@]+(?=@)"
)
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
