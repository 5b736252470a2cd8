"""CodeARC, from a tree made here that looks like it; and from a real checkout where one is named."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tasks.importers.conftest import Solved, complain, grader_of
from workbench import runner
from workbench.errors import TaskError
from workbench.messages import Message
from workbench.models.scripted import Scripted
from workbench.tasks import availability, find, suites
from workbench.tasks.folder import tree_hash
from workbench.tasks.importers import codearc

REAL = "WORKBENCH_TEST_CODEARC"

SECOND = """
import math

SECRET = "what is hidden"


def helper(values):
    return sorted(values)


def {name}(values, step=2):
    if not values:
        raise ValueError("nothing there")
    if step > 1000:
        while True:
            pass
    return helper(values)[::step] if math.isfinite(step) else None
"""
GENERATOR = "def {name}(text):\n    for letter in text:\n        yield letter.upper()\n"
MAKER = "def {name}(text):\n    return lambda: text\n"
DATASETS = {"annotated": ("every_second", "letters", "maker"), "anonymous": ("solution", "solution", "solution")}


def published(name: str, *arguments: str, output: str = "?", errored: bool = False) -> dict[str, object]:
    return {
        str(number): {
            "input": f"print('Result {number}: ' + str({name}({given})))",
            "output": f"Result {number}: {output}",
            "errored": errored,
        }
        for number, given in enumerate(arguments, start=1)
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    for dataset, (second, letters, maker) in DATASETS.items():
        folder = root / "dataset" / dataset
        folder.mkdir(parents=True)
        for number, (code, name) in enumerate(((SECOND, second), (GENERATOR, letters), (MAKER, maker))):
            (folder / f"{number}.py").write_text(code.replace("{name}", name))
        examples = {
            "0": published(second, "[3, 1, 2]", "[5, 4, 1, 0, 9]", "[1.5, -2.5, 8.25, 3.0]", "['b', 'a', 'c'], step=1", output="[1, 3]"),
            "1": published(letters, "'abc'", "'Hello there'"),
            "2": published(maker, "open('x')"),
        }
        traceback = 'Traceback (most recent call last):\n  File "x.py", line 9, in <module>\n    SECRET = 1\nValueError: nothing there'
        examples["0"]["9"] = {"input": f"print('Result 5: ' + str({second}([])))", "output": traceback, "errored": True}
        examples["0"]["10"] = {"input": f"print('Result 6: ' + str({second}([1]))", "output": "SyntaxError: broken", "errored": True}
        file = root / "prompt_invocations" / dataset / "num_invocations=10" / "llm" / "invocations.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(examples))
    return root


def test_tasks_are_found_and_nothing_hidden_is_told(checkout: Path) -> None:
    before = tree_hash(checkout)
    report = suites.import_("codearc", checkout)
    assert [found.task.id for found in report.found] == [f"codearc/{dataset}-{number}" for dataset in DATASETS for number in range(3)]
    assert report.runnable == 4
    ((reason, lacking),) = report.unavailable.items()
    assert "none of its published inputs is a call with literal values" in reason
    assert lacking == ["codearc/annotated-2", "codearc/anonymous-2"]
    said = find("codearc/annotated-0").instruction({})
    assert ">>> every_second([3, 1, 2])\n[1, 3]\n" in said and ">>> every_second([])\nValueError: nothing there\n" in said
    assert "broken" not in said and "SECRET" not in said
    assert "every_second" not in find("codearc/anonymous-0").instruction({})
    assert tree_hash(checkout) == before


RIGHT = "def every_second(values, step=2):\n    if not values: raise KeyError\n    return sorted(values)[slice(None, None, step)]\n"
WRONG = {
    "constant": "def every_second(values, step=2):\n    return [1, 3]\n",
    "only the examples": "def every_second(values, step=2):\n    if not values: raise KeyError\n    return sorted(values)[0:5:step]\n",
    "no negative step": "def every_second(values, step=2):\n    if not values: raise KeyError\n    return sorted(values)[0::step]\n",
    "does not raise": "def every_second(values, step=2):\n    return sorted(values)[::step]\n",
    "another name": RIGHT.replace("every_second", "second"),
    "equals everything": "class All(list):\n    def __eq__(self, other): return True\ndef every_second(*_, **__): return All()\n",
    "another caller": RIGHT + "def __workbench_call__(*_): return [1, 3]\n",
    "a number without end": "def every_second(*_, **__):\n    return 1 << 900_000\n",
    "ends": "raise SystemExit(0)\n",
}


@pytest.mark.walls
async def test_what_does_the_same_is_right_and_nothing_else(checkout: Path, solved: Solved) -> None:
    suites.import_("codearc", checkout)
    before = tree_hash(checkout)

    def written(source: str) -> Scripted:
        return Scripted("written", [f"open('solution.py', 'w').write({source!r})"])

    golds = [f"codearc/{dataset}-{number}" for dataset in DATASETS for number in range(2)]
    assert await solved([(gold, "oracle") for gold in golds]) == [True] * 4
    assert await solved([("codearc/annotated-0", written(RIGHT))]) == [True]
    assert await solved([(gold, "nop") for gold in golds[:2]]) == [False] * 2
    assert await solved([("codearc/annotated-0", written(source)) for source in WRONG.values()]) == [False] * len(WRONG)
    assert tree_hash(checkout) == before


@pytest.mark.walls
def test_the_function_can_be_asked_within_a_budget_and_a_draft_be_checked_once(checkout: Path, store_path: Path) -> None:
    suites.import_("codearc", checkout)
    asked = f"""```python
print(query("solution([4, 2, 9], 3)"), query("solution([])"), query("solution([1], 5000)"))
for bad in ("solution(SECRET)", "open('/etc/passwd')", "solution(*[[1]])", "1 +", "solution.__code__", None):
    try:
        print("answered", query(bad))
    except Exception as error:
        print(error)
print(check({WRONG["constant"].replace("every_second", "solution")!r}))
try:
    print(check(""))
except Exception as error:
    print(error)
for _ in range(17):
    query("solution([1])")
try:
    print(query("solution([1])"))
except Exception as error:
    print(error)
```"""
    wrong = f"```python\nopen('solution.py', 'w').write({RIGHT.replace('every_second', 'solution')!r})\n```"
    replies = iter([asked, wrong, "<done/>"])
    heard: list[str] = []

    def model(messages: list[Message]) -> str:
        heard.append("\n".join(message.text for message in messages))
        return next(replies)

    result = runner.run("codearc/anonymous-0", model=model, store=store_path)
    assert (result.error, result.success) == (None, True)
    assert "query(call: str)" in heard[0] and "check(source: str)" in heard[0]
    assert "[2] ValueError: nothing there TimeoutError: it took more than 5 s" in heard[1]
    observed = heard[1].rpartition("Observation:")[2]
    assert "answered" not in observed and "what is hidden" not in observed
    assert heard[1].count("write a call of solution with literal arguments") == 6
    assert "it differs at solution([" in heard[1]
    assert "there are no checks left" in heard[1] and "there are no queries left" in heard[1]


def test_what_is_no_checkout_says_so(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"invocations\.json does not exist"):
        suites.import_("codearc", tmp_path)
    function = checkout / "dataset" / "annotated" / "1.py"
    function.write_text("x = 1")
    with pytest.raises(TaskError, match=r"1\.py defines no function"):
        complain(codearc, checkout)
    function.write_text("def f(:\n")
    with pytest.raises(TaskError, match=r"1\.py is no Python"):
        complain(codearc, checkout)
    function.unlink()
    with pytest.raises(TaskError, match=r"1\.py does not exist"):
        complain(codearc, checkout)
    (checkout / "prompt_invocations/anonymous/num_invocations=10/llm/invocations.json").write_text('{"0": {"0": {}}}')
    function.write_text("def f():\n    pass\n")
    with pytest.raises(TaskError, match=r"0\.0\.input: Field required"):
        suites.import_("codearc", checkout)


@pytest.fixture(scope="module")
def inputs() -> ModuleType:
    return grader_of("codearc_inputs")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.sets(st.integers() | st.text(max_size=3), max_size=4)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.lists(st.lists(values, min_size=1, max_size=3), min_size=1, max_size=5))
def test_varied_inputs_are_calls_that_can_be_read_none_twice_and_always_the_same(inputs: ModuleType, rows: list[list[object]]) -> None:
    calls = [inputs.Call.of("f", dict(enumerate(row))) for row in rows]
    made = inputs.varied(calls)
    texts = [call.text for call in made]
    assert len(set(texts)) == len(texts) <= 100 and not set(texts) & {call.text for call in calls}
    assert [call.text for call in inputs.varied(calls)] == texts
    for call in made:
        assert [type(value) for value in inputs.Call.parse(call.text, "f").args] == [type(value) for value in call.args]


@given(values, st.lists(values, max_size=4), st.integers())
def test_what_is_changed_keeps_its_type(inputs: ModuleType, value: object, like: list[object], seed: int) -> None:
    assert type(inputs.changed(value, random.Random(seed), [value, *like])) is type(value)


@pytest.mark.walls
@pytest.mark.skipif(REAL not in os.environ, reason=f"NOT RUN on a real checkout of CodeARC: name one in {REAL}")
async def test_a_real_checkout(solved: Solved) -> None:
    report = suites.import_("codearc", Path(os.environ[REAL]))
    assert (len(report.found), report.runnable) == (2228, 2211)
    # every twentieth: all of them take most of an hour
    sample = [found.task.id for found in report.found if not availability.lacking(found.task)][::20]
    assert await solved((name, "oracle") for name in sample) == [True] * len(sample)
    assert await solved((name, "nop") for name in sample) == [False] * len(sample)
