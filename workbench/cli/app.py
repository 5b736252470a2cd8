"""The command ``workbench`` and its groups."""

from __future__ import annotations

from typing import Any

import typer
import typer.core

from workbench import interrupts
from workbench.cli import bench, demo, doctor, environments, kernels, run, runs, tasks
from workbench.errors import Interrupted


class _Commands(typer.core.TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run the command; if it is interrupted and has no result to show, say so."""
        try:
            return super().invoke(ctx)
        except Interrupted:
            interrupts.tell()
            raise typer.Exit(interrupts.EXIT) from None


app = typer.Typer(
    name="workbench",
    cls=_Commands,
    help="A research workbench for code agents that lives in Jupyter.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("run")(run.run)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.add_typer(tasks.app, name="tasks")
app.add_typer(runs.app, name="runs")
app.add_typer(environments.app, name="environments")
app.add_typer(kernels.app, name="kernels")
app.add_typer(bench.app, name="bench")


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
