"""The options of models behind an API: what they are called, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.errors import UsageError
from workbench.models.base import Model
from workbench.models.function import FunctionModel
from workbench.models.litellm import LiteLLMModel
from workbench.models.options import ModelOptions, parse_pairs
from workbench.models.resolve import resolve
from workbench.models.scripted import nop

GIVEN: dict[str, Any] = {"temperature": 0.5, "max_tokens": 9, "timeout": 1200, "idle_timeout": 30, "retries": 0, "stream": True}


def found(given: Any, options: Any) -> Model:
    return resolve(given, solution=lambda: ([], None), submission_path=None, recipe=nop, options=options)


def test_what_is_written_at_the_command_line_is_what_is_passed_in_python() -> None:
    pairs = [f"{name}={value}" for name, value in GIVEN.items()]
    extra = ["extra.seed=7", "extra.reasoning_effort=low", 'extra.stop=["a", "b"]', "extra.user=NaN", "extra.a=b=c"]
    written = ModelOptions.parse(parse_pairs([*pairs, *extra]))
    values = {"seed": 7, "reasoning_effort": "low", "stop": ["a", "b"], "user": "NaN", "a": "b=c"}
    assert written == ModelOptions.parse({**GIVEN, "extra": values})
    assert written.extra == values


def test_the_defaults() -> None:
    assert ModelOptions.parse({}) == ModelOptions(timeout=600, idle_timeout=120, retries=5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("timeout", "idle_timeout") for value in (0, -1, "inf", float("nan"), "soon", True, None, "")],
        *[("temperature", value) for value in (-0.1, "inf", "hot", False)],
        *[("max_tokens", value) for value in (0, -5, 1.5, 2**70, "many", True)],
        *[("retries", value) for value in (-1, 0.5, 2**70, "often")],
        *[("stream", value) for value in ("perhaps", 2)],
        *[("extra", value) for value in (3, "seed")],
    ],
)
def test_a_value_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"the model option {name} is .*: it must be "):
        ModelOptions.parse({name: value})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("temprature", "did you mean 'temperature'?"),
        ("max-tokens", "did you mean 'max_tokens'?"),
        ("seed", "extra.NAME"),
        ("extra.timeout", "use the model option 'timeout'"),
        ("extra.messages", "set by workbench"),
        ("extra.a.b", "written as JSON"),
        ("extra.", "written as JSON"),
        ("", "there are: temperature"),
    ],
)
def test_an_unknown_name_is_refused_with_what_to_do(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        ModelOptions.parse({name: "1"})
    assert hint in refused.value.hint


def test_a_pair_without_a_value_and_options_that_are_none() -> None:
    with pytest.raises(UsageError, match="has no '='"):
        parse_pairs(["temperature"])
    with pytest.raises(UsageError, match="must be names with values"):
        ModelOptions.parse(["temperature"])  # type: ignore[arg-type]


def test_they_reach_the_model() -> None:
    model = found("openai/m", GIVEN)
    assert isinstance(model, LiteLLMModel)
    assert model.options == ModelOptions.parse(GIVEN)


@pytest.mark.parametrize(
    "given",
    ["oracle", "nop", "baseline", "cheat", "cheat:link", "cassette:x.jsonl", "function:json:dumps", lambda messages: "", nop()],
    ids=lambda given: given if isinstance(given, str) else type(given).__name__,
)
def test_a_model_that_has_none_refuses_them(given: Any) -> None:
    with pytest.raises(UsageError, match="takes no model options"):
        found(given, {"temperature": 0})
    with pytest.raises(UsageError, match="there is no model option"):
        found(given, {"nosuch": 0})


def test_no_options_are_refused_by_nobody() -> None:
    for options in (None, {}):
        assert isinstance(found(lambda messages: "", options), FunctionModel)
