"""The registry: finding tasks by id and by folder."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.tasks.conftest import MakeTask
from workbench import paths
from workbench.errors import TaskError
from workbench.tasks import find, load_all
from workbench.tasks.registry import roots, survey


@pytest.fixture(autouse=True)
def _builtin_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_TASKS", raising=False)


def ids() -> list[str]:
    return [folder.task.id for folder in load_all()]


def test_built_in_tasks_are_in_order_and_of_three_families() -> None:
    assert ids() == sorted(ids())
    assert {folder.task.family for folder in load_all()} == {"data-science", "ml-experimentation", "refactoring"}


def test_every_task_is_found_by_its_id() -> None:
    assert [find(name).task.id for name in ids()] == ids()


def test_an_unknown_id_names_the_nearest() -> None:
    with pytest.raises(TaskError, match="no task is called 'refactoring/mistune-rename-escap'") as caught:
        find("refactoring/mistune-rename-escap")
    assert caught.value.hint == "did you mean refactoring/mistune-rename-escape?"


@pytest.mark.parametrize("name", ["zzz", "", "/", "\0", "..", "x" * 300], ids=["far", "empty", "root", "nul", "up", "long"])
def test_an_id_that_is_near_none_says_where_they_are(name: str) -> None:
    with pytest.raises(TaskError, match="no task is called") as caught:
        find(name)
    assert caught.value.hint == "workbench tasks list shows them all"


def test_more_folders_are_searched(make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_task(name="data-science/one", root=tmp_path / "x")
    make_task(name="data-science/two", root=tmp_path / "y")
    monkeypatch.setenv("WORKBENCH_TASKS", os.pathsep.join([str(tmp_path / "x"), "", str(tmp_path / "y"), str(tmp_path / "nowhere")]))
    assert {"data-science/one", "data-science/two"} < set(ids())
    assert find("data-science/two").root == tmp_path / "y" / "data-science" / "two"


def test_more_folders_may_be_relative_or_at_home(make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_task(name="data-science/one", root=tmp_path / "x")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WORKBENCH_TASKS", "~/x")
    assert "data-science/one" in ids()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_TASKS", "x")
    assert roots()[1:] == [tmp_path / "x"]
    assert "data-science/one" in ids()


def test_two_tasks_of_one_id_are_refused_with_both_folders(make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = make_task(root=tmp_path / "x")
    two = make_task(root=tmp_path / "y")
    monkeypatch.setenv("WORKBENCH_TASKS", f"{tmp_path / 'x'}{os.pathsep}{tmp_path / 'y'}")
    with pytest.raises(TaskError, match="two tasks are called data-science/made") as caught:
        find("data-science/made")
    assert str(one.root) in caught.value.message and str(two.root) in caught.value.message
    assert caught.value.hint == "rename one"
    with pytest.warns(UserWarning, match="two tasks are called data-science/made"):
        load_all()


def test_a_folder_named_twice_is_searched_once(make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_task(root=tmp_path / "x")
    monkeypatch.setenv("WORKBENCH_TASKS", f"{tmp_path / 'x'}{os.pathsep}{tmp_path / 'x'}")
    assert ids().count("data-science/made") == 1


def test_a_task_is_found_by_its_folder(make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_task()
    assert find(str(folder.root)).task.id == "data-science/made"
    monkeypatch.chdir(folder.root.parent)
    found = find("made")
    assert found.root == folder.root
    monkeypatch.chdir(tmp_path)
    assert found.instruction({}) == "Do it."


def test_a_broken_task_is_named(make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_task(root=tmp_path / "x")
    (folder.root / "task.toml").write_text("schema = 9")
    monkeypatch.setenv("WORKBENCH_TASKS", str(tmp_path / "x"))
    make_task(name="data-science/whole", root=tmp_path / "x")
    with pytest.warns(UserWarning, match="schema: Input should be 1") as told:
        assert "data-science/whole" in ids()
    assert str(folder.root / "task.toml") in str(told[0].message)


def test_a_broken_task_is_no_hindrance_to_finding_another(make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = make_task(name="data-science/broken", root=tmp_path / "x")
    (broken.root / "task.toml").write_text("schema = 9")
    make_task(name="data-science/whole", root=tmp_path / "x")
    monkeypatch.setenv("WORKBENCH_TASKS", str(tmp_path / "x"))
    assert find("data-science/whole").task.id == "data-science/whole"
    with pytest.raises(TaskError, match="schema: Input should be 1"):
        find("data-science/broken")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'schema = 1\nid = "caf\xe9"\n', r"task\.toml cannot be read: it is not UTF-8 \(line 2: "),
        (b"schema = 1\nid = \n", r"task\.toml is not TOML: .*line 2"),
        (b"schema = 1\nfamily = 3\n", r"task\.toml: .*\(line 2\)"),
    ],
    ids=["bytes", "syntax", "value"],
)
def test_what_is_wrong_is_named_with_file_and_line(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, says: str
) -> None:
    broken = make_task(name="data-science/broken", root=tmp_path / "x")
    (broken.root / "task.toml").write_bytes(content)
    monkeypatch.setenv("WORKBENCH_TASKS", str(tmp_path / "x"))
    found, left_out = survey()
    assert [each.name for each in left_out] == ["data-science/broken"] and left_out[0].error.kind == "task"
    assert re.search(says, left_out[0].error.message) and found
    with pytest.raises(TaskError, match=says):
        find("data-science/broken")


def test_a_folder_of_tasks_that_is_not_there_is_named_and_the_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_TASKS", str(tmp_path / "nowhere"))
    found, left_out = survey()
    assert found and [each.error.kind for each in left_out] == ["user"] and "nowhere" in left_out[0].error.message
    with pytest.raises(TaskError, match="nowhere"):
        find("data-science/mine")


def test_a_suite_whose_checkout_is_gone_is_left_out_and_the_others_stay(tmp_path: Path) -> None:
    record = {"path": str(tmp_path / "gone"), "commit": None, "imported": "2026-01-01T00:00:00Z"}
    paths.suites().write_text(json.dumps({"mbpp": record}))
    with pytest.warns(UserWarning, match="left out: mbpp: .*gone"):
        found = load_all()
    assert {folder.task.suite for folder in found} == {"builtin"}
