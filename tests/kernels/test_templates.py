"""Templates for E2B: what they are built from, against the stand-in for the service. No image is built there."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.responses import HTMLResponse, JSONResponse, Response

from tests.e2b_standin import KEY, StandIn, refused
from workbench.errors import SandboxError
from workbench.kernels import environments, templates
from workbench.kernels.environments import Environment

MINIMAL = environments.find("python-min")


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with StandIn(tmp_path / "service", {}, built=MINIMAL) as standin:
        monkeypatch.setenv("E2B_API_KEY", KEY)
        monkeypatch.setenv("E2B_API_URL", standin.url)
        yield standin


async def test_a_template_holds_the_lock_with_its_hashes(service: StandIn) -> None:
    name = await templates.build(MINIMAL)
    (build,) = service.builds.values()
    assert build["name"] == name
    assert build["steps"]["fromImage"] == f"python:{sys.version_info.major}.{sys.version_info.minor}"
    copy, run = build["steps"]["steps"]
    assert (copy["type"], copy["args"][0]) == ("COPY", "requirements.lock")
    assert run["type"] == "RUN"
    assert all(option in run["args"][0] for option in ("--require-hashes", "--only-binary :all:", f"{templates.PREFIX}/bin/python"))


async def test_a_template_that_is_there_is_not_built_again(service: StandIn) -> None:
    assert await templates.build(MINIMAL) == await templates.build(MINIMAL)
    assert len(service.builds) == 1


def test_another_lock_is_another_template(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_bytes(MINIMAL.lock.read_bytes() + b"# other\n")
    assert templates.name(replace(MINIMAL, lock=lock)) != templates.name(MINIMAL)
    assert templates.name(replace(MINIMAL, prefix=tmp_path)) == templates.name(MINIMAL)


async def test_the_log_is_heard_and_a_build_that_fails_says_why(service: StandIn) -> None:
    service.failing = "no matching distribution"
    lines: list[str] = []
    with pytest.raises(SandboxError, match="no matching distribution"):
        await templates.build(MINIMAL, on_line=lines.append)
    assert any("Requesting build" in line for line in lines)


async def test_without_a_key_nothing_is_built(service: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2B_API_KEY", "e2b_" + "0" * 40)
    with pytest.raises(SandboxError, match="does not accept the key"):
        await templates.build(MINIMAL)
    monkeypatch.delenv("E2B_API_KEY")
    with pytest.raises(SandboxError, match="E2B_API_KEY is not set"):
        await templates.build(MINIMAL)
    assert service.builds == {}


_PAGE = HTMLResponse("<html><head><title>404 Not Found</title></head><body></body></html>", 404)


@pytest.mark.parametrize(
    ("method", "path", "answer", "said"),
    [
        (
            "GET",
            "/templates/aliases/",
            _PAGE,
            r"GET http://\S+/workbench-\S+ was answered with status 404 and 404 Not Found",
        ),
        ("GET", "/templates/aliases/", Response(status_code=404), r"/templates/aliases/\S+ was answered with status 404 and an empty body"),
        ("GET", "/templates/aliases/", Response(status_code=200), "an empty body"),
        ("GET", "/templates/aliases/", JSONResponse({"detail": "Not Found"}, 404), "status 404 and .*Not Found"),
        ("GET", "/templates/aliases/", JSONResponse([], 404), "status 404 and \\[\\]"),
        ("POST", "/v3/templates", _PAGE, "http://.* 404"),
        ("POST", "/v3/templates", refused(404, "no such path"), "http://.* refused the request with 404: no such path"),
        ("POST", "/v3/templates", refused(500, "internal"), "500.*internal"),
        ("POST", "/v2/templates/", _PAGE, "http://.* 404"),
        ("GET", "/templates/", _PAGE, "http://.* 404"),
    ],
)
async def test_a_server_without_templates_is_an_error_that_names_what_was_asked(
    service: StandIn, method: str, path: str, answer: Response, said: str
) -> None:
    service.fail(method, path, answer)
    with pytest.raises(SandboxError, match=said) as caught:
        await templates.build(MINIMAL)
    assert templates.name(MINIMAL) in str(caught.value)
    assert caught.value.hint is not None and "E2B_API_URL" in caught.value.hint
    assert not re.search(r"<|b'|\n|JSONDecodeError", str(caught.value))


def test_the_definition_reads_as_a_dockerfile() -> None:
    from e2b import Template

    text = Template.to_dockerfile(templates.definition(MINIMAL))
    assert text.startswith("FROM python:")
    assert "COPY requirements.lock" in text
    assert json.loads(Template.to_json(templates.definition(MINIMAL)))["steps"]


def test_environments_share_nothing_but_the_way_they_are_made(minimal: Environment, ds: Environment) -> None:
    assert templates.name(minimal) != templates.name(ds)
