"""LiteLLMModel through litellm's real HTTP path, against the scripted server."""

from __future__ import annotations

import asyncio
import email.utils
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.loopback import Call, CutOff, Loopback, Malformed, RateLimit, Raw, Refuse, Say, ServerError, SlowFirstByte, Turn
from tests.models.asked import HELLO, Asked
from workbench.messages import Image, Message, Tool, ToolCall
from workbench.models.base import Model
from workbench.models.litellm import CUT_OFF_NOTE, LiteLLMModel
from workbench.models.wire import to_wire

KEY = "sk-abcdefghijklmnopqrstuvwxyz"
PIXEL = Image(media_type="image/png", data="iVBORw0KGgo=")
Start = Callable[..., Loopback]


both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def test_it_is_a_model() -> None:
    assert isinstance(LiteLLMModel("openai/x"), Model)


def test_neither_importing_nor_making_one_imports_litellm() -> None:
    code = (
        "import sys; from workbench.models.litellm import LiteLLMModel as L; L('gpt-4o').sees_images; assert 'litellm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@both
async def test_text_reasoning_and_usage(loopback: Start, stream: bool) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "prompt_tokens_details": {"cached_tokens": 5}}
    server = loopback(Say("The answer is 4.\n", reasoning="two and two", usage=usage))
    asked = Asked(server)
    reply = await asked.reply(stream=stream)
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("The answer is 4.\n", "two and two", "stop")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) == (7, 3, 5)
    assert reply.cost_usd is None  # nobody knows the price of "scripted"
    assert [attempt.status for attempt in reply.attempts] == ["ok"]
    assert "".join(asked.shown) == (reply.text if stream else "")
    assert len(asked.shown) != 1  # in pieces
    (body,) = server.requests
    assert body["model"] == "scripted"
    assert body["messages"] == [{"role": "user", "content": "hello"}]
    assert body.get("stream", False) is stream
    assert body.get("stream_options") == ({"include_usage": True} if stream else None)


@both
async def test_sampling_and_extra_arguments_are_sent_only_when_given(loopback: Start, stream: bool) -> None:
    server = loopback(Say("a"), Say("b"))
    await Asked(server, temperature=0.0, max_tokens=64, extra={"seed": 7}).reply(stream=stream)
    await Asked(server).reply(stream=stream)
    first, second = server.requests
    assert (first["temperature"], first["max_tokens"], first["seed"]) == (0.0, 64, 7)
    assert not {"temperature", "max_tokens", "seed", "tools"} & set(second)


@both
async def test_a_truncated_reply_says_length(loopback: Start, stream: bool) -> None:
    assert (await Asked(loopback(Say("too lo", finish_reason="length"))).reply(stream=stream)).finish_reason == "length"


@both
async def test_cost_of_a_priced_model(loopback: Start, stream: bool) -> None:
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000, "total_tokens": 2_000_000}
    reply = await Asked(loopback(Say("a", usage=usage)), "openai/gpt-4o-mini").reply(stream=stream)
    assert reply.cost_usd == pytest.approx(0.15 + 0.60)


@both
async def test_nothing_counted_costs_nothing_known(loopback: Start, stream: bool) -> None:
    reply = await Asked(loopback(Say("some words", usage=None)), "openai/gpt-4o-mini").reply(stream=stream)
    assert (reply.usage.total, reply.cost_usd) == (0, None)


@both
async def test_tool_calls(loopback: Start, stream: bool) -> None:
    tool = Tool(name="run", description="Run code.", parameters={"type": "object", "properties": {"code": {"type": "string"}}})
    server = loopback(Call("run", {"code": "1 + 1"}, text="Let me see."), Say("2"))
    asked = Asked(server)
    reply = await asked.reply(stream=stream, tools=[tool])
    assert reply.tool_calls == [ToolCall(id="call_1", name="run", arguments='{"code": "1 + 1"}')]
    assert (reply.text, reply.finish_reason) == ("Let me see.", "tool_calls")
    answered = [
        *HELLO,
        Message(role="assistant", text=reply.text, tool_calls=reply.tool_calls),
        Message(role="tool", text="2", tool_call_id="call_1"),
    ]
    assert (await asked.reply(answered, stream=stream, tools=[tool])).text == "2"
    first, second = server.requests
    assert first["tools"] == [{"type": "function", "function": tool.model_dump()}]
    assert second["messages"][1]["tool_calls"][0]["function"] == {"name": "run", "arguments": '{"code": "1 + 1"}'}
    assert second["messages"][2] == {"role": "tool", "content": "2", "tool_call_id": "call_1"}


