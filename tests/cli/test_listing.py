"""Lists of runs and tasks: readable at any width, and without a terminal."""

from __future__ import annotations

import json
import re

import pytest
import rich.console

from tests.commands import workbench
from tests.made import make_task
from workbench.cli.listing import Listing

ROWS = [
    ["20260101-000000-aaaaaa", "refactoring/mistune-rename-escape", "ollama_chat/qwen3-coder", "limit (steps)", "not solved"],
    ["20260101-000001-bbbbbb", "data-science/" + "x" * 40, "oracle", "completed", "[green]solved[/]"],
]


def lines(listing: Listing, width: int) -> list[str]:
    console = rich.console.Console(width=width, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(listing)
    return capture.get().splitlines()


def test_a_table_where_it_fits_and_blocks_where_not() -> None:
    listing = Listing(["run", "task", "model", "status", "solved"], ROWS, prose=False)
    assert any("run " in line and "status" in line for line in lines(listing, 200))
    for width in (80, 60):
        shown = lines(listing, width)
        assert all(len(line) <= width for line in shown)
        # no id, name or state is cut or divided
        assert all(re.sub(r"\[.*?\]", "", cell) in "\n".join(shown) for row in ROWS for cell in row)
        assert [line for line in shown if not line.startswith(" ")] == [line for line in shown if line.startswith("2026")]


def test_text_is_wrapped_and_has_no_blanks_at_the_end() -> None:
    shown = lines(Listing(["task", "variants", "summary"], [["a/" + "b" * 40, "3 variants", "word " * 40]]), 60)
    assert shown[0] == f"a/{'b' * 40}  3 variants" and len(shown) > 2
    assert all(line == line.rstrip() and len(line) <= 60 for line in shown)


@pytest.mark.parametrize("width", ["60", "80", ""])
def test_tasks_are_listed_in_the_width_there_is(width: str) -> None:
    done = workbench("tasks", "list", COLUMNS=width)
    most = int(width or 80)
    assert done.returncode == 0 and all(len(line) <= most for line in done.stdout.splitlines())
    ids = [row["id"] for row in json.loads(workbench("tasks", "list", "--json").stdout)]
    assert set(ids) <= set(done.stdout.split())


@pytest.mark.walls
def test_a_run_shows_each_actions_code_once(tmp_path, minimal, store_path) -> None:
    folder = make_task(tmp_path)
    run = json.loads(workbench("run", folder, "--model", "oracle", "--store", store_path, "--json").stdout)
    shown = workbench("runs", "show", run["run_id"], "--store", store_path).stdout
    assert shown.count("open('answer.txt', 'w').write('42')") == 1 and "```" not in shown
    for width in ("60", "80"):
        listed = workbench("runs", "list", "--store", store_path, COLUMNS=width).stdout
        assert run["run_id"] in listed and run["task"] in listed and "solved" in listed
        assert all(len(line) <= int(width) for line in listed.splitlines())


def test_help_shows_flags_as_flags_and_names_every_kind() -> None:
    shown = workbench("run", "--help").stdout
    assert "<bool>" not in shown and re.search(r"--json +Print", shown)
    for kind in ("local", "docker", "e2b", "none", "oracle", "nop", "baseline", "cheat", "cassette", "function", "litellm"):
        assert kind in shown
    for group in (["tasks"], ["runs"], ["kernels"], ["environments"], []):
        assert "..." not in workbench(*group, "--help").stdout.partition("Commands:")[2]
