"""A real Jupyter kernel for the notebook door."""

from __future__ import annotations

import json
import sys

import nbformat
import pytest
from nbclient import NotebookClient


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """Run cells in a kernel of the interpreter under test and return their outputs."""
    spec = tmp_path / "kernels" / "here"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "here", "language": "python"}))

    def run(*cells):
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        client = NotebookClient(made, timeout=120, kernel_name="here", resources={"metadata": {"path": str(tmp_path)}})
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
        client.execute()
        return [cell["outputs"] for cell in made.cells]

    return run
