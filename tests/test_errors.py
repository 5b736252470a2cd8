"""Errors: what, where and what to do; and the one place that classifies them."""

from __future__ import annotations

import asyncio
import json
import pickle
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import errors
from workbench.errors import Failure, Kind, WorkbenchError, classify

OURS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, WorkbenchError)]


@pytest.mark.parametrize("error", OURS, ids=lambda each: each.__name__)
class TestOurs:
    def test_say_what_and_what_to_do(self, error: type[WorkbenchError]) -> None:
        made = error("it broke here", hint="mend it")
        assert (made.message, made.hint, str(made)) == ("it broke here", "mend it", "it broke here (mend it)")
        assert str(error("it broke here")) == "it broke here"

    def test_are_classified_by_their_kind(self, error: type[WorkbenchError]) -> None:
        assert error.kind in typing.get_args(Kind)
        assert classify(error("it broke here", hint="mend it")) == Failure(kind=error.kind, message="it broke here", hint="mend it")

    def test_are_flat(self, error: type[WorkbenchError]) -> None:
        assert error is WorkbenchError or error.__bases__ == (WorkbenchError,)

    def test_are_documented(self, error: type[WorkbenchError]) -> None:
        assert error.__doc__


def test_kinds_tell_infrastructure_from_the_model() -> None:
    kinds = {error.__name__: error.kind for error in OURS}
    assert kinds == {
        "WorkbenchError": "user",
        "UsageError": "user",
        "StoreError": "user",
        "AgentError": "agent",
        "SandboxError": "sandbox",
        "HostError": "sandbox",
        "TaskError": "task",
        "GraderError": "grader",
    }


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("bad"), "ValueError: bad"),
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError(), "ValueError: "),
        (asyncio.CancelledError(), "CancelledError: "),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
)
def test_anybody_elses_is_a_bug_in_the_agent(error: BaseException, message: str) -> None:
    failure = classify(error)
    assert (failure.kind, failure.message) == ("agent", message)
    assert "bug" in failure.hint


@given(message=st.text(), hint=st.text(), ours=st.sampled_from([*OURS, None]))
def test_any_words_become_a_failure(message: str, hint: str, ours: type[WorkbenchError] | None) -> None:
    failure = classify(ours(message, hint=hint) if ours else ValueError(message))
    assert message in failure.message
    assert json.loads(json.dumps(failure.model_dump())) == failure.model_dump()


def test_an_error_that_cannot_be_shown_is_classified_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    assert "Mute" in classify(Mute()).message


@pytest.mark.parametrize("error", OURS, ids=lambda each: each.__name__)
def test_ours_travel_between_processes(error: type[WorkbenchError]) -> None:
    made: Any = pickle.loads(pickle.dumps(error("it broke", hint="mend it")))
    assert (type(made), made.message, made.hint) == (error, "it broke", "mend it")
