"""Calling submitted functions: a grader gets values or a reason, and keeps everything else to itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.conftest import MakeTask
from workbench.errors import GraderError
from workbench.kernels.environments import Environment
from workbench.tasks.grading import grade
from workbench.tasks.staging import Prepared
from workbench.tasks.submission import Frozen

pytestmark = pytest.mark.walls

Ask = Callable[..., Awaitable[Any]]

GRADER = """
from workbench_grading import Failed, submitted
from workbench_grading.host import host
if {beside}:
    host().sandboxes = ""
def grade(submission, hidden):
    said = []
    try:
        with submitted(submission, "solution.py", context={context!r}, timeout={timeout}) as there:
            m = there.module
            for asked in {asked!r}:
                try:
                    said.append(repr(eval(asked)))
                except Failed as reason:
                    said.append(f"failed: {{reason}}")
    except Failed as reason:
        said = f"not loaded: {{reason}}"
    return {{"metrics": {{"m": 0.0}}, "details": {{"said": said}}}}
"""


@pytest.fixture(params=[False, True], ids=["in a sandbox of its own", "beside the grader"])
def ask(make_task: MakeTask, minimal: Environment, tmp_path: Path, request: pytest.FixtureRequest) -> Ask:
    """Evaluate expressions in a grader, where ``m`` is the submitted module; return what each gave."""

    async def ask(source: str, *asked: str, context: str = "", timeout: float = 20) -> Any:
        folder = make_task(files={"hidden/grader.py": GRADER.format(asked=asked, context=context, timeout=timeout, beside=request.param)})
        frozen = Frozen(tmp_path / "frozen")
        frozen.root.mkdir()
        (frozen.root / "solution.py").write_text(source)
        return (await grade(folder, Prepared(tmp_path, folder.hidden, "hash"), frozen, minimal)).details["said"]

    return ask


async def test_values_come_back_and_what_is_printed_does_not(ask: Ask) -> None:
    source = "print('loaded')\ndef f(*args, **kwargs):\n    print('called')\n    return args, kwargs\n"
    assert await ask(source, "m.f(1, {'a': {2}}, k=[None])") == ["((1, {'a': {2}}), {'k': [None]})"]


async def test_objects_stay_there_and_can_be_used(ask: Ask) -> None:
    source = """
class Node:
    def __init__(self, value):
        self.value, self.next = value, None
    def __eq__(self, other):
        return True
def total(node):
    return node.value + total(node.next) if node else 0
class Text(str):
    def __eq__(self, other):
        return True
    __hash__ = str.__hash__
"""
    asked = ["[n := m.Node(1), setattr(n, 'next', m.Node(2)), m.total(n)][2]", "m.Node(1).value", "m.Node(1) == 5", "m.Text('no') == 'yes'"]
    assert await ask(source, *asked) == ["3", "1", "False", "False"]


async def test_context_is_there_first(ask: Ask) -> None:
    assert await ask("def f(): return given()", "m.f()", context="def given(): return 'yes'") == ["'yes'"]


async def test_the_file_is_no_program(ask: Ask) -> None:
    assert await ask("if __name__ == '__main__':\n    raise SystemExit\nx = 1", "m.x") == ["1"]


async def test_errors_are_said_and_do_not_end_it(ask: Ask) -> None:
    source = "import sys\ndef bad(): raise KeyError('k')\ndef leave(): sys.exit(0)\ndef fine(): return 1"
    asked = ["m.bad()", "m.leave()", "m.none()", "m.fine()"]
    bad, leave, none, fine = await ask(source, *asked)
    assert (bad, leave, fine) == ("failed: KeyError: 'k'", "failed: SystemExit: 0", "1")
    assert none.startswith("failed: AttributeError")


async def test_errors_that_cannot_be_shown_do_not_end_it_either(ask: Ask) -> None:
    source = """
class Named(type):
    @property
    def __name__(cls):
        raise SystemExit
class Bad(BaseException, metaclass=Named):
    def __str__(self):
        raise SystemExit
    __repr__ = __str__
def bad():
    raise Bad
def fine():
    return 1
"""
    assert await ask(source, "m.bad()", "m.fine()") == ["failed: Bad", "1"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("import os; os._exit(0)", "failed: its process ended"),
        ("import threading; threading.Event().wait()", "failed: it took too long"),
        ("return 'x' * 10**6", "failed: it returned more than 262144 bytes"),
        (
            "import os, fcntl; [os.write(fd, b'{\"value\": 1, ') for fd in range(3, 20) if os.path.exists(f'/proc/self/fd/{fd}')"
            " and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE]",
            "failed: it returned",
        ),
        ("x = []\n    for _ in range(10**5): x = [x]\n    return x", "failed: "),
        ("return range(10**12)", "failed: it returned what cannot be read"),
    ],
    ids=["exit", "hang", "much", "noise", "deep", "range"],
)
async def test_whatever_goes_wrong_is_the_submissions_failure(ask: Ask, body: str, why: str) -> None:
    (said,) = await ask(f"def f():\n    {body}\n", "m.f()", timeout=3)
    assert said.startswith(why)


async def test_an_answer_that_is_too_long_is_not_the_next_one(ask: Ask) -> None:
    long, short = await ask("def f(n): return list(range(n))", "m.f(10**6)", "m.f(2)")
    assert (long, short) == ("failed: it returned more than 262144 bytes", "[0, 1]")


@pytest.mark.parametrize("source", ["def f(:", "raise ValueError('no')", "import os; os._exit(0)"], ids=["syntax", "raises", "exits"])
async def test_a_file_that_cannot_be_loaded_is_said(ask: Ask, source: str) -> None:
    assert (await ask(source, "m.f()")).startswith("not loaded: ")


async def test_where_it_cannot_be_confined_the_grader_is_at_fault(make_task: MakeTask, minimal: Environment, tmp_path: Path) -> None:
    unconfined = "from workbench_grading import confined\nconfined._CONFINED = 'raise OSError'\n"
    grader = unconfined + GRADER.format(asked=["m.f()"], context="", timeout=20, beside=True)
    folder = make_task(files={"hidden/grader.py": grader})
    frozen = Frozen(tmp_path / "frozen")
    frozen.root.mkdir()
    (frozen.root / "solution.py").write_text("def f(): return 1")
    with pytest.raises(GraderError, match="cannot be confined"):
        await grade(folder, Prepared(tmp_path, folder.hidden, "hash"), frozen, minimal)
