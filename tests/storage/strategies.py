"""Arbitrary events, drawn from the pydantic models themselves, so that a new field is tested from the day it is written."""

from __future__ import annotations

import types
import typing
from datetime import UTC, datetime
from typing import Any, Literal, Union

from hypothesis import strategies as st
from pydantic import BaseModel

from workbench import events

KINDS: tuple[type[BaseModel], ...] = typing.get_args(typing.get_args(events.Event)[0])

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
numbers = st.integers(0, 2**31 - 1)
reals = st.floats(allow_nan=False, allow_infinity=False)
times = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | reals | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
by_name = {"artifact": st.none() | hashes, "sha256": hashes}
"""Fields that say less by their type than they mean."""


def of(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    plain = {str: texts, int: numbers, float: reals, bool: st.booleans(), datetime: times, Any: json_values, type(None): st.none()}
    if annotation in plain:
        return plain[annotation]
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of(*map(of, arguments))
    if origin is list:
        return st.lists(of(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(of(arguments[0]), of(arguments[1]), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return a(annotation)
    raise NotImplementedError(f"no strategy for {annotation!r}")


def a(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Instances of ``model`` with every field drawn."""
    return st.builds(model, **{name: by_name.get(name) or of(field.annotation) for name, field in model.model_fields.items()})


any_event = st.one_of(*map(a, KINDS))


def without(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Any event but those of ``model``."""
    return st.one_of(*(a(kind) for kind in KINDS if kind is not model))
