"""The command ``workbench`` and its groups."""

from __future__ import annotations

import typer

from workbench.cli import bench, demo, doctor, environments, kernels, run, runs, tasks
from workbench.cli.group import Commands, Group

app = typer.Typer(
    name="workbench",
    cls=Commands,
    help="A research workbench for code agents that lives in Jupyter.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # plain help says which options are flags, and is as readable in a file as in a terminal
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
for _name, _group in {
    "tasks": tasks,
    "runs": runs,
    "environments": environments,
    "kernels": kernels,
    "bench": bench,
}.items():
    app.add_typer(_group.app, name=_name, cls=Group)


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", is_eager=True, help="Print the version and exit.", callback=lambda on: _version(on)),
) -> None:
    pass


def _version(on: bool) -> None:
    if on:
        from workbench._version import __version__

        typer.echo(__version__)
        raise typer.Exit
