"""Plain values cross as what they were, and whatever else comes is refused, never believed."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, deque, namedtuple
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

keys = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
values = st.recursive(
    keys,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.sets(keys, max_size=3)
    ),
    max_leaves=10,
)


@pytest.fixture(scope="module")
def plain(inside: Callable[[str], ModuleType]) -> ModuleType:
    return inside("workbench_grading.plain")


def across(plain: ModuleType, value: object) -> Any:
    kept: list[object] = []

    def keep(each: object) -> int:
        kept.append(each)
        return len(kept) - 1

    return plain.decode(json.loads(json.dumps(plain.encode(value, keep))), kept.__getitem__)


def kinds(value: Any) -> Any:
    """Return what ``==`` passes over: the types, all the way down."""
    inner = [each for pair in value.items() for each in pair] if isinstance(value, dict) else value
    return type(value).__name__, sorted(map(kinds, inner), key=repr) if isinstance(value, dict | list | tuple | set | frozenset) else []


@given(values)
def test_a_plain_value_comes_out_as_it_went_in(plain: ModuleType, value: object) -> None:
    found = across(plain, value)
    assert found == value
    assert kinds(found) == kinds(value)


def test_values_at_the_edge(plain: ModuleType) -> None:
    for value in [10**5000, -(2**64), range(3, 9, 2), float("inf"), "\ud800", b"", {}, set(), (), int, [str, dict]]:
        assert across(plain, value) == value


def test_an_iterator_stays_one_and_a_subclass_becomes_plain(plain: ModuleType) -> None:
    assert list(across(plain, map(abs, [-1, 2]))) == [1, 2]
    assert across(plain, (each for each in "ab")) != ["a", "b"]
    Point = namedtuple("Point", "x y")
    for value, expected in [(Counter("aab"), {"a": 2, "b": 1}), (OrderedDict(a=1), {"a": 1}), (Point(1, 2), (1, 2))]:
        assert (across(plain, value), type(across(plain, value))) == (expected, type(expected))


def test_what_is_not_plain_is_kept_where_it_is(plain: ModuleType) -> None:
    thing = deque([1])
    assert plain.encode([thing], lambda _: 7) == [{"kept": 7}]
    assert across(plain, {"thing": thing})["thing"] is thing


tags = st.sampled_from(["tuple", "set", "dict", "int", "bytes", "complex", "range", "iterator", "type", "kept", "x"])
nonsense = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(tags, inner, max_size=2),
)


@given(nonsense)
def test_whatever_is_said_is_a_value_or_refused(plain: ModuleType, data: object) -> None:
    try:
        plain.decode(data, [None].__getitem__)
    except (ValueError, IndexError) as error:
        assert str(error)
