"""A full context window: how servers say that a conversation does not fit, and what can be done about it."""

from __future__ import annotations

import re

STATUSES = frozenset({400, 413, 422, 500})
"""HTTP statuses with which servers say it; with any other, the words are about something else."""
MARKS = frozenset(
    {
        "context_length_exceeded",
        "exceed_context_size_error",
        "model_context_window_exceeded",
        "string_above_max_length",
        "tokens_limit_reached",
    }
)
"""Codes and types of errors that mean it, with any status."""

_SIZE = (
    r"(?:context|n_ctx|max_model_len|max_seq_len|session_len|(?:prompt|input|tokens?|sequence) (?:length|limit)"
    r"|max(?:imum)? (?:allowed )?(?:length|(?:number of )?(?:input |prompt )?tokens))"
)
_BEYOND = r"(?:exceed(?:s|ed|ing)?|(?:longer|larger|greater) than|too (?:long|large) for|too long to fit|over)"
_SAID = re.compile(
    rf"{_BEYOND}\b[^.\n]{{0,60}}?\b{_SIZE}"
    r"|context (?:size|length|window|limit) (?:has been |was |is )?(?:exceeded|reached|full)|reached (?:the )?context length"
    r"|context (?:the )?overflow|context shift is disabled|context length (?:is|of) only"
    r"|maximum (?:allowed )?(?:context|model|prompt|input|sequence) (?:length|size|window)"
    r"|(?:prompt|inputs?|messages?|conversation) (?:is |are )?too (?:long|large)|too long to fit into the model"
    r"|too many (?:input|prompt) tokens|too many tokens: (?:the total|size)|token count is [\d,]+ but (?:the )?model only supports"
    r"|inputs`? (?:tokens \+|must have less than)|reduce the length of (?:the |your )?(?:messages?|prompt|input|either)"
    r"|range of input length should be",
    re.IGNORECASE,
)
_RATE = re.compile(r"\bper (?:second|minute|hour|day|month)\b|\b[RT]P[MD]\b|please wait|throttl", re.IGNORECASE)

_SETTINGS = [
    (r"available context size|context size has been exceeded|context shift", "start llama-server with a larger one, for example -c 32768"),
    (r"exceed context window of", "start the server of llama-cpp-python with a larger one, for example --n_ctx 32768"),
    (r"to keep the first|tokens to keep|reached context length", "load the model in LM Studio with a larger context length"),
    (
        r"input length exceeds the context length|exceeded max context length",
        "start Ollama with a larger one, for example OLLAMA_CONTEXT_LENGTH=32768",
    ),
    (r"than the model's context length \(", "start SGLang with a larger --context-length"),
    (r"inputs`? (?:tokens \+|must have)", "start the server with larger --max-input-tokens and --max-total-tokens"),
]
"""How a server words it, and which of its settings is to be changed."""
_ANY_SERVER = (
    "give your server a larger one (-c of llama-server, OLLAMA_CONTEXT_LENGTH of Ollama, --max-model-len of vLLM, "
    "--context-length of SGLang)"
)


def is_full(code: int, said: str, marks: frozenset[str]) -> bool:
    """Say whether an error means that the conversation does not fit.

    Parameters
    ----------
    code : int
        The HTTP status, or the one that an error in the body corresponds to.
    said : str
        The error's message.
    marks : frozenset of str
        Its code, type and status.

    Examples
    --------
    >>> is_full(500, "Context size has been exceeded.", frozenset({"server_error"}))
    True
    >>> is_full(400, "the context length must be a number", frozenset())
    False
    >>> is_full(413, "Request too large: Limit 6000 tokens per minute (TPM)", frozenset({"rate_limit_exceeded"}))
    False
    """
    if marks & MARKS:
        return True
    if "rate_limit_exceeded" in marks or _RATE.search(said):
        return False
    return code == 413 or (code in STATUSES and _SAID.search(said) is not None)


def hint(code: int, said: str, *, own: bool, max_tokens: int | None) -> str:
    """Return what can be done about it.

    Parameters
    ----------
    code, said : int and str
        As for :func:`is_full`.
    own : bool
        Whether the server is one that the user has named, whose settings may be changed.
    max_tokens : int or None
        How long a reply may be, if that was said: servers keep so much room for it.
    """
    if code == 413 and not _SAID.search(said):
        return "the server takes no request of this size: raise its limit, for example client_max_body_size of nginx"
    setting = next((setting for words, setting in _SETTINGS if re.search(words, said, re.IGNORECASE)), _ANY_SERVER if own else "")
    ways = [setting, "use a model with a larger one", "lower the model option max_tokens" if max_tokens else ""]
    return f"the context window is full: {', or '.join(way for way in ways if way)}"
