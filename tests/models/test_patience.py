"""How long an answer is waited for, and what a waiting person is told meanwhile."""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.loopback import CutOff, Loopback, RateLimit, Raw, Say, ServerError, SlowFirstByte, Slowly
from tests.models.asked import HELLO, Asked
from tests.models.clock import Clock
from workbench.agents.base import LimitReached, RunLimits, World
from workbench.events import Event, ModelCalled, Noticed
from workbench.models import litellm as module
from workbench.models.base import Model, ModelError, ready
from workbench.models.caller import Caller, calling, current_caller
from workbench.models.cassette import Recorder
from workbench.models.exchange import CONNECT_SECONDS, MOST_WHOLE, Patience, TooLongError, watch
from workbench.models.litellm import LiteLLMModel

Start = Callable[..., Loopback]
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class Hearing(Caller):
    """Keeps what it hears, in order."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def noticed(self, message: str) -> None:
        self.heard.append(message)

    def preparing(self) -> None:
        self.heard.append("preparing")

    def sent(self) -> None:
        self.heard.append("sent")


def world(model: Model, seconds: float = 3600, emit: Callable[..., None] = lambda event, durable=False: None) -> World:
    return World("", "", "", False, model, None, RunLimits(seconds=seconds), emit)  # type: ignore[arg-type]


async def test_a_stream_of_twelve_minutes_arrives(loopback: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, shown = Clock(monkeypatch), queue.Queue[str]()
    count = itertools.count()

    def pause() -> None:
        if 2 <= next(count) <= 25:
            shown.get(timeout=60)  # the piece before has arrived
        clock.advance(30)

    text = "a word, " * 15
    model = LiteLLMModel("openai/scripted", base_url=loopback(Slowly(Say(text), pause)).base_url)
    reply = await model.reply(HELLO, on_text=shown.put)
    assert clock.ahead > 12 * 60
    assert (reply.text, [attempt.status for attempt in reply.attempts]) == (text, ["ok"])


async def test_a_first_byte_after_nine_minutes_arrives(loopback: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, count = Clock(monkeypatch), itertools.count()
    server = loopback(Slowly(Say("at last"), lambda: None if next(count) else clock.advance(540)))
    reply = await Asked(server).reply(stream=True)
    assert (reply.text, [attempt.status for attempt in reply.attempts]) == ("at last", ["ok"])


SILENT: list[tuple[Raw | SlowFirstByte, bool, dict[str, float], str]] = [
    (SlowFirstByte(), False, {"timeout": 0.3}, "nothing came for 0.3 s"),
    (SlowFirstByte(), True, {"timeout": 0.3}, "nothing came for 0.3 s"),
    (Raw(end="slow", content_type="text/event-stream"), True, {"timeout": 0.3}, "nothing came for 0.3 s"),
    (Raw('{"choices": [', end="slow"), False, {"timeout": 0.3}, "the answer was not whole after 0.3 s"),
    (Raw(": wait\n\n", end="slow", content_type="text/event-stream"), True, {"idle_timeout": 0.3}, "nothing more came for 0.3 s"),
]


@pytest.mark.parametrize(("turn", "stream", "limits", "said"), SILENT, ids=["none", "none-streamed", "headers", "half", "half-streamed"])
async def test_silence_is_asked_again_and_the_reason_shown_before_the_wait(
    loopback: Start, turn: Raw, stream: bool, limits: dict[str, float], said: str
) -> None:
    hearing = Hearing()
    asked = Asked(loopback(turn, Say("at last")), **limits)

    async def sleep(seconds: float) -> None:
        hearing.heard.append(f"waits {seconds:.1f} s")

    asked.model._sleep = sleep
    with calling(hearing):
        reply = await asked.reply(stream=stream)
    assert reply.text == "at last"
    begun, sent, noticed, waits, again = hearing.heard
    assert (begun, sent, again) == ("preparing", "sent", "sent")
    assert noticed == f"openai/scripted failed with timeout: {said}; asking again in {waits.removeprefix('waits ')}, attempt 2 of 6"


@pytest.mark.parametrize("name", ["timeout", "idle_timeout"])
async def test_the_hint_names_the_option_to_raise(loopback: Start, name: str) -> None:
    turn = Raw(": wait\n\n", end="slow", content_type="text/event-stream") if name == "idle_timeout" else SlowFirstByte()
    error = await Asked(loopback(turn), retries=0, **{name: 0.2}).error(stream=True)
    assert f"--model-option {name}=0.4" in error.hint


@both
async def test_stream_decides_whether_a_reply_is_streamed(loopback: Start, stream: bool) -> None:
    server = loopback(Say("a whole answer"), Say("a whole answer"))
    asked = Asked(server, stream=stream)
    await asked.reply(stream=False)
    await asked.reply(stream=True)
    assert [body.get("stream", False) for body in server.requests] == [stream, stream]
    assert "".join(asked.shown) == "a whole answer"
    assert (len(asked.shown) == 1) is not stream


async def test_connecting_has_a_limit_of_its_own() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"])
        raise httpx.ConnectTimeout("no answer")

    limits: list[dict[str, float | None]] = []
    for first in (600.0, 5.0):
        with watch(Patience(first, 120, streamed=True)) as exchanges:
            async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
                with pytest.raises(httpx.ConnectTimeout):
                    await client.get("http://models.example")
        assert exchanges[0].fault == "connection"
    assert [each["connect"] for each in limits] == [CONNECT_SECONDS, 5]
    assert not [value for each in limits for name, value in each.items() if name != "connect" and value is not None]


@both
async def test_an_answer_that_is_far_too_long_is_not_read(loopback: Start, stream: bool) -> None:
    body = b'{"id": "c", "choices": [{"index": 0, "delta": {"content": "' + b"a" * (30 * 2**20)
    turn = Raw(b"data: " + body if stream else body)
    server = loopback(turn, turn)
    error = await Asked(server).error(stream=stream)
    assert "the answer is longer than 8 MiB" in error.message
    assert len(server.requests) == 1


async def test_a_text_that_is_far_too_long_is_no_reply(loopback: Start) -> None:
    error = await Asked(loopback(Say("a" * (3 * 2**20)))).error()
    assert "the answer is longer than 2 MiB" in error.message


def test_the_longest_that_is_accepted_is_longer_than_any_reply() -> None:
    with pytest.raises(TooLongError):
        module.check_length(MOST_WHOLE + 1, MOST_WHOLE)


async def test_retries_are_recorded_as_they_happen_through_a_recorder_too(loopback: Start, tmp_path: Path) -> None:
    events: list[Event] = []
    server = loopback(RateLimit(retry_after=7), ServerError(503, "overloaded"), CutOff("half"), Say("fine"))
    asked = Asked(server)
    given = world(Recorder(asked.model, tmp_path / "cassette.jsonl"), emit=lambda event, durable=False: events.append(event))
    assert (await given.ask(HELLO)).text == "fine"
    *notices, called = events
    assert isinstance(called, ModelCalled)
    assert {(event.event, getattr(event, "kind", "")) for event in notices} == {("noticed", "model")}
    told = [event.message for event in notices if isinstance(event, Noticed)]
    assert told[0] == "openai/scripted failed with HTTP 429: slow down; asking again in 7.0 s, attempt 2 of 6"
    assert "HTTP 503: overloaded" in told[1]
    assert "cut off: the connection closed before the answer was whole" in told[2]


async def test_no_key_is_noticed(loopback: Start) -> None:
    hearing = Hearing()
    with calling(hearing):
        await Asked(loopback(ServerError(500, "key sk-abcdefghijklmnopqrstuvwxyz failed"), Say("fine"))).reply()
    assert "key *** failed" in hearing.heard[2]


async def test_neither_clock_counts_what_workbench_does_before_the_request(loopback: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    load = module._litellm

    def slow() -> object:
        clock.advance(300)
        return load()

    monkeypatch.setattr(module, "_litellm", slow)
    monkeypatch.setattr(LiteLLMModel, "sees_images", False)
    events: list[Event] = []
    given = world(Asked(loopback(Say("fine"))).model, seconds=120, emit=lambda event, durable=False: events.append(event))
    assert (await given.ask(HELLO)).text == "fine"
    assert clock.ahead == 300
    assert given.left() > 0
    (called,) = events
    assert isinstance(called, ModelCalled)
    assert called.seconds < 120


async def test_the_clock_runs_once_the_request_is_sent(loopback: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    given = world(Asked(loopback(Slowly(Say("late"), lambda: clock.advance(130))), stream=True).model, seconds=120)
    with pytest.raises(LimitReached) as reached:
        await given.ask(HELLO)
    assert reached.value.limit == "seconds"


async def test_a_request_that_cannot_be_prepared_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.agents.base.PREPARATION_SECONDS", 0.1)
    with pytest.raises(ModelError, match="no request to stuck could be made"):
        await world(Stuck()).ask(HELLO)


class Stuck:
    """A model that never gets to its request."""

    name, sees_images = "stuck", False

    async def reply(self, messages: object, *, tools: object = (), on_text: object = None) -> None:
        import asyncio

        current_caller().preparing()
        await asyncio.Event().wait()


class Made:
    """A model of one's own, with something that is called ready."""

    name, sees_images = "made", False

    def __init__(self, prepare: object) -> None:
        self.ready = prepare

    async def reply(self, messages: object, *, tools: object = (), on_text: object = None) -> None:
        """Never asked here."""


async def test_a_model_can_be_made_ready_and_need_not(tmp_path: Path) -> None:
    async def prepare() -> None:
        done.append("ready")

    async def fail() -> None:
        raise OSError("no weights")

    done: list[str] = []
    for other in (True, None, "yes", lambda: done.append("called")):
        await ready(Made(other))  # type: ignore[arg-type]
    assert done == []
    await ready(Made(prepare))  # type: ignore[arg-type]
    await ready(Recorder(Made(prepare), tmp_path / "cassette.jsonl"))  # type: ignore[arg-type]
    assert done == ["ready", "ready"]
    with pytest.raises(ModelError, match="made cannot be made ready: OSError: no weights"):
        await ready(Made(fail))  # type: ignore[arg-type]
