"""Whatever a model, a task or a file says, no command lets it act on the terminal."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from rich.color import ColorSystem
from typer.testing import CliRunner

import workbench.cli
from tests.made import make_task
from tests.storage.test_tables import run_finished, run_started
from tests.test_result import result
from tests.test_text import ACTS
from workbench.checks import Finding, TaskCheck
from workbench.cli import errors, run, tasks
from workbench.cli.app import app
from workbench.cli.progress import Progress
from workbench.errors import Failure, TaskError
from workbench.events import (
    ActionTaken,
    Event,
    Judgement,
    KernelStarted,
    MetricValue,
    ModelCalled,
    Noticed,
    Observed,
    Scored,
    StepFinished,
)
from workbench.messages import Attempt, Message, Usage
from workbench.notebook.view import LiveView
from workbench.observation import Observation, Output, PythonError
from workbench.storage.store import Store

HOSTILE = " ".join(ACTS.values()).replace("\ud83d", "").replace("\udcff", "") + "[red]markup[/nothing]\nverdict: solved"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(autouse=True)
def _a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Consoles that print as to a terminal with colours."""
    for console in (errors.output, errors.progress):
        monkeypatch.setattr(console, "_force_terminal", True)
        monkeypatch.setattr(console, "_color_system", ColorSystem.TRUECOLOR)


def harmless(printed: str) -> str:
    """Return what was printed without the console's own colours, having seen that nothing else is in it."""
    left = COLOUR.sub("", printed)
    bad = [each for each in left if not each.isprintable() and each not in "\n\u200d"]
    assert not bad, ascii(left)
    return left


