"""Base URLs: right at once, or refused before anything is sent."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Callable

import pytest

from tests.commands import workbench
from tests.loopback import Loopback, Raw, Say
from tests.models.asked import Asked
from workbench.errors import UsageError
from workbench.models.base_url import BaseUrl
from workbench.models.litellm import LiteLLMModel

Start = Callable[..., Loopback]
PASSWORD = "geheim-0123"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        (" http://127.0.0.1:8000/v1/\n", "http://127.0.0.1:8000/v1"),
        ("HTTPS://Models.Example//", "https://models.example"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://bücher.example/v1", "http://xn--bcher-kva.example/v1"),
        ("http://my_service:80/v1", "http://my_service:80/v1"),
        ("http://host.:80", "http://host.:80"),
        ("http://host:/v1", "http://host/v1"),
        ("http://@host/v1", "http://host/v1"),
    ],
)
def test_what_can_be_asked(given: str, url: str) -> None:
    assert BaseUrl.parse(given).url == url
    assert BaseUrl.parse(given).authorization is None


REFUSED = {
    "": "does not begin with http",
    "localhost:8000/v1": "does not begin with http",
    "/v1": "does not begin with http",
    "ftp://host/v1": "does not begin with http",
    "http:/host": "does not begin with http",
    "http://": "no host",
    "http:///v1": "no host",
    "http://:8000/v1": "no host",
    "http://a b/v1": "a space",
    "http://host\\v1": "a backslash",
    "http://host/\x07": "no URL can have",
    "http://host/\udcff": "no URL can have",
    "http://host:0/v1": "port",
    "http://host:65536/v1": "port",
    f"http://host:{'9' * 5000}/v1": "port",
    "http://host:eighty/v1": "port",
    "http://host:80:90/v1": "port",
    "http://::1:8000/v1": "port",
    "http://[::1/v1": "IPv6",
    "http://[fe80::1%25eth0]/v1": "IPv6",
    "http://300.1.1.1/v1": "IPv4",
    "http://a..b/v1": "host name",
    "http://-a/v1": "host name",
    "http://a%20b/v1": "host name",
    "http://☃/v1": "host name",
    "http://xn--a/v1": "host name",
    "http://host/v1?api-version=1": "a query",
    "http://host/v1#models": "a fragment",
}


@pytest.mark.parametrize(("given", "says"), REFUSED.items(), ids=[repr(given)[:40] for given in REFUSED])
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(given: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        LiteLLMModel("openai/scripted", base_url=given)
    assert caught.value.kind == "user"
    assert len(str(caught.value)) < 600


def test_a_forgotten_scheme_is_shown_in_its_place() -> None:
    with pytest.raises(UsageError) as caught:
        BaseUrl.parse("localhost:8000/v1")
    assert caught.value.hint == "write http://localhost:8000/v1"


@pytest.mark.parametrize(
    "given",
    [
        f"ftp://me:{PASSWORD}@host/v1",
        f"me:{PASSWORD}@host/v1",
        f"http://me:{PASSWORD}@host:99999/v1",
        f"http://me:{PASSWORD}/x@host/v1",
        f"http://me:{PASSWORD}?x@host/v1",
        f"http://me:{PASSWORD}#x@host/v1",
        f"http://me:{PASSWORD}@x@host:0/v1",
        f"http://me:{PASSWORD}℀@host/v1",
        f"http://me:{PASSWORD} @host/v1",
        f"http://me:{PASSWORD}\udcff@host/v1",
        f"http://me:{PASSWORD}@[::1/v1",
        f"http://host/v1?key={PASSWORD}",
    ],
)
def test_no_password_is_quoted(given: str) -> None:
    with pytest.raises(UsageError) as caught:
        LiteLLMModel("openai/scripted", base_url=given)
    error = caught.value
    assert PASSWORD not in "".join([str(error), repr(error), *traceback.format_exception_only(error)])
    assert error.__cause__ is None
    assert error.__context__ is None


both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@both
@pytest.mark.parametrize("name", ["openai/scripted", "anthropic/scripted", "ollama_chat/scripted"])
async def test_user_and_password_are_sent_once_as_basic_authentication(loopback: Start, name: str, stream: bool) -> None:
    token = base64.b64encode(f"me:{PASSWORD}/@".encode()).decode()
    server = loopback(Raw(f'{{"error": "who is me:{PASSWORD}/@, or {token}?"}}', 401))
    written = server.base_url.replace("//", f"//me:{PASSWORD}%2F%40@")
    asked = Asked(server, name, base_url=written if name.startswith("openai/") else written.removesuffix("/v1"))
    error = await asked.error(stream=stream)
    assert [headers["authorization"] for headers in server.headers] == [f"Basic {token}"]
    told = [str(error), repr(asked.model), str(vars(error)), *traceback.format_exception(error), *(each.error for each in error.attempts)]
    assert "who is me:***, or ***?" in error.message
    assert PASSWORD not in "".join(told)
    assert token not in "".join(told)


async def test_a_header_of_the_users_own_comes_before_the_url(loopback: Start) -> None:
    server = loopback(Say("hello"))
    extra = {"extra_headers": {"Authorization": "Bearer mine", "X-Mine": "1"}}
    await Asked(server, base_url=server.base_url.replace("//", "//me:pass@"), extra=extra).reply()
    assert (server.headers[0]["authorization"], server.headers[0]["x-mine"]) == ("Bearer mine", "1")


@pytest.mark.parametrize("where", ["option", "variable", "judge"])
def test_the_command_line_refuses_it_as_bad_usage(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    given = f"ftp://me:{PASSWORD}@127.0.0.1/v1"
    arguments = ["run", "refactoring/mistune-rename-escape", "--model", "openai/scripted"]
    if where == "option":
        arguments += ["--base-url", given]
    elif where == "variable":
        monkeypatch.setenv("WORKBENCH_BASE_URL", given)
    else:
        monkeypatch.setenv("WORKBENCH_JUDGE_BASE_URL", given)
        arguments = ["run", "refactoring/mistune-rename-escape", "--model", "nop", "--judge", "openai/scripted"]
    done = workbench(*arguments)
    said = done.stdout + done.stderr
    assert done.returncode == 2
    assert "does not begin with http:// or https://" in " ".join(said.split())
    assert PASSWORD not in said
