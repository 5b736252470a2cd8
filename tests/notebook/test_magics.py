"""The notebook door, in a real Jupyter kernel."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from IPython.core.error import UsageError
from nbclient.exceptions import CellExecutionError

from tests.made import make_task
from workbench.events import ActionTaken, Observed
from workbench.notebook.magics import interpolate
from workbench.notebook.view import LiveView
from workbench.observation import Observation, Output


def texts(outputs):
    return "\n".join(str(output.get("data", {}).get("text/plain", output.get("text", ""))) for output in outputs)


@pytest.mark.walls
def test_a_task_runs_from_a_cell_and_gives_a_result(notebook, tmp_path, minimal, store_path):
    folder = make_task(tmp_path)
    outputs = notebook(
        "%load_ext workbench",
        f"result = %task run {folder} --model oracle --store {store_path}",
        "result",
        f"import workbench as wb; wb.store({str(store_path)!r}).sql('SELECT model, success FROM runs')",
    )
    assert "answer.txt" in texts(outputs[1])
    assert "solved" in texts(outputs[2]) and "<table>" in outputs[2][0]["data"]["text/html"]
    assert "oracle" in texts(outputs[3])


@pytest.mark.walls
def test_a_kernel_is_made_ready_while_the_user_writes(notebook, ds):
    cell = """
import asyncio
from workbench import background
from workbench.kernels import pool
async def ready():
    shared = pool.of_this_loop()
    while not shared.ready():
        await asyncio.sleep(0.01)
    return shared.ready()
background.wait(ready())
"""
    assert texts(notebook("%load_ext workbench", cell)[1]) == "1"


@pytest.mark.walls
def test_an_agent_answers_a_cell_in_plain_words(notebook, ds, store_path):
    outputs = notebook(
        "%load_ext workbench",
        "replies = iter(['```python\\nprint(6 * 7)\\n```', '<answer>It is 42.</answer>'])\n"
        "import sys, types; module = types.ModuleType('mine'); module.reply = lambda messages: next(replies)\n"
        "sys.modules['mine'] = module\n"
        "number = 6",
        f"%%agent --model function:mine:reply --store {store_path}\nWhat is {{{{number}}}} times 7?",
        f"import workbench as wb; print(wb.store({str(store_path)!r}).rows('SELECT instruction, answer, family FROM runs'))",
    )
    assert "42" in texts(outputs[2]) and "It is 42." in str(outputs[2])
    assert "What is 6 times 7?" in texts(outputs[3]) and "'interactive'" in texts(outputs[3])


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("%task run refactoring/nope --model nop", "no task is called"),
        ("%task run", "needs a task's id"),
        ("%%agent --model nop\n   ", "needs a task"),
        ("%%agent --model nop\nuse {{nothing}}", "there is no variable"),
        ("%%agent --model nop\nuse {{df.a.sum()}}", "only the name of a variable"),
        ("%%agent --model nosuch\nhello", "no model is called"),
        ("%%agent --model nop --store /dev/null\nhello", "cannot be a store"),
        ("%task run refactoring/mistune-rename-escape --model nop --store ''", "the path of the store is empty"),
        ("%task run 'x", "No closing quotation"),
        ("%agent", "for a whole cell"),
        ("%%agent\nhello", "no model is set"),
        ("%%agent --model oracle\nhello", "no reference solution"),
    ],
)
def test_bad_input_is_told_without_a_traceback(notebook, cell, says):
    with pytest.raises(CellExecutionError) as raised:
        notebook("%load_ext workbench", cell)
    assert says in str(raised.value) and "UsageError" in str(raised.value)


def test_what_an_agent_shows_is_never_live_in_the_page():
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    outputs = [
        Output(kind="display", data={"text/html": hostile, "text/plain": hostile, "image/svg+xml": "<svg onload=alert(3)/>"}),
        Output(kind="stdout", data={"text/plain": hostile}),
        Output(kind="display", data={"image/png": "' onerror='alert(4)"}),
    ]
    view = LiveView()
    page = view._render(Observed(step=1, index=0, observation=Observation(status="ok", outputs=outputs)))[0]
    page += view._render(ActionTaken(step=1, index=0, code=hostile, source="fence"))[0]
    found = Tags()
    found.feed(page)
    assert {tag for tag, _ in found.seen} == {"div", "pre", "img"}
    attributes = {name: value for _, pairs in found.seen for name, value in pairs}
    assert set(attributes) <= {"style", "alt", "src"} and attributes["src"].startswith("data:image/png;base64,")


class Tags(HTMLParser):
    """Every tag of a page with its attributes, as a browser would read them."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, attrs))


def test_tasks_are_listed_and_shown(notebook):
    outputs = notebook("%load_ext workbench", "%task list", "%task show refactoring/mistune-rename-escape")
    assert "refactoring/mistune-rename-escape" in texts(outputs[1])
    assert "<table>" in outputs[1][0]["data"]["text/html"]
    assert "mistune" in outputs[2][0]["data"]["text/markdown"]


def test_help_is_what_the_magics_take(notebook):
    outputs = notebook("%load_ext workbench", "%%agent --help", "%task --help", "%%agent --help\nsomething")
    for shown in outputs[1:]:
        assert "--sandbox" in texts(shown) and "baseline" in texts(shown) and "docker" in texts(shown)


@pytest.mark.parametrize("expression", ["df.a.sum()", "df.b", "x + 1", "", "a b", "'x'", "d['k']", "x!r", "1"])
def test_only_names_stand_between_braces(expression):
    with pytest.raises(UsageError, match="only the name of a variable"):
        interpolate(f"see {{{{{expression}}}}}", {"df": 1, "x": 2, "a": 3, "b": 4, "d": {}})


def test_other_braces_stay_as_they_are():
    text = 'f"{x}" and {"a": {"b": {}}} and {{ open'
    assert interpolate(text, {}) == text
    assert interpolate(r"\{{x}} {{ x }} {{é}}", {"x": "{{y}}", "é": 2}) == "{{x}} {{y}} 2"


def test_saved_pages_hide_nothing_and_are_monospaced():
    view = LiveView()
    code = "\n".join(f"line_{number} = {number}" for number in range(200))
    page = view._render(ActionTaken(step=1, index=0, code=code, source="fence"))[0]
    assert "monospace" in page and "max-height" not in page and "overflow:auto" not in page and "line_199" in page
