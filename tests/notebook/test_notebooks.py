"""The notebooks that ship with the project run from top to bottom."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.walls
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, notebook, ds, minimal):
    made = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in made.cells), "commit notebooks without outputs"
    outputs = notebook(*(cell.source for cell in made.cells if cell.cell_type == "code"))
    assert all(output.output_type != "error" for cell in outputs for output in cell)