def spoken(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exception is None, done.output
    return harmless(done.output)


def events() -> list[Event]:
    usage = Usage(input_tokens=1, output_tokens=1)
    failure = Failure(kind="model", message=HOSTILE, hint=HOSTILE)
    output = Output(kind="stdout", data={"text/plain": HOSTILE})
    wrong = PythonError(name=HOSTILE, value=HOSTILE, traceback=HOSTILE)
    metric = MetricValue(metric=HOSTILE, primary=True, value=1.0, normalised=1.0, success=True)
    judgement = Judgement(
        **{"question": HOSTILE, "judge": HOSTILE, "prompt_hash": HOSTILE, "instructions": HOSTILE, "shown": {"a": HOSTILE}},
        **{"reply": HOSTILE, "scores": {HOSTILE: 1.0}, "usage": usage, "cost_usd": None, "seconds": 0.1},
    )
    return [
        run_started().model_copy(update={"task": HOSTILE, "model": HOSTILE, "variant": {HOSTILE: HOSTILE}, "agent": HOSTILE}),
        Noticed(kind=HOSTILE, message=HOSTILE),
        KernelStarted(environment_hash="h", walls=[HOSTILE], missing=[HOSTILE], seconds=0.1),
        ModelCalled(
            **{"step": 1, "prompt": [Message(role="user", text=HOSTILE)], "text": HOSTILE, "finish_reason": HOSTILE, "usage": usage},
            **{"cost_usd": None, "attempts": [Attempt(status="server_error", seconds=0.1, error=HOSTILE)], "seconds": 0.1},
            failure=failure,
        ),
        ActionTaken(step=1, index=0, code=HOSTILE, source="fence"),
        Observed(step=1, index=0, observation=Observation(status="error", outputs=[output], error=wrong, note=HOSTILE)),
        StepFinished(step=1, notes=[HOSTILE]),
        Scored(
            **{"metrics": [metric], "success": True, "invalid": HOSTILE, "grader_hash": "h", "details": {HOSTILE: HOSTILE}},
            judgements=[judgement, judgement],
            seconds=0.1,
        ),
        run_finished(status="error", error=failure, answer=HOSTILE),
    ]


@pytest.fixture
def store(store_path: Path) -> Store:
    found = Store(store_path)
    with found.journal("r1") as journal:
        for event in events():
            journal.write(event)
    return found


@pytest.mark.parametrize(
    "command", [["runs", "list"], ["runs", "show", "r1"], ["runs", "agreement"], ["tasks", "published", "refactorbench"]], ids=" ".join
)
def test_of_a_record(store: Store, command: list[str]) -> None:
    said = spoken(*command)
    assert "\\x1b" in said or command[0] == "tasks"
    # nothing of theirs begins a line, so nothing of theirs looks like one of ours
    assert not re.search(r"^verdict", said, re.MULTILINE)


def test_of_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # what TOML can write: no quotes, and every character that is not plain as \uXXXX
    escaped = "".join(
        each if each.isascii() and each.isprintable() else f"\\U{ord(each):08x}" for each in HOSTILE.replace('"', "").replace("\\", "/")
    )
    folder = make_task(tmp_path)
    file = folder / "task.toml"
    spelt = escaped.replace("\\", r"\\")
    for name in ("summary", "licence", "source"):
        file.write_text(re.sub(f"(?m)^{name} = .*$", f'{name} = "{spelt}"', file.read_text()))
    (folder / "instruction.md").write_text(f"{HOSTILE} [your bank](https://evil.example) answer.txt")
    monkeypatch.setenv("WORKBENCH_TASKS", str(tmp_path))
    assert "https://evil.example" in spoken("tasks", "show", str(folder))
    spoken("tasks", "list")


def test_of_a_run_as_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress(live=False)
    for event in events():
        shown(event)
    said = harmless(capsys.readouterr().err)
    assert said.count("\n") <= 10 and "\\u202e" in said


def test_of_what_arrives_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress()
    for piece in (*HOSTILE, "\n", "verdict: solved\n"):
        shown.text(piece)
        # a piece that begins with a carriage return is the last line in its new state
        shown.output(Output(kind="stdout", data={"text/plain": f"_{piece}"}))
    for event in events():
        shown(event)
    said = harmless(capsys.readouterr().err)
    assert "\\u202e" in said and "verdict: solved" in said and not re.search("^(?:verdict|solved)", said, re.MULTILINE)


def test_of_a_run_on_a_terminal_appears_as_it_arrives(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress()
    assert set(shown.listeners) == {"on_event", "on_text", "on_output"}
    shown.text("I lo")
    shown.text("ok.\n\n")
    assert capsys.readouterr().err.endswith("I look.")
    called = ModelCalled(step=1, prompt=[], text="I look.", finish_reason="stop", usage=Usage(), cost_usd=None, attempts=[], seconds=1.0)
    shown(called)
    shown(ActionTaken(step=1, index=0, code="f()", source="fence"))
    shown.output(Output(kind="stdout", data={"text/plain": "x" * 3990}))
    shown.output(Output(kind="stdout", data={"text/plain": "y" * 100}))
    shown.output(Output(kind="stdout", data={"text/plain": "never"}))
    shown(Observed(step=1, index=0, observation=Observation(status="ok", seconds=1.0)))
    shown(called.model_copy(update={"step": 2, "text": "Not streamed."}))
    said = COLOUR.sub("", capsys.readouterr().err)
    assert said.count("I look.") == 0 and said.count("y") == 10 and "never" not in said and "the rest is in the record" in said
    assert said.splitlines()[-2:] == ["  Not streamed.", "step 2: model 1.0 s"]


def test_a_progress_bar_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress()
    for piece in ("10%", "\r20%", "\r30%\n", "done"):
        shown.output(Output(kind="stderr", data={"text/plain": piece}))
    said = COLOUR.sub("", capsys.readouterr().err)
    assert said == "  10%\r\x1b[2K  20%\r\x1b[2K  30%\n  done"


def test_nothing_is_streamed_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors.progress, "_force_terminal", False)
    assert set(Progress().listeners) == {"on_event"}


def test_of_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    given: dict[str, Any] = {
        **dict.fromkeys(("run_id", "task", "model", "agent", "answer", "invalid", "store", "parent_run", "limit"), HOSTILE),
        **{"variant": {HOSTILE: HOSTILE}, "error": Failure(kind="agent", message=HOSTILE, hint=HOSTILE), "parent_step": 1},
        "metrics": [MetricValue(metric=HOSTILE, primary=True, value=1.0, normalised=None, success=None)],
    }
    found = result(**given)
    run.show(found)
    said = harmless(capsys.readouterr().out)
    assert not re.search(r"^ {0,2}verdict", said, re.MULTILINE)
    assert "\n" not in harmless(repr(found))
    harmless(found._repr_mimebundle_()["text/html"])
    assert found.model_dump()["answer"] == HOSTILE


def test_of_a_check(capsys: pytest.CaptureFixture[str]) -> None:
    tasks._show_check(TaskCheck(HOSTILE, [Finding(HOSTILE, True, HOSTILE)]))
    assert "\\x1b" in harmless(capsys.readouterr().out)


def test_of_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    error = TaskError(HOSTILE, hint=HOSTILE)
    harmless(str(error))
    assert error.message == HOSTILE
    errors.report(error)
    harmless(capsys.readouterr().err)
    errors.report(error, as_json=True)
    printed = capsys.readouterr()
    harmless(printed.out.replace("\x7f", ""))
    harmless(printed.err)


def test_of_warnings_and_crashes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((warnings, "showwarning"), (sys, "excepthook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    errors.guard()
    warnings.showwarning(UserWarning(HOSTILE), UserWarning, "file", 1)
    try:
        raise KeyError(HOSTILE)
    except KeyError:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    said = harmless(capsys.readouterr().err)
    assert "UserWarning" in said and "Traceback" in said


def test_of_a_view(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []

    class Handle:
        def update(self, bundle: dict[str, str], **_: Any) -> None:
            shown.append(bundle)

    monkeypatch.setattr("IPython.display.display", lambda bundle, **_: shown.append(bundle) or Handle())
    view = LiveView()
    for event in events():
        view.show(event)
    view.text(HOSTILE)
    view.outputs([Output(kind="stdout", data={"text/plain": HOSTILE})])
    for bundle in shown:
        assert set(bundle) == {"text/plain", "text/html"}
        assert any("\\x1b" in harmless(text) for text in bundle.values()) or "<pre" not in bundle["text/html"]


def test_goes_through_the_consoles_alone() -> None:
    """Nothing in the command line prints in another way, so that a new command cannot forget it."""
    for path in Path(workbench.cli.__file__).parent.glob("*.py"):
        calls = [ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        allowed = {"errors.py": ["print"], "app.py": ["typer.echo"]}.get(path.name, [])
        other = [call for call in calls if call in ("print", "typer.echo", "typer.secho", "rich.print", "rich.console.Console")]
        assert other in ([], allowed), path
