"""Functions as models."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import UsageError
from workbench.messages import Message, Reply, Tool
from workbench.models.base import Model, ModelError
from workbench.models.function import FunctionModel, load_function

HELLO = [Message(role="user", text="hello")]


def shout(messages: list[Message]) -> str:
    return messages[-1].text.upper()


async def shout_later(messages: list[Message]) -> Reply:
    return Reply(text=shout(messages), finish_reason="length")


class Shouter:
    async def __call__(self, messages: list[Message]) -> str:
        return shout(messages)

    def method(self, messages: list[Message]) -> str:
        return shout(messages)


def broken(messages: list[Message]) -> str:
    raise ZeroDivisionError("by nought")


async def broken_later(messages: list[Message]) -> str:
    raise ZeroDivisionError("by nought")


@pytest.mark.parametrize("function", [shout, shout_later, Shouter(), Shouter().method, lambda messages: Reply(text="HELLO")])
async def test_functions_of_every_kind(function: Callable[[list[Message]], Any]) -> None:
    shown: list[str] = []
    reply = await FunctionModel(function).reply(tuple(HELLO), tools=[Tool(name="t", description="", parameters={})], on_text=shown.append)
    assert reply.text == "HELLO"
    assert reply.cost_usd is None
    assert shown == ["HELLO"]


async def test_a_reply_is_passed_on_whole() -> None:
    assert (await FunctionModel(shout_later).reply(HELLO)).finish_reason == "length"


def test_names() -> None:
    assert isinstance(FunctionModel(shout), Model)
    assert FunctionModel(shout).name == "function:tests.models.test_function:shout"
    assert FunctionModel(Shouter()).name == "function:tests.models.test_function:Shouter"
    assert FunctionModel(shout, "loud").name == "loud"
    assert not FunctionModel(shout).sees_images
    assert FunctionModel(shout, sees_images=True).sees_images


async def test_a_sync_function_does_not_block_the_event_loop() -> None:
    threads: list[threading.Thread] = []

    def where(messages: list[Message]) -> str:
        threads.append(threading.current_thread())
        return ""

    await FunctionModel(where).reply(HELLO)
    assert threads[0] is not threading.current_thread()


@pytest.mark.parametrize("function", [broken, broken_later])
async def test_an_exception_names_the_function(function: Callable[[list[Message]], Any]) -> None:
    with pytest.raises(ModelError) as caught:
        await FunctionModel(function, "fraction").reply(HELLO)
    where = f"the function tests.models.test_function:{function.__name__} of model 'fraction'"
    assert caught.value.message == f"{where} raised ZeroDivisionError: by nought"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_a_script_that_runs_out() -> None:
    script = iter(["only one"])
    model = FunctionModel(lambda messages: next(script))
    assert (await model.reply(HELLO)).text == "only one"
    with pytest.raises(ModelError, match=r"raised StopIteration$"):
        await model.reply(HELLO)


async def test_a_model_error_of_the_function_is_passed_on() -> None:
    error = ModelError("tired", hint="let it rest")

    def tired(messages: list[Message]) -> str:
        raise error

    with pytest.raises(ModelError) as caught:
        await FunctionModel(tired).reply(HELLO)
    assert caught.value is error


@pytest.mark.parametrize(
    ("answer", "said"),
    [(None, r"returned nothing \(None\) .* \(is a return statement missing\?\)"), (4, "returned int 4 where text or a Reply is expected")],
)
async def test_a_wrong_answer(answer: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        await FunctionModel(lambda messages: answer).reply(HELLO)


def test_no_function() -> None:
    with pytest.raises(UsageError, match="needs a function, not str 'shout'"):
        FunctionModel("shout")  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["", "function:"])
async def test_loading(prefix: str) -> None:
    assert load_function(f"{prefix}tests.models.test_function:shout") is shout
    method: object = load_function(f"{prefix}tests.models.test_function:Shouter.method")
    assert method is Shouter.method


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("json", "'json' names no function"),
        ("function:json", "names no function"),
        (":dumps", "names no function"),
        ("json:", "names no function"),
        ("no_such_module:f", "there is no module 'no_such_module'"),
        ("json.no_such:f", "there is no module 'json.no_such'"),
        ("json:dump_all", r"the module 'json' has no 'dump_all' \(did you mean 'dump'\?\)"),
        ("json:dumps.nothing", "'dumps' of the module 'json' has no 'nothing'"),
        ("json:__name__", "is no function but str 'json'"),
        (".x:f", "importing '.x' for '.x:f' raised TypeError"),
    ],
)
def test_loading_what_is_not_there(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_function(spec)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 / 0", "raised ZeroDivisionError"),
        ("exit(3)", "raised SystemExit: 3"),
        ("import no_such_thing", "raised ModuleNotFoundError: No module named 'no_such_thing'"),
    ],
)
def test_loading_a_module_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str) -> None:
    (tmp_path / "failing_model.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=rf"importing 'failing_model' for 'failing_model:f' {said}"):
        load_function("failing_model:f")
