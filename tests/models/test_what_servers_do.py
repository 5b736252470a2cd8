"""What becomes of everything that a server can do: the rows of a table in docs/models.md, each of which is tried here."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.loopback import Call, CutOff, HangUp, Loopback, Malformed, RateLimit, Raw, Refuse, Say, ServerError, SlowFirstByte, Turn
from tests.models.asked import HELLO, Asked
from workbench.agents.base import LimitReached, RunLimits, World
from workbench.events import ModelCalled, Noticed
from workbench.messages import Attempt
from workbench.models.base import ModelError

DOCS = Path(__file__).parents[2] / "docs" / "models.md"
STREAM = "text/event-stream"
SHORT = {"timeout": 0.3, "idle_timeout": 0.3}
AGAIN, ERROR, CONTEXT, REPLY = "yes", "error of kind `model`, not graded", "limit `context`, graded", "goes on"


def event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def chunk(delta: dict[str, Any], reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return event({"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]})


HALF = chunk({"content": "half"})
NONSENSE = {"prompt_tokens": 2**70, "completion_tokens": -1, "total_tokens": 7}


@dataclass(frozen=True)
class Case:
    """Something that a server does, how the attempt is recorded, and what the run does if the server keeps doing it."""

    server: str
    turn: Turn | None
    """None if nobody listens."""
    status: str
    again: str
    run: str
    stream: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def row(self) -> str:
        return f"| {self.server} | `{self.status}` | {self.again} | {self.run} |"


def broken(server: str, turn: Turn | None, status: str, **more: Any) -> Case:
    return Case(server, turn, status, AGAIN, ERROR, **more)


def refused(server: str, turn: Turn, **more: Any) -> Case:
    return Case(server, turn, "refused", "no", ERROR, **more)


def full(server: str, turn: Turn, **more: Any) -> Case:
    return Case(server, turn, "refused", "no", CONTEXT, **more)


def fine(server: str, turn: Turn, **more: Any) -> Case:
    return Case(server, turn, "ok", "no", REPLY, **more)


CASES = [
    broken("refuses the connection", None, "connection"),
    refused("refuses the request: 400, 401, 403, 404, 422", Refuse(401, "who are you?")),
    refused("has an account without credit: 402, 429", Refuse(429, "you exceeded your current quota, check your plan and billing details")),
    broken("limits the rate: 429", RateLimit(retry_after=0), "rate_limited"),
    broken("gives up: 408", ServerError(408, "too late"), "timeout"),
    broken("fails: 500, 502, 503, 504, 529", ServerError(503, "overloaded"), "server_error"),
    broken("hangs before the first byte", SlowFirstByte(), "timeout", options=SHORT),
    broken("hangs after the headers of a stream", Raw(content_type=STREAM, end="slow"), "timeout", stream=True, options=SHORT),
    broken("hangs within a stream", Raw(HALF, content_type=STREAM, end="slow"), "timeout", stream=True, options=SHORT),
    broken("hangs within a reply that is not streamed", Raw('{"choices": [', end="slow"), "timeout", options=SHORT),
    broken("closes or resets the connection without an answer", HangUp("reset"), "cut_off"),
    broken("cuts off a reply that is not streamed", CutOff("half an answer"), "cut_off"),
    broken("cuts off a stream", CutOff("half an answer"), "cut_off", stream=True),
    broken("ends a stream before its finish reason", CutOff("half an answer", how="ended"), "cut_off", stream=True),
    fine(
        "cuts off a stream after its finish reason",
        Raw(chunk({"content": "all"}) + chunk({}, "stop"), content_type=STREAM, end="reset"),
        stream=True,
    ),
    broken("answers with a page, or with half of a JSON document", Malformed(body="<html>bad gateway</html>"), "malformed"),
    broken("sends an event that is not JSON", Malformed("half"), "malformed", stream=True),
    broken("sends an error in a stream, or with status 200", Raw(HALF + event({"error": {"message": "it broke"}}), content_type=STREAM),
           "server_error", stream=True),
    broken("sends only a message in a stream, and no finish reason", Raw(HALF + event({"message": "it broke"}), content_type=STREAM),
           "server_error", stream=True),
    refused("answers with more than 8 MiB, or with more than 2 MiB of text", Say("a" * (3 * 2**20))),
    full("has no room left: code `context_length_exceeded` and the like", Refuse(400, "too long", "context_length_exceeded")),
    full("has no room left: the words of llama.cpp, llama-cpp-python, LM Studio, Ollama, vLLM, SGLang, TGI and hosted models, "
         "with 400, 413, 422 or 500", ServerError(500, "Context size has been exceeded.")),
    full("has no room left, and says so in a stream",
         Raw(HALF + event({"error": {"code": 500, "message": "Context size has been exceeded."}}), content_type=STREAM), stream=True),
    full("takes no request of this size: 413", Raw("<html>413 Request Entity Too Large</html>", 413, "text/html")),
    fine("answers in text", Say("fine")),
    fine("answers in text, streamed", Say("fine"), stream=True),
    fine("answers with reasoning beside its text", Say("fine", reasoning="let me think")),
    fine("answers with a tool call", Call("execute_python", {"code": "1"})),
    fine("answers with a tool call, streamed", Call("execute_python", {"code": "1"}), stream=True),
    fine("answers with a tool call whose arguments are not JSON", Call("execute_python", '{"code": ')),
    fine("answers with nothing", Say("")),
    fine("stops at the token limit", Say("half of the", finish_reason="length")),
    fine("counts no tokens, or more than there can be", Say("fine", usage=NONSENSE)),
]  # fmt: skip


async def _outcome(case: Case, base_url: str, loopback: Loopback) -> tuple[str, list[Attempt], list[Any]]:
    events: list[Any] = []
    model = Asked(loopback, base_url=base_url, **{"retries": 1, "stream": case.stream, **case.options}).model
    world = World("", "", "", False, model, None, RunLimits(), lambda event, durable=False: events.append(event))  # type: ignore[arg-type]
    try:
        attempts = (await world.ask(HELLO)).attempts
        run = REPLY
    except LimitReached as reached:
        run, attempts = f"limit `{reached.limit}`, graded", events[-1].attempts
    except ModelError as error:
        run, attempts = ERROR, error.attempts
    return run, attempts, events


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.server)
async def test_what_becomes_of_it(loopback: Callable[..., Loopback], case: Case) -> None:
    server = loopback(*([case.turn] * 2 if case.turn else []))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # nobody listens there
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        run, attempts, events = await _outcome(case, server.base_url if case.turn else nowhere, server)
    tries = 2 if case.again == AGAIN else 1
    assert run == case.run
    assert [attempt.status for attempt in attempts] == [case.status] * tries
    assert not case.turn or len(server.requests) == tries
    assert [type(event) for event in events] == [Noticed] * (tries - 1) + [ModelCalled]


def test_the_table_in_the_documentation_is_this_one() -> None:
    head = "| the server | the attempt | is it asked again? | if it stays so, the run |\n| --- | --- | --- | --- |\n"
    table = re.search(re.escape(head) + r"((?:\|.*\n)*)", DOCS.read_text(encoding="utf-8"))
    assert table is not None
    assert table[1].splitlines() == [case.row for case in CASES]
