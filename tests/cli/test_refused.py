"""What cannot be is refused before anything starts: exit code 2, a sentence, and a document where one was asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.commands import workbench
from tests.made import make_task

TASK = "refactoring/mistune-rename-escape"


def stores(folder: Path) -> dict[str, Path | str]:
    """Return paths at which no store can be, by what they are."""
    (folder / "folder").mkdir()
    (folder / "junk").write_text("a shopping list\n" * 1000)
    (folder / "short").write_text("?")
    (folder / "empty").touch()
    os.mkfifo(folder / "pipe")
    (folder / "blocked.duckdb.journals").write_text("in the way")
    with duckdb.connect(str(folder / "other.duckdb")) as other:
        other.execute("CREATE TABLE runs (miles INTEGER)")
    paths: dict[str, Path | str] = {name: folder / name for name in ("folder", "junk", "short", "empty", "pipe", "blocked.duckdb")}
    paths |= {"another program's": folder / "other.duckdb", "nothing": "", "device": "/dev/null", "root": "/", "kernel's": "/proc/x.duckdb"}
    return paths | {"nobody's home": "~nosuch/x.duckdb", "long": str(folder / ("x" * 300))}


def test_stores_that_cannot_be_one(tmp_path: Path) -> None:
    for name, path in stores(tmp_path).items():
        done = workbench("run", TASK, "--model", "nop", "--store", path, "--json")
        assert done.returncode == 2, name
        document = json.loads(done.stdout)
        assert document["error"]["kind"] == "user" and document["error"]["message"], name
        # nothing has begun: the first line would name the run
        assert "run 2" not in done.stderr and "Traceback" not in done.stderr, name
    assert (tmp_path / "junk").read_text().startswith("a shopping list")


@pytest.mark.parametrize("command", [["runs", "list"], ["tasks", "check", TASK], ["demo"], ["runs", "branch", "2", "--at", "1"]])
def test_stores_by_every_command(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("a shopping list")
    for path in (tmp_path / "junk", "/dev/null"):
        done = workbench(*command, "--store", path, "--json")
        assert (done.returncode, json.loads(done.stdout)["error"]["kind"]) == (2, "user")


@pytest.mark.skipif(shutil.which("mount") is None or os.getuid() != 0, reason="MOUNT: only root can make a folder read-only for root")
def test_a_store_on_a_disk_that_is_read_only(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", str(tmp_path)], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("MOUNT: not allowed here")
    try:
        done = workbench("run", TASK, "--model", "nop", "--store", tmp_path / "x.duckdb", "--json")
        assert (done.returncode, json.loads(done.stdout)["error"]["kind"]) == (2, "user")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--timeout", "inf"), "finite"),
        (("--timeout", "nan"), "more than 0"),
        (("--timeout", "-1"), "more than 0"),
        (("--timeout", "1e300"), "at most"),
        (("--budget-usd", "inf"), "finite"),
        (("--max-steps", "9" * 40), "at most"),
        (("--max-tokens", "9" * 40), "at most"),
        (("--epoch", "2147483648"), "at most"),
        (("--model", ""), "is empty"),
        (("--model", "nosuch"), "no model is called"),
        (("--model", "nosuch/model"), "no provider is called"),
        (("--judge", "nosuch"), "no model is called"),
    ],
)
def test_options_that_cannot_be(option: tuple[str, str], says: str, store_path: Path) -> None:
    model = () if option[0] == "--model" else ("--model", "nop")
    done = workbench("run", TASK, *model, *option, "--store", store_path, "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["kind"]) == (2, "user") and says in error["message"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("HOME", "/dev/null"), ("HOME", "/proc/nowhere"), ("XDG_CACHE_HOME", "/dev/null/x"), ("WORKBENCH_CACHE", "/dev/null")),
        *(("WORKBENCH_CACHE", "/proc/x"), ("WORKBENCH_CACHE", "~nosuch/x"), ("WORKBENCH_STORE", "/dev/null")),
    ],
)
def test_folders_that_cannot_be_used_are_named(variable: str, value: str) -> None:
    # where the tests have their own cache, HOME and the XDG folders are not asked
    environ = {**os.environ, variable: value}
    if variable in ("HOME", "XDG_CACHE_HOME"):
        environ.pop("WORKBENCH_CACHE", None)
        environ.pop("XDG_CACHE_HOME", None) if variable == "HOME" else None
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "run", TASK, "--model", "nop"], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert value.removeprefix("~").split("/")[1] in done.stderr


def test_suites_that_cannot_be_read_keep_no_task_out(tmp_path: Path) -> None:
    done = workbench("tasks", "list", "--json", WORKBENCH_SUITES=str(tmp_path))
    rows = json.loads(done.stdout)
    assert done.returncode == 0 and TASK in [row["id"] for row in rows]
    assert [row["error"]["kind"] for row in rows if row["error"]] == ["task"]


def test_a_current_folder_that_is_gone(tmp_path: Path) -> None:
    here = tmp_path / "here"
    program = f"cd {here} && rmdir {here} && exec {sys.executable} -P -m workbench tasks list --json"
    here.mkdir()
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "the current folder" in json.loads(done.stdout)["error"]["message"]


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_leave_no_traceback(closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m workbench tasks list {closed}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["\u202eabc\x1b[2J"], ["run", "--no\u202epe"], ["run", "x", "--max-steps", "\x1b]0;t\x07"]])
def test_arguments_that_are_not_understood_cannot_control_the_terminal(arguments: list[str]) -> None:
    done = workbench(*arguments)
    assert done.returncode == 2 and not {"\u202e", "\x1b", "\x07"} & set(done.stdout + done.stderr)
    document = json.loads(workbench(*arguments, "--json").stdout)
    assert document["error"]["kind"] == "user" and "--help" in document["error"]["hint"]


def test_families_and_suites_that_are_not_there() -> None:
    for option in ("--family", "--suite"):
        done = workbench("tasks", "list", option, "nosuch")
        assert done.returncode == 2 and "'nosuch'" in done.stderr and "there are: " in done.stderr


def test_a_malformed_task_among_good_ones(tmp_path: Path) -> None:
    good = make_task(tmp_path)
    broken = good.parent / "broken"
    broken.mkdir()
    (broken / "task.toml").write_text("schema = 1\nid = \n")
    environ = {"WORKBENCH_TASKS": os.pathsep.join([str(good.parents[1]), str(tmp_path / "nowhere")])}
    rows = json.loads(workbench("tasks", "list", "--json", **environ).stdout)
    errors = {row["id"]: row["error"] for row in rows if row["error"]}
    assert {error["kind"] for error in errors.values()} == {"task", "user"}
    (said,) = (error["message"] for name, error in errors.items() if name.endswith("/broken"))
    assert str(broken / "task.toml") in said and "line 2" in said
    listed = workbench("tasks", "list", **environ)
    assert listed.returncode == 0 and "cannot be read" in listed.stdout and TASK in listed.stdout
