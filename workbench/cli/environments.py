"""``workbench environments``: the interpreters kernels run in."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from workbench.cli.errors import output, print_json, progress
from workbench.cli.run import JsonOption

app = typer.Typer(help="The environments kernels run in.", no_args_is_help=True)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the environments and whether they are built on this machine."""
    from workbench.kernels import environments

    found = [environments.find(name) for name in environments.names()]
    if as_json:
        print_json(
            [
                {"name": each.name, "built": each.built, "hash": each.hash, "prefix": str(each.prefix), "packages": each.packages}
                for each in found
            ]
        )
        return
    table = Table("environment", "built", "holds")
    for each in found:
        table.add_row(each.name, "yes" if each.built else "no", environments.describe(each))
    output.print(table)


@app.command()
def build(names: Annotated[list[str], typer.Argument(help="Which; several may be given.")], as_json: JsonOption = False) -> None:
    """Build environments; one that is built already is left alone."""
    from workbench.kernels import environments

    chosen = [environments.find(name) for name in names]
    for each in chosen:
        if not each.built:
            progress.print(f"building environment {each.name} ...")
        environments.build(each)
    if as_json:
        print_json([{"name": each.name, "prefix": str(each.prefix)} for each in chosen])
    else:
        for each in chosen:
            output.print(f"{each.name}: {each.prefix}", soft_wrap=True)
