"""The baseline: recipes that are there, and what is said where one is not."""

from __future__ import annotations

import ast
from importlib import resources

import pytest

from workbench.errors import TaskError, UsageError
from workbench.models import baseline
from workbench.tasks import find


@pytest.mark.parametrize("name", baseline.names())
async def test_a_recipe_is_python_that_knows_only_its_options(name: str) -> None:
    model = baseline.baseline(name, {"train": "it's.csv"})
    assert (await model.reply([])).text == "```python\nOPTIONS = {'train': \"it's.csv\"}\n```"
    source = (resources.files("workbench.models") / "recipes" / f"{name}.py").read_text(encoding="utf-8")
    cells = baseline.split(source)
    assert cells and "OPTIONS[" in source
    for cell in cells:
        ast.parse(cell)


def test_a_recipe_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UsageError, match="no recipe is called 'magic'") as caught:
        baseline.baseline("magic", {})
    assert "tabular" in (caught.value.hint or "")


def test_a_task_without_a_recipe_has_no_baseline() -> None:
    with pytest.raises(TaskError, match="has no recipe for a baseline"):
        find("refactoring/mistune-rename-escape").recipe()
