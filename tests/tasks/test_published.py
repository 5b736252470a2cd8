"""Published figures, and one's own runs beside them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

import workbench as wb
from workbench.errors import TaskError, UsageError
from workbench.events import CHANGED, Noticed, RunFinished, RunStarted
from workbench.tasks import published as figures
from workbench.tasks import suites


@pytest.mark.parametrize("suite", suites.NAMES)
def test_every_suite_has_figures_that_say_where_they_are_from(suite: str) -> None:
    found = figures.published(suite)
    assert len(found) >= 3
    assert all(each.model and each.metric and each.unit and each.setting and each.source for each in found)
    said = [(each.model, each.agent, each.metric, each.setting, each.source) for each in found]
    assert len(set(said)) == len(said)
    assert all(0 <= each.value <= 100 for each in found if each.unit == "%")


def test_there_is_no_file_of_a_suite_that_is_none() -> None:
    assert {path.stem for path in figures._FIGURES.glob("*.toml")} == set(suites.NAMES)


def test_a_suite_nobody_knows() -> None:
    with pytest.raises(UsageError, match="no suite is called 'nothing'"):
        figures.published("nothing")


@pytest.mark.parametrize("text", ["nonsense", "[[published]]\nmodel = 'm'", "other = 1"])
def test_a_malformed_file_is_named(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_FIGURES", tmp_path)
    (tmp_path / "mbpp.toml").write_text(text)
    with pytest.raises(TaskError, match=r"mbpp.toml is malformed"):
        figures.published("mbpp")
    (tmp_path / "mbpp.toml").unlink()
    assert figures.published("mbpp") == []


_numbers = itertools.count()


def record(
    store: wb.store, task: str, success: bool | None, *, parent: str | None = None, model: str = "m", noticed: str | None = None
) -> None:
    with store.journal(f"r{next(_numbers)}") as journal:
        journal.write(
            RunStarted(
                task=task,
                task_hash="h",
                family="data-science",
                suite="mbpp",
                variant={},
                agent="codeact",
                model=model,
                sandbox="local",
                environment="python-min",
                limits={},
                instruction="",
                version="0",
                parent_run=parent,
            )
        )
        if noticed is not None:
            journal.write(Noticed(kind=noticed, message="task mbpp/1 is not the published one"))
        journal.write(RunFinished(status="completed", success=success, steps=1, tokens=0, cost_usd=None, seconds=1.0), durable=True)
    store.absorb()


def test_ones_own_runs_are_averaged_over_tasks(store_path: Path) -> None:
    store = wb.store(store_path)
    for task, success in (("mbpp/1", True), ("mbpp/2", True), ("mbpp/2", False), ("mbpp/3", None)):
        record(store, task, success)
    record(store, "mbpp/1", False, parent="r0")
    assert figures.own(store, "mbpp") == [figures.Own("m", "codeact", "{}", tasks=2, runs=3, solved=0.75)]
    assert figures.own(store, "blade") == []


def test_runs_of_changed_tasks_are_counted_apart(store_path: Path) -> None:
    store = wb.store(store_path)
    record(store, "mbpp/1", False)
    record(store, "mbpp/1", True, noticed=CHANGED)
    record(store, "mbpp/2", True, noticed=CHANGED)
    record(store, "mbpp/2", False, noticed="environment")
    assert figures.own(store, "mbpp") == [
        figures.Own("m", "codeact", "{}", tasks=2, runs=2, solved=0.0),
        figures.Own("m", "codeact", "{}", tasks=2, runs=2, solved=1.0, changed=True),
    ]


def test_a_suite_that_is_not_imported_has_no_size() -> None:
    assert suites.size("mbpp") is None
