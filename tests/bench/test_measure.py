"""What is said of measurements."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.bench.measure import Comparison, spread, table

SECONDS = st.lists(st.floats(min_value=1e-6, max_value=1e6), min_size=1)


def compared(ours: list[float], baseline: list[float]) -> Comparison:
    return Comparison(name="a start", unit="s", baseline_name="a stock one", baseline=baseline, ours=ours, target="10x")


@pytest.mark.parametrize(("ours", "said"), [([0.1], "10x"), ([1.0], "1x"), ([1.25], "1/1.25"), ([0.3], "3.33x")])
def test_a_ratio_says_how_many_times_better(ours: list[float], said: str) -> None:
    assert f"| {said} | 10x |" in table([compared(ours, [1.0])])


@given(ours=SECONDS, baseline=SECONDS)
def test_a_table_has_a_row_for_each_whatever_was_measured(ours: list[float], baseline: list[float]) -> None:
    lines = table([compared(ours, baseline)] * 2).splitlines()
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {6}
    assert "e+" not in "".join(lines)


def test_what_takes_less_than_a_second_is_told_in_milliseconds() -> None:
    assert spread([0.0125], "s") == "12.5 ms"
    assert spread([1.25, 1.0, 2.0], "s") == "1.25 s (1 to 2)"
