"""Errors: what, where and what to do; and the one place that classifies them."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import pickle
import sqlite3
import subprocess
import typing
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import errors
from workbench.errors import AgentError, Failure, GraderError, Kind, WorkbenchError, classify

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
        (ValueError(), "ValueError"),
        (asyncio.CancelledError(), "CancelledError"),
        (RecursionError("deep"), "RecursionError: deep"),
        (ValueError("half of \ud800"), "ValueError: half of ?"),
    ],
)
def test_anybody_elses_is_a_bug_in_the_agent(error: BaseException, message: str) -> None:
    failure = classify(error)
    assert (failure.kind, failure.message) == ("agent", message)
    assert "bug" in failure.hint


def caused(by: BaseException, error: BaseException) -> BaseException:
    error.__cause__ = by
    return error


def while_handling(by: BaseException, error: BaseException) -> BaseException:
    error.__context__ = by
    return error


class TestShortages:
    FULL = OSError(errno.ENOSPC, "No space left on device")

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM])
    def test_of_the_operating_system_are_the_machines(self, number: int) -> None:
        failure = classify(OSError(number, os.strerror(number)))
        assert failure.kind == "sandbox" and os.strerror(number) in failure.message and failure.hint

    @pytest.mark.parametrize(
        "error",
        [
            MemoryError(),
            caused(FULL, ValueError("cannot save")),
            while_handling(FULL, KeyError("x")),
            caused(caused(FULL, RuntimeError("inner")), AgentError("outer")),
            ExceptionGroup("several", [ValueError("x"), ExceptionGroup("inner", [OSError(errno.EMFILE, "x")])]),
            RuntimeError("can't start new thread"),
            sqlite3.OperationalError("database or disk is full"),
            duckdb.IOException('IO Error: Could not write file "x": No space left on device'),
            duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate data"),
            subprocess.CalledProcessError(1, "cp", stderr=b"cp: error writing 'x': No space left on device"),
            caused(FULL, GraderError("the grader's folder cannot be made")),
        ],
        ids=lambda each: type(each).__name__,
    )
    def test_are_found_wherever_they_came_through(self, error: BaseException) -> None:
        failure = classify(error)
        assert failure.kind == "sandbox" and failure.hint

    @pytest.mark.parametrize(
        "error",
        [
            ValueError("No space left on device"),
            FileNotFoundError(errno.ENOENT, "No such file or directory"),
            PermissionError(errno.EACCES, "out of memory"),
            RuntimeError("the model said: database or disk is full is what I read"),
        ],
    )
    def test_are_not_found_in_what_somebody_else_says(self, error: BaseException) -> None:
        assert classify(error).kind == "agent"

    def test_keep_what_our_own_error_advises(self) -> None:
        assert classify(caused(self.FULL, GraderError("no room", hint="my advice"))).hint == "my advice"

    def test_end_where_causes_go_round_in_a_circle(self) -> None:
        one, two = ValueError("one"), ValueError("two")
        one.__cause__, two.__cause__ = two, one
        assert classify(one).kind == "agent"


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


def test_a_class_of_exceptions_with_code_of_its_own_is_classified_all_the_same() -> None:
    class Odd(Exception):
        @property
        def __cause__(self) -> BaseException | None:  # type: ignore[override]
            raise SystemExit

    assert classify(Odd("x")).kind == "agent"
    assert classify(caused(Odd("x"), GraderError("no"))).kind == "grader"

    class Unsaid(WorkbenchError):
        def __init__(self) -> None:
            """Say nothing."""

    assert classify(Unsaid()) == Failure(kind="agent", message="Unsaid: (what it says cannot be shown)", hint=classify(ValueError()).hint)
