"""The ready-made graders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

Inside = Callable[[str], ModuleType]


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("submission", "hidden"):
        (tmp_path / name).mkdir()
    return tmp_path / "submission", tmp_path / "hidden"


@pytest.fixture(scope="module")
def mcq(inside: Inside) -> ModuleType:
    return inside("workbench_grading.kinds.mcq_")


@pytest.fixture(scope="module")
def match(inside: Inside) -> ModuleType:
    return inside("workbench_grading.kinds.match_")


@pytest.fixture(scope="module")
def medal(inside: Inside) -> ModuleType:
    return inside("workbench_grading.kinds.medal_")


@pytest.fixture(scope="module")
def episode(inside: Inside) -> ModuleType:
    return inside("workbench_grading.kinds.episode_")


@pytest.fixture(scope="module")
def kind(inside: Inside) -> ModuleType:
    return inside("workbench_grading.kinds.unittest_")


class TestMcq:
    @pytest.mark.parametrize("text", ["B", "b", " (b) ", "B.", "Answer: B", "The correct answer is B", "**B**", "Option B", "'B'"])
    def test_one_letter_is_found_in_what_stands_around_it(self, mcq: ModuleType, text: str) -> None:
        assert mcq.letters(text) == {"B"}

    @pytest.mark.parametrize("text", ["A, C", "C,A", "A and C", "A; C", "a c", "Answers: A & C", "(A), (C)"])
    def test_several_letters_have_no_order(self, mcq: ModuleType, text: str) -> None:
        assert mcq.letters(text) == {"A", "C"}

    @pytest.mark.parametrize("text", ["", "all of them", "A or maybe the other", "1", "?"])
    def test_anything_else_is_no_choice(self, mcq: ModuleType, text: str) -> None:
        assert mcq.letters(text) == set()

    @given(st.text(max_size=40))
    def test_no_text_is_a_crash(self, mcq: ModuleType, text: str) -> None:
        assert all(len(letter) == 1 and letter.isupper() for letter in mcq.letters(text))

    def test_it_compares_with_the_key(self, mcq: ModuleType, inside: Inside, place: tuple[Path, Path]) -> None:
        submission, hidden = place
        (hidden / "key.txt").write_text("A,C\n")
        for answer, correct in {"C and A": 1.0, "A": 0.0, "A, B, C": 0.0}.items():
            (submission / "answer.txt").write_text(answer)
            assert mcq.grade(submission, hidden)["metrics"] == {"correct": correct}
        (submission / "answer.txt").write_text("I do not know")
        with pytest.raises(inside("workbench_grading").Invalid, match="names no choice"):
            mcq.grade(submission, hidden)


class TestMatch:
    @pytest.mark.parametrize(
        ("answer", "expected", "tolerance", "correct"),
        [
            (" '42' ", 42, 0.0, True),
            ("42.0", 42, 0.0, True),
            ("42.1", 42, 0.0, False),
            ("42.1", 42, 0.01, True),
            ("Paris", "paris ", 0.0, True),
            ("Paris, France", "Paris", 0.0, False),
            ("[1, 2.0]", [1, 2], 0.0, True),
            ("[2, 1]", [1, 2], 0.0, False),
            ('{"a": [1]}', {"a": [1]}, 0.0, True),
            ("True", True, 0.0, True),
            ("1", True, 0.0, False),
            ("true", 1, 0.0, False),
            ("nan", 1, 0.5, False),
            ("[" * 50_000, [1], 0.0, False),
            ("7", {"any_of": [6, 7]}, 0.0, True),
        ],
    )
    def test_an_answer_is_right_when_it_is_the_value(
        self, match: ModuleType, place: tuple[Path, Path], answer: str, expected: object, tolerance: float, correct: bool
    ) -> None:
        submission, hidden = place
        (hidden / "expected.json").write_text(json.dumps(expected))
        (submission / "answer.txt").write_text(answer)
        assert match.grade(submission, hidden, tolerance=tolerance)["metrics"] == {"correct": float(correct)}

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        )
    )
    def test_every_json_value_is_itself(self, match: ModuleType, value: object) -> None:
        assert match.alike(json.loads(json.dumps(value)), value, 0.0) or isinstance(value, str)
        assert not match.alike([value], value, 0.0)


class TestUnittest:
    TESTS = """
import unittest
from pathlib import Path

class TestFile(unittest.TestCase):
    def test_is_there(self):
        self.assertTrue(Path("../a.txt").exists())

    def test_says_so(self):
        self.assertEqual(Path("../a.txt").read_text(), "yes")
