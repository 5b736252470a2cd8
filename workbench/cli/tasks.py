"""``workbench tasks``: what can be run."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Column, Table

from workbench.cli.errors import output, print_json
from workbench.cli.run import JsonOption, parse_variant

app = typer.Typer(help="The tasks that can be run.", no_args_is_help=True)


@app.command("list")
def list_(family: Annotated[str | None, typer.Option(help="Only this family.")] = None, as_json: JsonOption = False) -> None:
    """List the tasks."""
    from workbench.tasks import load_all
    from workbench.tasks.availability import lacking

    tasks = [folder.task for folder in load_all() if family in (None, folder.task.family)]
    if as_json:
        print_json(
            [
                {
                    **{"id": task.id, "family": task.family, "suite": task.suite, "summary": task.summary},
                    **{"variants": task.variants, "difficulty": task.difficulty, "unavailable": lacking(task)},
                }
                for task in tasks
            ]
        )
        return
    table = Table(Column("task", overflow="fold"), "variants", "summary", box=SIMPLE)
    for task in tasks:
        needs = f"[yellow]unavailable: {escape('; '.join(missing))}[/] " if (missing := lacking(task)) else ""
        table.add_row(task.id, str(len(task.variants)), needs + escape(task.summary))
    output.print(table)


@app.command()
def show(
    task: Annotated[str, typer.Argument(help="A task's id, or the path of a task folder.")],
    variant: Annotated[list[str] | None, typer.Option(metavar="AXIS=VALUE", help="The prompt variant.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a task: its instruction, what it hands in and how that is scored."""
    from workbench.tasks import find

    folder = find(task)
    chosen = folder.task.resolve_variant(parse_variant(variant or []))
    if as_json:
        print_json({**folder.task.model_dump(mode="json", by_alias=True), "instruction": folder.instruction(chosen), "hash": folder.hash()})
        return
    described = folder.task
    output.print(Markdown(folder.instruction(chosen)))
    table = Table(show_header=False, title=described.id, title_justify="left")
    table.add_row("variant", ", ".join(f"{axis}={value}" for axis, value in chosen.items()) or "-")
    table.add_row("axes", "; ".join(f"{axis}: {', '.join(values)}" for axis, values in described.prompt.axes.items()) or "-")
    if described.submission is not None:
        table.add_row("submission", f"{described.submission.kind} {described.submission.path or ''}")
    for metric in described.metrics:
        rule = f", solved when {metric.success.rule} {metric.success.value:g}" if metric.success else ""
        base = "" if metric.baseline is None else f", baseline {metric.baseline.measure or format(metric.baseline.value, 'g')}"
        table.add_row("metric" + (" (primary)" if metric.primary else ""), f"{metric.name}, {metric.direction}{base}{rule}")
    needs = described.environment
    table.add_row(
        "environment", ", ".join([needs.name, *needs.packages, *([f"{needs.memory} of memory"] if needs.memory else []), "no network"])
    )
    table.add_row("limits", f"{described.interaction.max_steps} steps, {described.interaction.max_seconds:g} s")
    table.add_row("licence", described.licence)
    table.add_row("source", described.source)
    output.print(table)
