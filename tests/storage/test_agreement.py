"""How far judges agree with themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.storage.agreement import statistics_of

points = st.integers(0, 5).map(float)


def test_perfect_agreement() -> None:
    found = statistics_of([[1.0, 1.0, 1.0], [3.0, 3.0], [5.0, 5.0]])
    assert (found["items"], found["replies"], found["spread"], found["exact"]) == (3, 7, 0.0, 1.0)
    assert found["alpha"] == pytest.approx(1.0)


def test_the_example_of_the_literature() -> None:
    # Krippendorff (2011), Computing Krippendorff's alpha-reliability, section C: four observers, twelve units, interval data
    units = [[1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4]]
    units += [[4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [5, 5, 5], [1, 1]]
    found = statistics_of([list(map(float, unit)) for unit in units])
    assert found["alpha"] == pytest.approx(0.849, abs=0.001)


@pytest.mark.parametrize("things", [[[1.0, 2.0]], [[2.0, 2.0], [2.0, 2.0]]])
def test_nothing_to_agree_about_has_no_alpha(things: list[list[float]]) -> None:
    assert statistics_of(things)["alpha"] is None


@given(st.lists(st.lists(points, min_size=2, max_size=5), min_size=1, max_size=8))
def test_numbers_are_in_range_whatever_is_said(things: list[list[float]]) -> None:
    found = statistics_of(things)
    assert 0.0 <= found["exact"] <= 1.0
    assert found["spread"] >= 0.0
    assert (found["exact"] == 1.0) == (found["spread"] == 0.0)
    assert found["alpha"] is None or found["alpha"] <= 1.0 + 1e-9
