"""MBPP: both of upstream's files, tests that need objects of the submission's own, and names that shadow built-in ones."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.importers.conftest import complain
from workbench import runner
from workbench.errors import TaskError
from workbench.models.scripted import Scripted
from workbench.tasks import suites
from workbench.tasks.checkout import Checkout
from workbench.tasks.folder import tree_hash
from workbench.tasks.importers import mbpp


def row(number: int, code: str, tests: list[str], **more: Any) -> dict[str, Any]:
    return {"text": f"Write function {number}.", "code": code, "task_id": number, "test_setup_code": "", "test_list": tests, **more}


ROWS = [
    row(2, "def sum(a, b):\r\n    return a + b", ["assert sum(1, 2) == 3", "assert abs(sum(1, -3)) == 2"], challenge_test_list=[]),
    row(
        11,
        "class Node:\r\n  def __init__(self, value):\r\n    self.value = value\r\n    self.next = None\r\n"
        "def length(node):\r\n  return 1 + length(node.next) if node else 0",
        ["assert length(first) == 2", "assert length(first.next) == 1"],
        test_setup_code="first = Node(1) \r\nfirst.next = Node(2)",
    ),
    row(511, "def evens(n):\n    return (i for i in range(n) if i % 2 == 0)", ["assert list(evens(5)) == [0, 2, 4]"]),
    row(601, "import sys\ndef size(x, kind):\n    return sys.getsizeof(kind(x))", ["assert size(4, int) == sys.getsizeof(4)"]),
]
EDITED = [
    {
        **{"source_file": "x.ipynb", "task_id": 11, "prompt": "Write an edited function.", "code": "def half(x):\n    return x / 2"},
        **{"test_imports": ["import math"], "test_list": ["assert math.isclose(half(3), 1.5, rel_tol=0.001)"]},
    }
]
REAL = "WORKBENCH_TEST_MBPP"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The folder with both files."""
    folder = tmp_path / "google-research" / "mbpp"
    folder.mkdir(parents=True)
    (folder / "mbpp.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (folder / "sanitized-mbpp.json").write_text(json.dumps(EDITED))
    return folder


PLAIN = ["mbpp/prompt-2", "mbpp/test-11", "mbpp/validation-511", "mbpp/train-601"]


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        (".", [*PLAIN, "mbpp/sanitized-test-11"]),
        ("..", [*PLAIN, "mbpp/sanitized-test-11"]),
        ("mbpp.jsonl", PLAIN),
        ("sanitized-mbpp.json", ["mbpp/sanitized-test-11"]),
    ],
    ids=["folder", "clone", "all", "edited"],
)
def test_folder_or_file(checkout: Path, given: str, ids: list[str]) -> None:
    before = tree_hash(checkout)
    report = suites.import_("mbpp", checkout / given)
    assert ([each.task.id for each in report.found], report.runnable) == (ids, len(ids))
    assert tree_hash(checkout) == before


def test_the_prompt_has_upstreams_tests_and_not_the_solution(checkout: Path) -> None:
    found = {each.task.id: each for each in mbpp.tasks(Checkout(checkout))}
    said = found["mbpp/test-11"].instruction({})
    assert "first = Node(1) \nfirst.next = Node(2)\nassert length(first) == 2" in said and "\r" not in said
    for each in found.values():
        assert not any("return" in text for text in [each.instruction({}), *(str(piece.source) for piece in each.pieces[1:])])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        (json.dumps({**ROWS[0], "test_list": []}), "test_list: "),
        (json.dumps({**ROWS[0], "task_id": "x"}), "task_id: "),
        ("\n".join([json.dumps(ROWS[0])] * 2), "a problem is there twice"),
    ],
    ids=["no json", "no tests", "no number", "twice"],
)
def test_a_malformed_file_is_said(checkout: Path, text: str, said: str) -> None:
    (checkout / "mbpp.jsonl").write_text(text)
    with pytest.raises(TaskError, match=said) as caught:
        complain(mbpp, checkout)
    assert caught.value.hint


@pytest.mark.walls
@pytest.mark.parametrize("task", [*PLAIN, "mbpp/sanitized-test-11"])
async def test_gold_solves_and_nothing_does_not(checkout: Path, store_path: Path, task: str) -> None:
    suites.import_("mbpp", checkout)
    result = await runner.run_async(task, model="oracle", store=store_path)
    assert (result.error, result.success) == (None, True)
    result = await runner.run_async(task, model="nop", store=store_path)
    assert (result.error, result.success, result.invalid) == (None, False, "solution.py does not exist")


@pytest.mark.walls
async def test_some_tests_pass(checkout: Path, store_path: Path) -> None:
    suites.import_("mbpp", checkout)
    # the submission's abs is its own affair
    source = "def sum(a, b):\n    return 3\ndef abs(x):\n    return 2\n"
    half = Scripted("half", [f"open('solution.py', 'w').write({source!r})"])
    result = await runner.run_async("mbpp/prompt-2", model=half, store=store_path)
    assert {metric.metric: metric.value for metric in result.metrics} == {"solved": 0, "checks": 0.5}


@pytest.mark.skipif(not os.environ.get(REAL), reason=f"MBPP ITSELF IS NOT TRIED: {REAL} names no folder with upstream's two files")
def test_the_real_one() -> None:
    found = [each.task.id for each in suites.import_("mbpp", Path(os.environ[REAL])).found]
    assert (len(found), sum(name.startswith("mbpp/test-") for name in found)) == (974 + 427, 500)
