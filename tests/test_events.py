"""Events: typed, read back as they were written, told apart by their name."""

from __future__ import annotations

import json
import typing
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from pydantic import BaseModel, ValidationError

from tests.storage.strategies import KINDS, any_event
from workbench import events
from workbench.events import EVENT, Noticed, RunFinished


@given(event=any_event)
def test_any_event_is_read_back_as_it_was_written(event: Any) -> None:
    found = EVENT.validate_json(event.model_dump_json())
    assert found == event
    assert type(found) is type(event)


def test_every_class_of_event_is_in_the_union() -> None:
    classes = {
        each for each in vars(events).values() if isinstance(each, type) and issubclass(each, BaseModel) and "event" in each.model_fields
    }
    assert classes == set(KINDS)


def test_names_are_unique_and_those_of_the_classes() -> None:
    names = {kind.__name__: typing.get_args(kind.model_fields["event"].annotation)[0] for kind in KINDS}
    assert len(set(names.values())) == len(KINDS)
    for name, event in names.items():
        assert "".join(part.capitalize() for part in event.split("_")) == name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_is_documented_and_numbered_by_the_journal(kind: type[BaseModel]) -> None:
    assert kind.__doc__
    fields = {name: field.default for name, field in kind.model_fields.items() if name in ("run_id", "seq")}
    assert fields == {"run_id": "", "seq": -1}


def test_times_are_utc() -> None:
    before = datetime.now(UTC)
    event = Noticed(kind="x", message="y")
    assert before <= event.at <= datetime.now(UTC)
    assert json.loads(event.model_dump_json())["at"].endswith("Z")


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        '{"event": "nope"}',
        '{"event": "noticed"}',
        '{"event": "noticed", "kind": 1, "message": "x"}',
        "[]",
        "null",
        '{"event": null}',
        "{",
    ],
)
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(ValidationError):
        EVENT.validate_json(line)


@pytest.mark.parametrize("status", ["running", "", "solved", None])
def test_a_run_ends_in_one_of_four_ways(status: Any) -> None:
    with pytest.raises(ValidationError, match="'completed', 'limit', 'error' or 'interrupted'"):
        RunFinished(status=status, success=None, steps=0, tokens=0, cost_usd=None, seconds=0)
