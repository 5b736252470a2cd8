"""What Tab offers in a notebook."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell

from workbench.notebook.magics import register
from workbench.tasks import find


@pytest.fixture(scope="module")
def shell():
    """A shell of IPython with the magics."""
    made = InteractiveShell()
    register(made)
    return made


def offered(shell, line):
    return shell.Completer.complete(line_buffer=line, cursor_pos=len(line))[1]


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("%%agent --", {"--model", "--sandbox", "--environment", "--help"}),
        ("%%agent --model nop --max", {"--max-steps"}),
        ("%task run --", {"--model", "--variant", "--judge"}),
        ("%task ", {"run", "list", "show"}),
        ("%task run refactoring/mis", {"refactoring/mistune-rename-escape"}),
        ("result = %task show refactoring/mis", {"refactoring/mistune-rename-escape"}),
        ("%%agent --sandbox ", {"local", "docker", "e2b", "none"}),
        ("%%agent --environment python-", {"python-ds", "python-min"}),
        ("%task run x --model b", {"baseline"}),
    ],
)
def test_options_values_and_tasks_are_offered(shell, line, some):
    found = set(offered(shell, line))
    assert some <= found and all(each.startswith(line.rpartition(" ")[2]) for each in found)


def test_every_task_is_offered(shell):
    found = offered(shell, "%task run ")
    assert len(found) > 30 and all(find(name).task.id == name for name in found[:3])


def test_what_is_not_ours_is_left_to_ipython(shell):
    assert "--sandbox" not in offered(shell, "%timeit --")
