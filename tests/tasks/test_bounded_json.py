"""JSON that is not trusted: what is accepted can be written and read again, and everything else is refused with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.tasks.bounded_json import DEEPEST, Refused, parse

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@given(value=values)
def test_what_json_can_say_is_read(value: Any) -> None:
    found, count = parse(json.dumps(value), 2**20)
    assert found == value
    assert count >= 1


@given(text=st.text() | st.binary())
def test_anything_else_is_refused_and_nothing_worse(text: str | bytes) -> None:
    try:
        found, _ = parse(text, 50)
    except Refused:
        return
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        (b"\xff", "is not JSON"),
        ("x" * 101, "is larger than 100 bytes"),
        (nested(DEEPEST + 1)[:100], "is not JSON"),
        ("NaN", "has the number NaN"),
        ("[-Infinity]", "has the number -Infinity"),
        ("1e999", "has the number 1e999"),
        ("-" + "9" * 99, None),
        ('{"a": 1, "a": 1}', "a name twice"),
        ('"\\ud800"', "not valid Unicode"),
        ('{"\\udfff": 1}', "not valid Unicode"),
        ('"\\ud83d\\ude00"', None),
    ],
)
def test_each_reason_is_told(text: str | bytes, said: str | None) -> None:
    if said is None:
        parse(text, 100)
    else:
        with pytest.raises(Refused, match=said):
            parse(text, 100)


@pytest.mark.parametrize("levels", [DEEPEST + 1, 900, 100_000])
def test_depth_is_bounded(levels: int) -> None:
    parse(nested(DEEPEST), 10**6)
    with pytest.raises(Refused, match=f"deeper than {DEEPEST}"):
        parse(nested(levels), 10**6)


@pytest.mark.parametrize("number", ["1" + "0" * 309, "-1" + "0" * 399, "9" * 5000])
def test_whole_numbers_are_no_larger_than_a_float_can_be(number: str) -> None:
    with pytest.raises(Refused, match="cannot be sent"):
        parse(number, 10**6)
