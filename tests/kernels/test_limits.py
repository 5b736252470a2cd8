"""Sizes, and the limits that somebody may write."""

from __future__ import annotations

import contextlib
from dataclasses import fields

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workbench.errors import UsageError
from workbench.kernels.limits import Limits, parse_size

NAMES = [each.name for each in fields(Limits)]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1", 1),
        ("512M", 512 * 2**20),
        ("2G", 2 * 2**30),
        ("2GB", 2 * 2**30),
        ("2GiB", 2 * 2**30),
        ("2g", 2 * 2**30),
        (" 1.5 K ", 1536),
        ("1T", 2**40),
        ("7B", 7),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "1e9", "two", "1,5G", "1 G B", "0x10", "1P", "1..5G", "inf", "nan"])
def test_what_is_not_a_size_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size") as raised:
        parse_size(text)
    assert "2G" in raised.value.hint


@given(st.integers(0, 2**50), st.sampled_from(["", "K", "M", "G", "T"]))
def test_whole_sizes_are_exact(number: int, unit: str) -> None:
    assert parse_size(f"{number}{unit}") == number * {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}[unit]


@given(st.text(max_size=10) | st.from_regex(r"\d{1,5}(\.\d{1,3})?[KMGT]?", fullmatch=True))
@example("9" * 400)
def test_a_size_is_a_number_of_bytes_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_size(text) >= 0


def test_limits_of_a_file() -> None:
    written = {"memory": "512M", "workspace_bytes": "1.5G", "file_bytes": 4096, "processes": 8, "cpus": 0.5, "wall_seconds": 60}
    expected = Limits(memory=512 * 2**20, workspace_bytes=3 * 2**29, file_bytes=4096, processes=8, cpus=0.5, wall_seconds=60)
    assert Limits.parse(written) == expected
    assert Limits.parse({}) == Limits()


def test_an_unknown_limit_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"there is no limit 'ram', 'cpu'") as raised:
        Limits.parse({"ram": "2G", "memory": "2G", "cpu": 1})
    assert all(name in raised.value.hint for name in NAMES)


def test_a_size_that_is_none_is_named_with_its_limit() -> None:
    with pytest.raises(UsageError, match="the limit scratch_bytes: 'much' is not a size"):
        Limits.parse({"scratch_bytes": "much"})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1, 0.0, -0.5, float("nan"), float("inf"), 1e300, 2**63, True, "1", [], {}, b"1"])
def test_what_no_limit_can_be_is_named(name: str, value: object) -> None:
    with pytest.raises(UsageError) as raised:
        Limits(**{name: value})  # type: ignore[arg-type]
    assert raised.value.message == f"the limit {name} cannot be {value!r}"
    assert "by default it is" in raised.value.hint


@pytest.mark.parametrize("name", NAMES)
def test_only_time_can_be_without_a_limit(name: str) -> None:
    if name in ("idle_seconds", "wall_seconds"):
        assert getattr(Limits(**{name: None}), name) is None  # type: ignore[arg-type]
    else:
        with pytest.raises(UsageError, match=f"the limit {name} cannot be None"):
            Limits(**{name: None})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("cpus", "idle_seconds", "wall_seconds")])
def test_what_is_counted_is_whole(name: str) -> None:
    with pytest.raises(UsageError, match=f"the limit {name} cannot be 1.5"):
        Limits(**{name: 1.5})  # type: ignore[arg-type]


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.from_regex(r"\d{1,4}[KMGT]", fullmatch=True)


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), VALUES, max_size=4))
def test_a_table_is_limits_above_zero_or_a_usage_error(table: dict[str, object]) -> None:
    with contextlib.suppress(UsageError):
        limits = Limits.parse(table)
        assert all(getattr(limits, name) is None or getattr(limits, name) > 0 for name in NAMES)
        assert set(table) <= set(NAMES)
