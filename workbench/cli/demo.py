"""``workbench demo``: the main job, offline, from nothing to a table of scores."""

from __future__ import annotations

import functools
import itertools
import shutil
import sys
from pathlib import Path

import typer
from rich.table import Table

from workbench.cli.errors import FAILED, INTERRUPTED, block, line, output, print_json, progress
from workbench.cli.progress import Progress
from workbench.cli.run import JsonOption, StoreOption, execute
from workbench.errors import Interrupted
from workbench.result import RunResult

TASKS = (
    "data-science/health-insurance-visits",
    "ml-experimentation/diabetes-progression",
    "refactoring/mistune-rename-escape",
)


def demo(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Run a task of each family with its oracle and with nop, and show the scores. No key, no network, no model."""
    from workbench import planning

    results: list[RunResult] = []
    interrupted = False
    try:
        for task, model in itertools.product(TASKS, ("oracle", "nop")):
            progress.print(f"[bold]{task}[/] with {model}")
            results.append(execute(functools.partial(planning.plan, task, model=model, store=store, on_event=Progress(live=False))))
    except Interrupted as stopped:
        interrupted = True
        results += [stopped.result] if stopped.result is not None else []
    expected = all(result.success is (result.model == "oracle") for result in results)
    if as_json:
        print_json([result.model_dump(mode="json") for result in results])
        raise typer.Exit(INTERRUPTED if interrupted else 0 if expected else FAILED)
    if interrupted:
        output.print(f"interrupted; {len(results)} of {2 * len(TASKS)} runs are in the store")
        raise typer.Exit(INTERRUPTED)
    table = Table(
        "task", "model", "solved", "score", "steps", "seconds", title="The oracle plays each task's reference solution; nop does nothing."
    )
    for result in results:
        score = result.score
        shown = result.invalid or "-" if score is None or score.value is None else f"{score.metric} = {score.value:.4g}"
        table.add_row(
            line(result.task),
            result.model,
            "[green]yes[/]" if result.success else "no",
            line(shown),
            str(result.steps),
            f"{result.seconds:.1f}",
        )
    output.print(table)
    for result in results:
        if result.error:
            output.print(f"[red]{line(result.task)} with {result.model}: {block(str(result.error))}[/]", soft_wrap=True)
    workbench, python = _command("workbench"), _command("python")
    query = "import workbench as wb; print(wb.store().sql('FROM runs SELECT task, model, success'))"
    for each in (
        f"\nEvery step is in {results[0].store}.",
        "What to do next:",
        f"  {workbench} runs show {results[0].run_id}",
        f"  {workbench} run {results[0].task} --model openai/gpt-4o    (or ollama/..., any model litellm knows)",
        f'  {python} -c "{query}"',
    ):
        output.print(line(each), soft_wrap=True)
    if not expected:
        output.print("[bold red]Not as it should be: the oracle must solve each task and nop none.[/] workbench doctor may say why.")
        raise typer.Exit(FAILED)


def _command(name: str) -> str:
    """Return how ``name`` of this environment is called from here."""
    path = Path(sys.executable).parent / name
    if shutil.which(name) == str(path):
        return name
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
