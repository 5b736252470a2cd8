"""How servers say that a conversation does not fit the context window, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.loopback import Loopback, Raw
from tests.models.asked import HELLO, Asked
from workbench.agents.base import LimitReached, RunLimits, World
from workbench.events import ModelCalled
from workbench.models import overflow
from workbench.models.base import ContextFullError, ModelError

Start = Callable[..., Loopback]
NONE: frozenset[str] = frozenset()

FULL: list[tuple[str, int, str]] = [
    ("llama.cpp", 400, "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it"),
    ("llama.cpp", 500, "the request exceeds the available context size. try increasing the context size or enable context shift"),
    ("llama.cpp", 500, "Context size has been exceeded."),
    ("llama.cpp", 500, "context shift is disabled"),
    ("llama-cpp-python", 500, "Requested tokens (9000) exceed context window of 4096"),
    (
        "llama-cpp-python",
        400,
        "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens (8000 in the messages, 1000 in the "
        "completion). Please reduce the length of the messages or completion.",
    ),
    (
        "LM Studio",
        400,
        "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context length of only "
        "4096 tokens, which is not enough. Try to load the model with a larger context length, or provide a shorter input",
    ),
    (
        "LM Studio",
        400,
        "The number of tokens to keep from the initial prompt is greater than the context length (n_keep: 13055>= n_ctx: 4096). "
        "Try to load the model with a larger context length, or provide a shorter input.",
    ),
    (
        "LM Studio",
        500,
        "Reached context length of 4096 tokens with this model, but this model does not support mid-generation context overflow.",
    ),
    ("Ollama", 400, "the input length exceeds the context length"),
    ("Ollama", 400, "prompt too long; exceeded max context length by 12 tokens"),
    (
        "vLLM",
        400,
        "This model's maximum context length is 4096 tokens. However, you requested 0 output tokens and your prompt contains at least "
        "4097 input tokens, for a total of at least 4097 tokens.",
    ),
    ("vLLM", 400, "The decoder prompt (length 9000) is longer than the maximum model length of 4096. Make sure that `max_model_len` is"),
    ("vLLM", 400, "You passed 4097 input tokens and requested 1 output tokens. However, the model's context length is only 4096 tokens."),
    (
        "vLLM",
        400,
        "'max_tokens' or 'max_completion_tokens' is too large: 2000. This model's maximum context length is 4096 tokens and your request "
        "has 2104 input tokens (2000 > 4096 - 2104).",
    ),
    ("vLLM", 400, "The prompt (total length 9000) is too long to fit into the model (context length 4096)."),
    ("SGLang", 400, "The input (9000 tokens) is longer than the model's context length (4096 tokens)."),
    ("SGLang", 400, "Requested token count exceeds the model's maximum context length of 4096 tokens."),
    ("SGLang", 400, "Input length (9000 tokens) exceeds the maximum allowed length (4090 tokens)."),
    ("TGI", 422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9000 `inputs` tokens"),
    ("TGI", 422, "Input validation error: `inputs` must have less than 1024 tokens. Given: 1500"),
    ("TensorRT-LLM", 400, "Prompt length (9000) exceeds maximum input length (4096)"),
    ("TabbyAPI", 400, "Prompt length 9000 is greater than max_seq_len 4096"),
    ("OpenAI", 400, "Your input exceeds the context window of this model. Please adjust your input and try again."),
    ("Anthropic", 400, "prompt is too long: 210000 tokens > 200000 maximum"),
    (
        "Anthropic",
        400,
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens`",
    ),
    ("Google", 400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
    ("Google", 400, "Unable to submit request because the input token count is 32825 but model only supports up to 32768."),
    ("Bedrock", 400, "Input is too long for requested model."),
    ("Mistral", 400, "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length"),
    ("xAI", 400, "This model's maximum prompt length is 131072 but the request contains 200000 tokens."),
    ("Groq", 400, "Please reduce the length of the messages or completion."),
    ("Perplexity", 400, "The total length of all messages is too long."),
    ("OpenRouter", 400, "Input length 131393 exceeds the maximum allowed input length of 131040 tokens."),
    ("Cohere", 400, "too many tokens: size limit exceeded by 19296 tokens. Try using shorter or fewer inputs."),
    ("Moonshot", 400, "Invalid request: Your request exceeded model token limit: 8192"),
    ("Zhipu", 400, "Prompt exceeds max length"),
    ("DashScope", 400, "Range of input length should be [1, 30720]"),
    ("watsonx", 400, "the number of input tokens 9000 cannot exceed the total tokens limit 8192 for this model"),
    ("Cloudflare", 413, "The estimated number of input and maximum output tokens (9000) exceeded this model context window limit (8192)."),
    ("a gateway", 413, "<html><h1>413 Request Entity Too Large</h1></html>"),
]

NOT_FULL: list[tuple[int, str]] = [
    (400, "context length"),
    (400, "the context length must be a positive number"),
    (400, "unknown parameter: max_model_len"),
    (400, "max_tokens is too large: 8192. This model supports at most 4096 completion tokens"),
    (400, "The maximum tokens you requested exceeds the model limit of 4096. Try again with a lower value"),
    (400, "the image is too large"),
    (400, "temperature exceeds the maximum value"),
    (400, "tool_call_id is too long"),
    (413, "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9000"),
    (429, "Too many tokens, please wait before trying again."),
    (429, "This request exceeds the limit of 30000 input tokens per minute"),
    (429, "prompt is too long"),
    (500, "the server broke"),
    (503, "the request exceeds the available context size"),
    (500, "Rate limit: too many tokens: the total exceeds 10000 tokens per minute"),
]


@pytest.mark.parametrize(("server", "code", "said"), FULL, ids=[f"{server}-{said[:25]}" for server, _, said in FULL])
def test_a_full_window_is_recognised(server: str, code: int, said: str) -> None:
    assert overflow.is_full(code, said, NONE)
    assert not overflow.is_full(429, said, NONE)


@pytest.mark.parametrize(("code", "said"), NOT_FULL, ids=[said[:30] for _, said in NOT_FULL])
def test_other_errors_are_not_taken_for_one(code: int, said: str) -> None:
    assert not overflow.is_full(code, said, NONE)


@pytest.mark.parametrize(
    ("server", "setting"),
    [
        ("llama.cpp", "-c 32768"),
        ("llama-cpp-python", "--n_ctx 32768"),
        ("LM Studio", "larger context length"),
        ("Ollama", "OLLAMA_CONTEXT_LENGTH=32768"),
        ("vLLM", "--max-model-len"),
        ("SGLang", "--context-length"),
        ("TGI", "--max-total-tokens"),
    ],
)
def test_the_hint_names_the_setting_of_the_server(server: str, setting: str) -> None:
    code, said = next((code, said) for name, code, said in FULL if name == server)
    assert setting in overflow.hint(code, said, own=True, max_tokens=None)


def test_the_hint_names_only_what_can_be_changed() -> None:
    hosted = overflow.hint(400, "prompt is too long", own=False, max_tokens=4096)
    assert hosted == "the context window is full: use a model with a larger one, or lower the model option max_tokens"
    assert "client_max_body_size" in overflow.hint(413, "Request Entity Too Large", own=True, max_tokens=None)


def bodies(code: int, said: str) -> list[Raw]:
    """The forms in which servers send an error: with its status, in a stream, and by itself."""
    whole = json.dumps({"error": {"message": said, "type": "error", "code": None}})
    return [
        Raw(whole, code),
        Raw(json.dumps({"error": said}), code),
        Raw(json.dumps({"object": "error", "message": said, "type": "BadRequestError", "code": code}), code),
        Raw(json.dumps({"detail": said}), code),
        Raw(f"data: {whole}\n\n", content_type="text/event-stream"),
        Raw(f"data: {json.dumps({'error': said})}\n\n", content_type="text/event-stream"),
        Raw(f"event: error\ndata: {json.dumps({'message': said})}\n\n", content_type="text/event-stream"),
    ]


LOCAL = [next((code, said) for name, code, said in FULL if name == server) for server in ("llama.cpp", "LM Studio", "Ollama", "TGI")]


@pytest.mark.parametrize(("code", "said"), LOCAL, ids=["llama.cpp", "LM-Studio", "Ollama", "TGI"])
async def test_in_whatever_form_it_is_sent_it_is_asked_once(loopback: Start, code: int, said: str) -> None:
    for turn in bodies(code, said):
        server = loopback(turn, turn)
        error = await Asked(server).error(stream=True)
        assert isinstance(error, ContextFullError), turn
        assert len(server.requests) == 1
        assert error.hint.startswith("the context window is full: ")


async def test_it_is_a_limit_of_the_run_and_recorded(loopback: Start) -> None:
    events: list[Any] = []
    model = Asked(loopback(bodies(*LOCAL[0])[0])).model
    world = World("", "", "", False, model, None, RunLimits(), lambda event, durable=False: events.append(event))  # type: ignore[arg-type]
    with pytest.raises(LimitReached) as reached:
        await world.ask(HELLO)
    assert reached.value.limit == "context"
    assert "-c 32768" in reached.value.hint
    (called,) = events
    assert isinstance(called, ModelCalled)
    assert called.failure is not None
    assert LOCAL[0][1] in called.failure.message


HALF = 'data: {"id": "c", "choices": [{"index": 0, "delta": {"content": "half"}}]}\n\n'
ALONE: list[tuple[dict[str, Any], str, str]] = [
    ({"message": "the model is overloaded"}, "server_error", "the model is overloaded"),
    ({"message": "slow down", "code": 429}, "rate_limited", "slow down"),
    ({"detail": "no such adapter", "status": 400}, "refused", "no such adapter"),
]


@pytest.mark.parametrize(("event", "status", "said"), ALONE, ids=["message", "code", "detail"])
@pytest.mark.parametrize(
    "before", ["", 'data: {"id": "c", "choices": [{"index": 0, "delta": {"content": "half"}}]}\n\n'], ids=["first", "later"]
)
@pytest.mark.parametrize("end", ["whole", "closed"])
async def test_an_error_that_is_sent_by_itself_is_called_what_it_is(
    loopback: Start, event: dict[str, Any], status: str, said: str, before: str, end: Any
) -> None:
    turn = Raw(f"{before}event: error\ndata: {json.dumps(event)}\n\n", content_type="text/event-stream", end=end)
    error: ModelError = await Asked(loopback(turn), retries=0).error(stream=True)
    assert [(attempt.status, attempt.error) for attempt in error.attempts] == [(status, said)]


async def test_a_message_in_an_answer_that_is_complete_is_no_error(loopback: Start) -> None:
    choice = {"index": 0, "delta": {"content": "fine"}, "finish_reason": "stop"}
    answer = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    body = f'data: {{"message": "loading the model"}}\n\ndata: {json.dumps(answer)}\n\ndata: {{"message": "done"}}\n\ndata: [DONE]\n\n'
    reply = await Asked(loopback(Raw(body, content_type="text/event-stream")), retries=0).reply(stream=True)
    assert reply.text == "fine"