@both
async def test_malformed_arguments_come_as_the_model_wrote_them_and_go_back_as_json(loopback: Start, stream: bool) -> None:
    server = loopback(Call("run", '{"code": '), Say("sorry"))
    asked = Asked(server)
    reply = await asked.reply(stream=stream)
    assert reply.tool_calls[0].arguments == '{"code": '
    await asked.reply([*HELLO, Message(role="assistant", tool_calls=reply.tool_calls)], stream=stream)
    sent = server.requests[1]["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert sent == '{"malformed_arguments": "{\\"code\\": "}'


async def test_pictures_are_sent_to_those_who_see(loopback: Start) -> None:
    server = loopback(Say("blind"), Say("I see"), Say("known to see"))
    question = [Message(role="user", text="what is it?", images=[PIXEL])]
    blind = Asked(server)
    await blind.reply(question)
    await Asked(server, sees_images=True).reply(question)
    known = Asked(server, "openai/gpt-4o")
    await known.reply(question)
    assert (blind.model.sees_images, known.model.sees_images) == (False, True)
    unseen, seen, also = (body["messages"][0]["content"] for body in server.requests)
    assert unseen == "what is it?"
    assert seen == also
    assert seen[0] == {"type": "text", "text": "what is it?"}
    assert seen[1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def test_sees_images_can_be_set() -> None:
    model = LiteLLMModel("openai/scripted", sees_images=True)
    model.sees_images = False
    assert not model.sees_images


def test_pictures_of_tool_results_follow_all_of_the_results() -> None:
    calls = [ToolCall(id=id, name="plot", arguments="{}") for id in "ab"]
    messages = [
        Message(role="assistant", tool_calls=calls),
        Message(role="tool", text="a plot", images=[PIXEL], tool_call_id="a"),
        Message(role="tool", text="none", tool_call_id="b"),
        Message(role="assistant", text="nice"),
    ]
    wire = to_wire(messages, images=True)
    assert [turn["role"] for turn in wire] == ["assistant", "tool", "tool", "user", "assistant"]
    assert wire[0]["content"] is None
    assert [turn["role"] for turn in to_wire(messages[:3], images=True)] == ["assistant", "tool", "tool", "user"]
    assert [turn["role"] for turn in to_wire(messages, images=False)] == ["assistant", "tool", "tool", "assistant"]


async def test_lone_surrogates_do_not_break_the_request(loopback: Start) -> None:
    server = loopback(Say("fine"))
    await Asked(server).reply([Message(role="user", text="file\udcff")])
    assert server.requests[0]["messages"][0]["content"] == "file?"


BROKEN: list[tuple[Turn, str]] = [
    (RateLimit(), "rate_limited"),
    (ServerError(500), "server_error"),
    (ServerError(503), "server_error"),
    (ServerError(529, "overloaded"), "server_error"),
    (ServerError(500, "this is no rate limit"), "server_error"),  # litellm takes it for one
    (CutOff("half an ans"), "cut_off"),
    (Malformed(), "malformed"),
    (Malformed(body="<html>bad gateway</html>"), "malformed"),
    (Malformed(body='{"error": {"message": "overloaded", "code": 503}}'), "server_error"),
]


@both
@pytest.mark.parametrize(("turn", "status"), BROKEN, ids=[f"{status}-{i}" for i, (_, status) in enumerate(BROKEN)])
async def test_it_asks_again(loopback: Start, turn: Turn, status: str, stream: bool) -> None:
    server = loopback(turn, turn, Say("at last"))
    asked = Asked(server)
    reply = await asked.reply(stream=stream)
    assert reply.text == "at last"
    assert [attempt.status for attempt in reply.attempts] == [status, status, "ok"]
    assert [attempt.waited for attempt in reply.attempts] == [*asked.waits, 0.0]
    assert 1 <= asked.waits[0] <= 2 <= asked.waits[1] <= 3  # exponential, and up to a second of jitter
    assert all(attempt.error for attempt in reply.attempts[:2])
    assert len(server.requests) == 3  # no hidden retries of litellm or of the client under it
    assert server.requests[0] == server.requests[2]


async def test_an_answer_without_choices_is_malformed(loopback: Start) -> None:
    reply = await Asked(loopback(Malformed(body='{"choices": []}'), Say("a"))).reply()
    assert [attempt.status for attempt in reply.attempts] == ["malformed", "ok"]


@pytest.mark.parametrize("turn", [CutOff("half an ans"), CutOff("half an ans", how="ended"), Malformed("half an ans")], ids=str)
async def test_a_stream_cut_off_says_so_and_is_asked_again(loopback: Start, turn: Turn) -> None:
    asked = Asked(loopback(turn, Say("a whole answer")))
    reply = await asked.reply(stream=True)
    assert "".join(asked.shown) == f"half an ans{CUT_OFF_NOTE}a whole answer"
    assert reply.text == "a whole answer"
    assert reply.attempts[0].status == ("malformed" if isinstance(turn, Malformed) else "cut_off")


async def test_no_note_where_nothing_was_shown_or_nothing_is_asked_again(loopback: Start) -> None:
    asked = Asked(loopback(ServerError(), Say("answer"), CutOff("half", how="ended")), retries=1)
    await asked.reply(stream=True)
    assert "".join(asked.shown) == "answer"
    last = Asked(loopback(CutOff("half", how="ended")), retries=0)
    assert "before a finish reason" in str(await last.error(stream=True))
    assert "".join(last.shown) == "half"


async def test_retry_after_is_honoured_within_bounds(loopback: Start) -> None:
    then = email.utils.formatdate(time.time() + 30, usegmt=True)
    past = email.utils.formatdate(time.time() - 30, usegmt=True)
    script = [RateLimit("7"), RateLimit(0.5), RateLimit(3600), ServerError(503, retry_after=2), RateLimit(then), RateLimit(past), Say("a")]
    asked = Asked(loopback(*script), max_wait=60, retries=6)
    reply = await asked.reply()
    assert asked.waits[:4] == [7, 0.5, 60, 2]
    assert 20 < asked.waits[4] <= 30
    assert asked.waits[5] == 0
    assert [attempt.waited for attempt in reply.attempts] == [*asked.waits, 0]


async def test_nonsense_in_retry_after_is_ignored(loopback: Start) -> None:
    asked = Asked(loopback(RateLimit("soon"), Say("a")))
    await asked.reply()
    assert 1 <= asked.waits[0] <= 2


async def test_backoff_is_bounded(loopback: Start) -> None:
    asked = Asked(loopback(*[ServerError()] * 6, Say("a")), retries=6, max_wait=3)
    await asked.reply()
    assert max(asked.waits) == 3


@both
async def test_giving_up_tells_every_attempt(loopback: Start, stream: bool) -> None:
    server = loopback(RateLimit(1), ServerError(502, "bad gateway"), ServerError(500, "the server broke"))
    error = await Asked(server, retries=2).error(stream=stream)
    assert [attempt.status for attempt in error.attempts] == ["rate_limited", "server_error", "server_error"]
    assert error.kind == "model"
    assert error.message == f"openai/scripted at {server.base_url} failed 3 times, last with HTTP 500: the server broke"


async def test_a_lasting_rate_limit_has_a_hint(loopback: Start) -> None:
    error = await Asked(loopback(RateLimit(1)), retries=0).error()
    assert "failed with HTTP 429: slow down" in error.message
    assert "fewer" in error.hint


@both
@pytest.mark.parametrize(
    ("turn", "said", "hint"),
    [
        (Refuse(400, "temperature is too hot"), "HTTP 400: temperature is too hot", ""),
        (Refuse(400, "unknown parameter rate_limit"), "HTTP 400: unknown parameter", ""),  # litellm takes it for a 429
        (Refuse(401, "who are you?"), "HTTP 401: who are you?", "set OPENAI_API_KEY, or pass api_key"),
        (Refuse(403, "not for you"), "HTTP 403: not for you", "may not use this model"),
        (Refuse(404, "no such model", "model_not_found"), "HTTP 404: no such model", "check the model name"),
        (Refuse(400, "This model's maximum context length is 10 tokens"), "HTTP 400: This model's", "context window"),
        (Refuse(429, "You exceeded your current quota, check your plan and billing details"), "HTTP 429: You exceeded", "no credit"),
    ],
    ids=["400", "400-rate-limit", "401", "403", "404", "context", "quota"],
)
async def test_what_is_not_asked_again(loopback: Start, turn: Turn, said: str, hint: str, stream: bool) -> None:
    server = loopback(turn, Say("never asked for"))
    asked = Asked(server)
    error = await asked.error(stream=stream)
    assert (len(server.requests), asked.waits) == (1, [])
    assert [attempt.status for attempt in error.attempts] == ["refused"]
    assert f"openai/scripted at {server.base_url} failed with {said}" in error.message
    assert hint in error.hint


@both
async def test_a_timeout_is_asked_again(loopback: Start, stream: bool) -> None:
    server = loopback(SlowFirstByte(), Say("in time"))
    reply = await Asked(server, timeout=0.5).reply(stream=stream)
    assert reply.text == "in time"
    assert [attempt.status for attempt in reply.attempts] == ["timeout", "ok"]
    assert reply.attempts[0].seconds >= 0.4


async def test_a_lasting_timeout(loopback: Start) -> None:
    error = await Asked(loopback(SlowFirstByte(), SlowFirstByte()), timeout=0.1, retries=1).error()
    assert error.message.endswith("failed 2 times, last with timeout: nothing came for 0.1 s")
    assert "raise timeout" in error.hint


@both
async def test_no_server(loopback: Start, stream: bool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening: nobody else can get the port meanwhile
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        asked = Asked(loopback(), base_url=url, retries=1)
        error = await asked.error(stream=stream)
    assert [attempt.status for attempt in error.attempts] == ["connection", "connection"]
    assert f"openai/scripted at {url} failed 2 times, last with connection: " in error.message
    assert error.hint == f"is the server up at {url}?"


@pytest.mark.parametrize(("name", "hint"), [("scripted", "openai/NAME"), ("nobody/scripted", "openai/NAME")])
async def test_a_name_without_a_known_provider(loopback: Start, name: str, hint: str) -> None:
    error = await Asked(loopback(), name).error()
    assert "LLM Provider NOT provided" in error.message
    assert hint in error.hint


@both
@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("openai/gpt-4o-mini", "OPENAI_API_KEY"),
        ("anthropic/claude-3-5-haiku-20241022", "ANTHROPIC_API_KEY"),
        ("gemini/gemini-2.0-flash", "GEMINI_API_KEY"),
    ],
)
async def test_no_key_and_no_base_url(loopback: Start, name: str, variable: str, stream: bool) -> None:
    asked = Asked(loopback(), name, base_url=None)
    error = await asked.error(stream=stream)
    assert variable in error.hint
    assert error.message.startswith(f"{name} at the API of {name.partition('/')[0]} failed with refused: Missing")
    assert asked.waits == []


async def test_a_package_the_provider_needs(loopback: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google", None)
    error = await Asked(loopback(), "vertex_ai/gemini-2.0-flash", base_url=None).error()
    assert [attempt.status for attempt in error.attempts] == ["refused"]
    assert "google" in error.message
    assert error.hint == "install what this provider needs"


async def test_which_key_is_sent(loopback: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server = loopback(*[Say("a")] * 3)
    await Asked(server).reply()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    await Asked(server).reply()
    await Asked(server, api_key=KEY).reply()
    sent = [headers["authorization"] for headers in server.headers]
    assert sent == ["Bearer none", "Bearer sk-from-the-environment", f"Bearer {KEY}"]


@pytest.fixture
def everything_said(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    yield lambda: "".join(capfd.readouterr())


@both
@pytest.mark.parametrize("where", ["argument", "environment", "header"])
async def test_no_key_in_any_message(
    loopback: Start, monkeypatch: pytest.MonkeyPatch, everything_said: Callable[[], str], where: str, stream: bool
) -> None:
    secret = "Zq8-very-private-0123456789"
    quoting = f"Incorrect API key provided: {secret}. Headers were: Authorization: Bearer {secret}"
    server = loopback(ServerError(500, quoting), Malformed(body=f"<html>{secret}</html>"), Refuse(401, quoting))
    options: dict[str, Any] = {}
    if where == "argument":
        options["api_key"] = secret
    elif where == "environment":
        monkeypatch.setenv("OPENAI_API_KEY", secret)
    else:
        options["extra"] = {"extra_headers": {"Authorization": f"Bearer {secret}"}}
    asked = Asked(server, **options)
    error = await asked.error(stream=stream)
    told = [str(error), repr(error), repr(asked.model), *traceback.format_exception(error), *(a.error for a in error.attempts)]
    assert "Incorrect API key provided: ***" in error.message
    assert secret not in "".join(told) + everything_said()


async def test_a_key_of_unknown_origin_is_recognised_by_its_shape(loopback: Start) -> None:
    error = await Asked(loopback(Refuse(401, f"Incorrect API key provided: {KEY}"))).error()
    assert KEY not in str(error)


async def test_neither_user_nor_query_of_the_url_is_told(loopback: Start) -> None:
    server = loopback(Refuse(404, "gone"))
    asked = Asked(server, base_url=server.base_url.replace("//", "//me:pass@"))
    error = await asked.error()
    assert "pass@" not in str(error)
    assert server.base_url in error.message


@both
async def test_litellm_is_silent(loopback: Start, everything_said: Callable[[], str], stream: bool) -> None:
    asked = Asked(loopback(ServerError(), CutOff("half"), Malformed("half"), Refuse(400, "no")))
    await asked.error(stream=stream)
    await Asked(loopback(Say("a"))).reply(stream=stream)
    assert everything_said() == ""


async def test_an_error_of_the_listener_is_not_the_models(loopback: Start) -> None:
    server = loopback(Say("hello"), Say("hello"))

    def listen(text: str) -> None:
        raise ZeroDivisionError(text)

    with pytest.raises(ZeroDivisionError):
        await Asked(server).model.reply(HELLO, on_text=listen)
    assert len(server.requests) == 1


async def test_it_can_be_interrupted(loopback: Start) -> None:
    slow = SlowFirstByte()
    server = loopback(slow)
    task = asyncio.create_task(Asked(server).reply())
    while not server.requests:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_the_caller_is_handling_is_not_ours(loopback: Start) -> None:
    asked = Asked(loopback(Refuse(400, "no")))
    try:
        raise TimeoutError("of the caller")
    except TimeoutError:
        error = await asked.error()
    assert [attempt.status for attempt in error.attempts] == ["refused"]


async def test_many_at_once(loopback: Start) -> None:
    server = loopback(*[Say("a")] * 20)
    asked = Asked(server)
    replies = await asyncio.gather(*(asked.reply(stream=bool(i % 2)) for i in range(20)))
    assert [reply.text for reply in replies] == ["a"] * 20


async def test_an_unscripted_request_says_so(loopback: Start) -> None:
    error = await Asked(loopback(), retries=0).error()
    assert "unscripted: request 1, but the script has 0 turns" in error.message


def test_it_can_be_asked_in_one_event_loop_after_another(loopback: Start) -> None:
    # connections that a client still has end with the loop they were opened in
    async def ask() -> list[str]:
        servers = [loopback(Raw('{"error": "no"}', 400, "application/json")) for _ in range(3)]
        errors = [
            await Asked(server, "anthropic/m", base_url=server.base_url.removesuffix("/v1"), api_key="k").error(stream=True)
            for server in servers
        ]
        assert [len(server.requests) for server in servers] == [1, 1, 1], errors
        return [error.attempts[-1].status for error in errors]

    assert [asyncio.run(ask()) for _ in range(3)] == [["refused"] * 3] * 3
