"""What graders read with: right things come out whole, and anything else is a reason."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def grading(inside: Callable[[str], ModuleType]) -> ModuleType:
    return inside("workbench_grading")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("submitted") / "submitted.txt"


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_there_is_a_table_or_a_reason(grading: ModuleType, file: Path, data: bytes) -> None:
    file.write_bytes(data)
    for read in (lambda: grading.read_table(file, ["a", "b"]), lambda: grading.read_json(file), lambda: grading.read_text(file)):
        try:
            read()
        except grading.Invalid as reason:
            assert file.name in str(reason)


@given(st.dictionaries(st.integers(0, 10**6).map(str), st.floats(-1e9, 1e9), min_size=1))
def test_predictions_come_back_in_the_order_that_was_asked_for(grading: ModuleType, file: Path, values: dict[str, float]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["p", "id"], *([repr(value), identity] for identity, value in values.items())])
    file.write_text(text.getvalue())
    wanted = sorted(values)
    found = grading.predictions(file, wanted, ["p"])
    assert [grading.number(each, "p") for (each,) in found] == [values[identity] for identity in wanted]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("id\n1\n2\n", "columns"),
        ("id,p\n1,1\n", "1 of the ids are missing"),
        ("id,p\n1,1\n2,1\n3,1\n", "1 are unknown, e.g. 3"),
        ("id,p\n1,1\n2,1\n1.0,1\n", "id 1 occurs twice"),
        ("id,p\n1,1\n2\n", "row 2: 1 fields instead of 2"),
        ('id,p\n1,"1\n', "not CSV"),
    ],
)
def test_other_ids_are_a_reason(grading: ModuleType, file: Path, text: str, reason: str) -> None:
    file.write_text(text)
    with pytest.raises(grading.Invalid, match=reason):
        grading.predictions(file, ["1", "2"], ["p"])


@given(st.one_of(st.text(), st.floats(), st.integers(), st.booleans(), st.none(), st.lists(st.integers())))
def test_a_number_is_finite_and_in_range_or_a_reason(grading: ModuleType, value: object) -> None:
    try:
        found = grading.number(value, "x", -5, 5)
    except grading.Invalid as reason:
        assert str(reason).startswith("x")
    else:
        assert math.isfinite(found) and -5 <= found <= 5 and found == float(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["1_0", "٣", "nan", "inf", True, 10**400, "1e999"])
def test_what_only_python_takes_for_a_number_is_none(grading: ModuleType, value: object) -> None:
    with pytest.raises(grading.Invalid):
        grading.number(value, "x")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1]", "one JSON object"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"b": 1}', "lacks a"),
        ("[" * 100_000, "nested too deeply"),
        ("{", "not JSON"),
    ],
)
def test_json_that_is_no_such_object_is_a_reason(grading: ModuleType, file: Path, text: str, reason: str) -> None:
    file.write_text(text)
    with pytest.raises(grading.Invalid, match=reason):
        grading.read_json(file, ["a"])


def test_an_object_with_its_fields_is_read(grading: ModuleType, file: Path) -> None:
    file.write_text("\ufeff" + json.dumps({"a": [1, None], "b": "ü"}))
    assert grading.read_json(file, ["a"]) == {"a": [1, None], "b": "ü"}


def test_neither_links_nor_folders_nor_pipes_nor_too_much_are_read(grading: ModuleType, tmp_path: Path) -> None:

    (tmp_path / "there").write_text("12345")
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, reason in {"link": "symbolic link", "folder": "plain file", "pipe": "plain file", "absent": "missing"}.items():
        with pytest.raises(grading.Invalid, match=reason):
            grading.read_bytes(tmp_path / name)
    with pytest.raises(grading.Invalid, match="larger than 4 bytes"):
        grading.read_bytes(tmp_path / "there", 4)
    assert grading.read_bytes(tmp_path / "there", 5) == b"12345"
