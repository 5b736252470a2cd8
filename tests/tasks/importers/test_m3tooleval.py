"""M3ToolEval, from a package made here that looks like it; and from a real checkout where one is named."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tasks.importers.conftest import Solved, grader_of
from workbench import runner
from workbench.errors import TaskError
from workbench.messages import Message
from workbench.models.scripted import Scripted
from workbench.tasks import find, suites
from workbench.tasks.folder import tree_hash

REAL = "WORKBENCH_TEST_M3TOOLEVAL"
pytestmark = pytest.mark.walls

BASE = """
from collections import namedtuple
from tqdm import tqdm

ToolType = namedtuple("ToolType", ["name", "description", "function", "fn_signature"])
iterators = []


class Task:
    def __init__(self, name, tools, instruction, expected_output, is_single_tool_task=True):
        self.name, self.instruction, self.expected_output = name, instruction, expected_output
        self.is_single_tool_task = is_single_tool_task
        self.tools = tools() if callable(tools) else tools
        print("Expected Output:", expected_output)

    def check_answer(self, answer):
        return str(answer) == str(self.expected_output)


def get_task_iterator():
    bar = tqdm(total=3)
    for task in iterators:
        yield task
        bar.update(1)
"""
SHOP = """
from .base import Task, ToolType, iterators


def calculator(expression):
    return eval(expression)


class Counter:
    def __init__(self):
        self.count = 0

    def press(self):
        self.count += 1
        return self.count


def tools():
    counter = Counter()
    return {
        "calculator": ToolType("calculator", "Calculates.", calculator, "calculator(expression: str) -> float"),
        "press": ToolType("press", "Counts.", counter.press, "press() -> int"),
        "maximum": ToolType("maximum", "The largest.", max, "maximum(*args) -> int"),
    }


iterators += [
    Task("shop/Total", tools, "What is 3 times 14?", 42),
    Task("shop/count", tools, "Press three times and say what you see.", 3, is_single_tool_task=False),
]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    package = tmp_path / "checkout" / "scripts" / "eval" / "m3tooleval" / "tasks"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from .base import get_task_iterator\nfrom . import shop\n")
    (package / "base.py").write_text(BASE)
    (package / "shop.py").write_text(SHOP)
    return tmp_path / "checkout"


def test_tasks_are_found_without_running_upstream_here_and_golds_are_right(checkout: Path, store_path: Path) -> None:
    before = tree_hash(checkout)
    report = suites.import_("m3tooleval", checkout)
    assert [found.task.id for found in report.found] == ["m3tooleval/shop--total", "m3tooleval/shop--count"]
    assert (report.runnable, "tasks" in sys.modules) == (2, False)
    for name in ("total", "count"):
        assert runner.run(f"m3tooleval/shop--{name}", model="oracle", store=store_path).success is True
        assert runner.run(f"m3tooleval/shop--{name}", model=Scripted("wrong", [], "41"), store=store_path).success is False
    assert tree_hash(checkout) == before


def test_tools_keep_what_they_know_and_a_wrong_answer_may_be_mended(checkout: Path, store_path: Path) -> None:
    suites.import_("m3tooleval", checkout)
    replies = iter(
        [
            "```python\nprint(maximum(1, 5), calculator('3 * (2 + 4)'))\nprint(calculator('open(\"/etc/passwd\").read()'))\n```",
            "<answer>7</answer>",
            "```python\nprint([press() for _ in range(3)][-1])\n```",
            "<answer>3</answer>",
        ]
    )
    heard: list[str] = []

    def model(messages: list[Message]) -> str:
        heard.append("\n".join(message.text for message in messages))
        return next(replies)

    result = runner.run("m3tooleval/shop--count", model=model, store=store_path)
    assert (result.error, result.success, result.steps) == (None, True, 4)
    assert "press() -> int" in heard[0] and "Calculates." in heard[0]
    assert "5 18" in heard[1] and "Failed to evaluate expression: open" in heard[1]
    assert "the answer is not right: 9 more attempts" in heard[2]


def test_what_is_no_checkout_says_so(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="has no scripts/eval/m3tooleval/tasks"):
        suites.import_("m3tooleval", tmp_path)
    (checkout / "scripts/eval/m3tooleval/tasks/shop.py").write_text("import nothing_of_that_name")
    with pytest.raises(TaskError, match="cannot be read: ModuleNotFoundError"):
        suites.import_("m3tooleval", checkout)
    with pytest.raises(TaskError, match="is not imported here"):
        find("m3tooleval/shop--total")


@pytest.fixture(scope="module")
def grader() -> ModuleType:
    return grader_of("m3tooleval")


@pytest.mark.parametrize("text", ["1 + 2", " -3.5 * (2 - 1) ** 2", "7 // 2 % 3", "1 < 2"])
def test_arithmetic_is_arithmetic(grader: ModuleType, text: str) -> None:
    assert grader.is_arithmetic(text)


@pytest.mark.parametrize("text", ["open('x')", "a", "'a' * 9", "(1).real", "[1]", "1 if 1 else 2", "", "(" * 10_000, "f'{1}'", "True"])
def test_anything_else_is_not(grader: ModuleType, text: str) -> None:
    assert not grader.is_arithmetic(text)


@given(st.text())
def test_no_text_is_a_crash(grader: ModuleType, text: str) -> None:
    assert grader.is_arithmetic(text) in (True, False)


@pytest.mark.skipif(REAL not in os.environ, reason=f"NOT RUN on a real checkout of M3ToolEval: name one in {REAL}")
async def test_a_real_checkout(solved: Solved) -> None:
    report = suites.import_("m3tooleval", Path(os.environ[REAL]))
    assert len(report.found) == 82
    assert await solved((found.task.id, "oracle") for found in report.found) == [True] * 82
    assert await solved((found.task.id, Scripted("wrong", [], "certainly not")) for found in report.found) == [False] * 82
