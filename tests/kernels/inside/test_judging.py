"""Asking a judge, from the grader's side."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

Inside = Callable[[str], ModuleType]
PNG = b"\x89PNG\r\n\x1a\n rest"
CRITERIA = [{"name": "clear", "asks": "Is it clear?", "points": 3}, {"name": "right", "asks": "Is it right?"}]


@pytest.fixture(scope="module")
def judging(inside: Inside) -> ModuleType:
    return inside("workbench_grading.judging")


class Line:
    """A judge at the other end of the line that says what it is told to."""

    def __init__(self, host: ModuleType) -> None:
        self._asks, self._answers = io.BytesIO(), io.BytesIO()
        self.host = host.Host(self._asks, self._answers, judges=True)

    def says(self, *replies: str) -> None:
        self._answers.write(b"".join(json.dumps({"reply": reply}).encode() + b"\n" for reply in replies))
        self._answers.seek(0)

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(line)["ask"] for line in self._asks.getvalue().splitlines()]


@pytest.fixture
def line(inside: Inside, judging: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Line:
    host = inside("workbench_grading.host")
    made = Line(host)
    monkeypatch.setattr(host, "_connected", [made.host])
    monkeypatch.setattr(judging, "_scores", [])
    return made


def score(reply: str) -> dict[str, float]:
    return {"score": float(reply)}


class TestAskJudge:
    def test_each_repeat_is_a_question_of_its_own(self, judging: ModuleType, line: Line) -> None:
        line.says("1", "3")
        assert judging.ask_judge("q", "Give a number.", {"text": "t"}, read=score, repeats=2) == [{"score": 1.0}, {"score": 3.0}]
        assert line.asked == [{"question": "q", "instructions": "Give a number.", "shown": [{"name": "text", "text": "t"}]}] * 2
        assert judging.scores() == [{"score": 1.0}, {"score": 3.0}]

    def test_a_reply_that_cannot_be_read_is_asked_for_again_and_kept_on_the_record(self, judging: ModuleType, line: Line) -> None:
        line.says("well", "2")
        assert judging.ask_judge("q", "", {}, read=score) == [{"score": 2.0}]
        assert judging.scores() == [None, {"score": 2.0}]

    def test_a_judge_that_cannot_be_read_is_no_verdict(self, judging: ModuleType, line: Line) -> None:
        line.says(*["well"] * judging.TRIES)
        with pytest.raises(RuntimeError, match=r"'q' cannot be read, 3 times; the last: .*well"):
            judging.ask_judge("q", "", {}, read=score)

    def test_pictures_and_text_are_told_apart_by_what_is_in_them(self, judging: ModuleType, line: Line, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(PNG)
        (tmp_path / "b.png").write_text("no picture")
        line.says("1")
        judging.ask_judge("q", "", {"a": tmp_path / "a.txt", "b": tmp_path / "b.png"}, read=score)
        assert [each.get("media_type") for each in line.asked[0]["shown"]] == ["image/png", None]

    @pytest.mark.parametrize(("content", "reason"), [(None, "missing"), (b"\xff\x00", "neither"), (b"x" * (6 * 2**20 + 1), "larger")])
    def test_what_cannot_be_shown_is_invalid(
        self, judging: ModuleType, inside: Inside, line: Line, tmp_path: Path, content: bytes | None, reason: str
    ) -> None:
        if content is not None:
            (tmp_path / "f").write_bytes(content)
        with pytest.raises(inside("workbench_grading").Invalid, match=reason):
            judging.ask_judge("q", "", {"f": tmp_path / "f"}, read=score)

    def test_several_files_together_may_be_too_large(self, judging: ModuleType, inside: Inside, line: Line) -> None:
        with pytest.raises(inside("workbench_grading").Invalid, match="b is too large"):
            judging.ask_judge("q", "", {"a": "x" * judging.MOST_SHOWN, "b": "x"}, read=score)

    def test_without_a_judge_nobody_is_asked(self, judging: ModuleType) -> None:
        assert not judging.judge_is_there()
        with pytest.raises(judging.NoJudge):
            judging.ask_judge("q", "", {}, read=score)


class TestLastObject:
    @pytest.mark.parametrize(
        "reply",
        [
            '{"a": 1, "b": 2}',
            'Because.\n```json\n{"a": 1, "b": 2}\n```\nThat is all.',
            '<think>{"a": 0, "b": 0} or {broken</think>\n{"a": 1, "b": 2}',
            'It says {"a": 9}, but: {"a": 1, "b": 2} {"c": 3}',
            '{"outer": {"no": 1}} {"a": 1, "b": 2, "reasons": {"a": "x"}}',
        ],
    )
    def test_is_found_in_what_models_write_around_it(self, judging: ModuleType, reply: str) -> None:
        found = judging.last_object(reply, ["a", "b"])
        assert (found["a"], found["b"]) == (1, 2)

    @pytest.mark.parametrize("reply", ["", "none", '{"a": 1}', "[1]", '{"a": 1, "b": ', "{" * 10_000])
    def test_none_is_an_error(self, judging: ModuleType, reply: str) -> None:
        with pytest.raises(ValueError, match="no JSON object with a, b"):
            judging.last_object(reply, ["a", "b"])

    @given(before=st.text(), after=st.text(alphabet=st.characters(exclude_characters="{")))
    def test_any_text_may_stand_around_it(self, judging: ModuleType, before: str, after: str) -> None:
        # text that ends in an open object could swallow what follows
        assert judging.last_object(f'{before}\n{{"a": 1, "b": 2}}{after}', ["a", "b"]) == {"a": 1, "b": 2}


class TestRubric:
    @pytest.fixture
    def place(self, tmp_path: Path) -> tuple[Path, Path]:
        for name in ("submission", "hidden"):
            (tmp_path / name).mkdir()
        (tmp_path / "submission" / "report.md").write_text("Well.")
        return tmp_path / "submission", tmp_path / "hidden"

    def test_gives_shares_of_the_points_on_average(self, judging: ModuleType, line: Line, place: tuple[Path, Path]) -> None:
        line.says('{"clear": 3, "right": 0}', '{"clear": 1.5, "right": 1}')
        found = judging.rubric(*place, CRITERIA, shows=["report.md"], repeats=2)
        assert found == pytest.approx({"clear": 0.75, "right": 0.5, "rubric": (0.75 + 0.625) / 2})
        assert "- clear (0 to 3): Is it clear?" in line.asked[0]["instructions"]

    @pytest.mark.parametrize("points", ["4", "-1", "true", '"3"', "null", "NaN"])
    def test_points_that_are_none_are_asked_for_again(self, judging: ModuleType, line: Line, place: tuple[Path, Path], points: str) -> None:
        line.says(f'{{"clear": {points}, "right": 1}}', '{"clear": 3, "right": 1}')
        assert judging.rubric(*place, CRITERIA, shows=["report.md"], repeats=1)["rubric"] == 1.0

    def test_a_reference_that_is_missing_is_no_fault_of_the_submission(
        self, judging: ModuleType, line: Line, place: tuple[Path, Path]
    ) -> None:
        with pytest.raises(FileNotFoundError):
            judging.rubric(*place, CRITERIA, shows=["report.md"], reference=["gold.md"])

    def test_without_a_judge_there_are_no_metrics(self, judging: ModuleType, place: tuple[Path, Path]) -> None:
        assert judging.rubric(*place, CRITERIA, shows=["report.md"]) == {}
