"""Where in a TOML file a field is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tasks.conftest import MakeTask
from workbench.errors import TaskError
from workbench.tasks.lines import line_of

TEXT = """id = "x" # comment
a.b = 1
"quoted key" = 2

[prompt]
axes = { level = ["a"] }

[ prompt.files ]
"level=a" = "x.md"

[[workspace.copy]]
from = "a"
[[workspace.copy]]
from = "b"
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (["id"], 1),
        (["a", "b"], 2),
        (["quoted key"], 3),
        (["prompt"], 5),
        (["prompt", "axes", "level", 0], 6),
        (["prompt", "nothing"], 5),
        (["prompt", "files", "level=a"], 9),
        (["workspace", "copy", 0, "from"], 12),
        (["workspace", "copy", 1, "sha256"], 13),
        (["workspace", "copy", 2], None),
        (["nothing"], None),
        ([], None),
    ],
)
def test_a_field_is_found_or_the_table_around_it(place: list[str | int], line: int | None) -> None:
    assert line_of(TEXT, place) == line


@given(st.text(), st.lists(st.text() | st.integers()))
def test_no_text_is_a_crash(text: str, place: list[str | int]) -> None:
    line = line_of(text, place)
    assert line is None or 1 <= line <= len(text.splitlines())


def test_what_is_wrong_in_a_task_file_is_told_with_its_line(make_task: MakeTask) -> None:
    with pytest.raises(TaskError) as caught:
        make_task("[interaction]\nmax_steps = 0\nspeed = 3\n")
    assert "interaction.max_steps: Input should be greater than or equal to 1 (line 10)" in caught.value.message
    assert "interaction.speed: Extra inputs are not permitted (line 11)" in caught.value.message
