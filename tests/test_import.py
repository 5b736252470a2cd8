"""Importing workbench costs nothing and brings nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "litellm",
    "panel",
    "docker",
    "e2b",
    "ray",
    "pandas",
    "numpy",
    "duckdb",
    "pydantic",
    "jupyter_client",
    "IPython",
    "zmq",
    "rich",
    "typer",
)


def modules(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_import_brings_no_heavy_module():
    assert not modules("import workbench") & set(HEAVY)


@pytest.mark.parametrize(
    "code", ["import workbench as wb; wb.tasks; wb.run; wb.store", "import workbench.notebook.magics", "import workbench.cli.app"]
)
def test_the_doors_bring_no_provider_and_no_data_stack(code):
    assert not modules(code) & {"litellm", "panel", "docker", "e2b", "ray", "pandas", "numpy", "matplotlib"}


def test_public_names_are_what_they_say_whatever_was_imported_first():
    code = "import workbench.runner, workbench.storage.store, workbench.tasks.registry, workbench as wb\n"
    code += "assert callable(wb.run) and callable(wb.store) and wb.tasks.find and set(dir(wb)) == set(wb.__all__)"
    modules(code)


def test_an_unknown_name_is_an_attribute_error():
    import workbench

    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        getattr(workbench, "nope")  # noqa: B009