"""

    def test_the_share_that_passes_counts(self, kind: ModuleType, place: tuple[Path, Path]) -> None:
        submission, hidden = place
        (submission / "below").mkdir()
        (hidden / "tests.py").write_text(self.TESTS)
        before = Path.cwd()
        for text, solved, checks, failed in ((None, 0, 0, 2), ("no", 0, 0.5, 1), ("yes", 1, 1, 0)):
            if text is not None:
                (submission / "a.txt").write_text(text)
            report = kind.grade(submission, hidden, tests="tests.py", cwd="*/")
            assert report["metrics"] == {"solved": solved, "checks": checks}
            assert len(report["details"]["failed"]) == failed
        assert Path.cwd() == before

    def test_when_the_set_up_fails_nothing_passes(self, kind: ModuleType, place: tuple[Path, Path]) -> None:
        submission, hidden = place
        (submission / "a.txt").write_text("yes")
        (submission / "below").mkdir()
        failing = "    @classmethod\n    def setUpClass(cls):\n        raise OSError\n"
        (hidden / "tests.py").write_text(self.TESTS.replace("(unittest.TestCase):\n", f"(unittest.TestCase):\n{failing}"))
        assert kind.grade(submission, hidden, tests="tests.py", cwd="*/")["metrics"] == {"solved": 0, "checks": 0}

    def test_a_tree_without_the_folder_is_invalid_and_a_file_without_tests_the_graders_fault(
        self, kind: ModuleType, inside: Inside, place: tuple[Path, Path]
    ) -> None:
        submission, hidden = place
        (hidden / "tests.py").write_text("")
        for cwd, said in (("*/", "no folder left"), ("src", "the folder src is gone")):
            with pytest.raises(inside("workbench_grading").Invalid, match=said):
                kind.grade(submission, hidden, tests="tests.py", cwd=cwd)
        with pytest.raises(RuntimeError, match="has no test cases"):
            kind.grade(submission, hidden, tests="tests.py")


class TestMedal:
    def graded(self, medal: ModuleType, place: tuple[Path, Path], teams: list[float], score: float) -> dict[str, float]:
        submission, hidden = place
        (hidden / "leaderboard.csv").write_text("team,score\n" + "".join(f"t,{team}\n" for team in teams))
        report = medal.grade(submission, hidden, score=lambda *_: {"metrics": {"score": score}, "invalid": None, "details": {}})
        found: dict[str, float] = report["metrics"]
        return found

    # table 1 of arXiv 2410.07095
    @pytest.mark.parametrize(
        ("teams", "places"), [(10, (1, 2, 4)), (99, (9, 19, 39)), (100, (10, 20, 40)), (500, (11, 50, 100)), (2000, (14, 100, 200))]
    )
    def test_the_last_place_that_wins_a_medal_wins_it(
        self, medal: ModuleType, place: tuple[Path, Path], teams: int, places: tuple[int, int, int]
    ) -> None:
        board = [1.0 - position / teams for position in range(teams)]
        for won, last in zip((3.0, 2.0, 1.0), places, strict=True):
            assert self.graded(medal, place, board, board[last - 1])["medal"] == won
            assert self.graded(medal, place, board, board[last - 1] - 1e-9)["medal"] == won - 1

    def test_where_less_is_better_the_board_says_so(self, medal: ModuleType, place: tuple[Path, Path]) -> None:
        found = self.graded(medal, place, [0.1, 0.2, 0.3], 0.05)
        assert found == {"score": 0.05, "medal": 3.0, "above_median": 1.0}
        assert self.graded(medal, place, [0.1, 0.2, 0.3], 0.4) == {"score": 0.4, "medal": 0.0, "above_median": 0.0}

    def test_the_median_itself_is_not_above_it(self, medal: ModuleType, place: tuple[Path, Path]) -> None:
        assert self.graded(medal, place, [3.0, 2.0, 1.0], 2.0)["above_median"] == 0.0

    def test_what_is_invalid_wins_nothing(self, medal: ModuleType, place: tuple[Path, Path]) -> None:
        submission, hidden = place
        (hidden / "leaderboard.csv").write_text("score\n1\n0\n")
        assert medal.grade(submission, hidden, score=lambda *_: {"invalid": "empty"}) == {"invalid": "empty"}


class TestEpisode:
    CALLS = ({"tool": "step", "result": {"reward": 1.5}}, {"tool": "step", "error": "no"}, {"tool": "step", "result": {"reward": 0.5}})

    @pytest.mark.parametrize(("how", "reward"), [("sum", 2.0), ("last", 0.5), ("max", 1.5), ("mean", 1.0)])
    def test_takes_what_the_environment_gave(self, episode: ModuleType, place: tuple[Path, Path], how: str, reward: float) -> None:
        submission, hidden = place
        (submission / "episode.json").write_text(json.dumps({"calls": self.CALLS, "queries": 3, "answer": "done"}))
        assert episode.grade(submission, hidden, how=how)["metrics"] == {"reward": reward, "queries": 3.0}

    def test_an_episode_without_any_has_none(self, episode: ModuleType, place: tuple[Path, Path]) -> None:
        submission, hidden = place
        calls = [{"tool": "look", "result": {"reward": True}}, {"tool": "look", "result": "7"}]
        (submission / "episode.json").write_text(json.dumps({"calls": calls, "queries": 2, "answer": ""}))
        assert episode.grade(submission, hidden)["metrics"] == {"reward": 0.0, "queries": 2.0}
