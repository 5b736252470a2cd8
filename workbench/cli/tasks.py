"""``workbench tasks``: what can be run."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markdown import Markdown
from rich.table import Table

from workbench.cli.errors import FAILED, INTERRUPTED, block, line, output, print_json, progress
from workbench.cli.listing import Listing
from workbench.cli.run import SANDBOXES, JsonOption, StoreOption, parse_variant
from workbench.errors import Interrupted, TaskError, UsageError, classify
from workbench.text import shown

if TYPE_CHECKING:
    from workbench.checks import TaskCheck

NOT_COMPARABLE = (
    "Not directly comparable: published figures were measured with other agents, prompts, limits and machines, some on other tasks. "
    "Each says its setting."
)

NOT_THE_SAME = (
    "Changed: when these runs were made, the tasks were not those of the commit that was imported. They say nothing about the benchmark. "
    "The record of each run says what differed."
)

app = typer.Typer(help="The tasks that can be run.", no_args_is_help=True)


@app.command("list")
def list_(
    family: Annotated[str | None, typer.Option(metavar="NAME", help="Only this family.")] = None,
    suite: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this suite, task by task; an imported one is otherwise a line.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the tasks, and what should be one and cannot be read."""
    from workbench.tasks.availability import lacking
    from workbench.tasks.imported import listed
    from workbench.tasks.registry import survey

    loaded, broken = survey()
    _known("family", family, {folder.task.family for folder in loaded})
    _known("suite", suite, {folder.task.suite for folder in loaded} | {each.name for each in broken})
    chosen = [folder for folder in loaded if family in (None, folder.task.family) and suite in (None, folder.task.suite)]
    tasks = [folder.task for folder in chosen]
    changes = {folder.task.id: folder.changes() for folder in chosen}
    if suite is not None:
        broken = [each for each in broken if suite in (each.name, each.name.partition("/")[0])]
    if as_json:
        print_json(
            [
                {
                    **{"id": task.id, "family": task.family, "suite": task.suite, "summary": task.summary},
                    **{"variants": task.variants, "difficulty": task.difficulty, "unavailable": lacking(task)},
                    **{"changed": changes[task.id], "error": None},
                }
                for task in tasks
            ]
            + [{"id": each.name, "error": classify(each.error).model_dump()} for each in broken]
        )
        return
    imported = set() if suite is not None else _recorded()
    rows = []
    for task in tasks:
        if task.suite not in imported:
            needs = f"[yellow]unavailable: {line('; '.join(missing))}[/] " if (missing := lacking(task)) else ""
            mark = f"[yellow]changed: {line('; '.join(changes[task.id]))}[/] " if changes[task.id] else ""
            variants = len(task.variants)
            rows.append([line(task.id), "" if variants == 1 else f"{variants} variants", needs + mark + line(task.summary)])
    rows += [
        [line(each.name), "[red]cannot be read[/]", f"[red]{line(str(each.error))}[/]"]
        for each in broken
        if each.name.partition("/")[0] not in imported or "/" not in each.name
    ]
    output.print(Listing(["task", "variants", "summary"], rows) if rows else "no task is there")
    for name in sorted(imported):
        of = [task for task in tasks if task.suite == name]
        malformed = sum(each.name.startswith(f"{name}/") for each in broken)
        runnable = sum(not lacking(task) for task in of)
        unread = f", and {malformed} that cannot be read" if malformed else ""
        said = f"{name}: {len(of)} tasks, {runnable} of them runnable here{unread}; workbench tasks list --suite {name}"
        output.print(line(said), soft_wrap=True)
        if changed := [task.id for task in of if changes[task.id]]:
            reasons = "; ".join(dict.fromkeys(reason for task in changed for reason in changes[task]))
            output.print(f"  [yellow]{len(changed)} changed ({line(listed(changed))}): {line(reasons)}[/]", soft_wrap=True)


def _recorded() -> set[str]:
    """Return the imported suites; none where that cannot be read, which the survey has said."""
    from workbench.tasks import suites

    try:
        return set(suites.recorded())
    except TaskError:
        return set()


def _known(what: str, name: str | None, there: set[str]) -> None:
    if name is not None and name not in there:
        hint = f"there are: {', '.join(sorted(each for each in there if '/' not in each))}"
        more = "; workbench tasks import reads a published one" if what == "suite" else ""
        raise UsageError(f"no task belongs to {what} {name!r}", hint=hint + more)


@app.command()
def show(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task's id, or the path of a task folder.")],
    variant: Annotated[list[str] | None, typer.Option(metavar="AXIS=VALUE", help="The prompt variant.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a task: its instruction, what to submit, and how that is scored."""
    from workbench.tasks import find

    folder = find(task)
    chosen = folder.task.resolve_variant(parse_variant(variant or []))
    if as_json:
        told = folder.task.model_dump(mode="json", by_alias=True)
        print_json({**told, "instruction": folder.instruction(chosen), "hash": folder.hash(), "changed": folder.changes()})
        return
    described = folder.task
    # links are printed with their address, so that their text cannot mislead
    output.print(Markdown(shown(folder.instruction(chosen)), hyperlinks=False))
    table = Table(show_header=False, title=line(described.id), title_justify="left")
    table.add_row("variant", line(", ".join(f"{axis}={value}" for axis, value in chosen.items()) or "-"))
    table.add_row("axes", line("; ".join(f"{axis}: {', '.join(values)}" for axis, values in described.prompt.axes.items()) or "-"))
    if described.submission is not None:
        table.add_row("submission", f"{described.submission.kind} {line(described.submission.path or '')}")
    for metric in described.metrics:
        rule = f", solved when {metric.success.rule} {metric.success.value:g}" if metric.success else ""
        base = "" if metric.baseline is None else f", baseline {metric.baseline.measure or format(metric.baseline.value, 'g')}"
        table.add_row("metric" + (" (primary)" if metric.primary else ""), line(f"{metric.name}, {metric.direction}{base}{rule}"))
    needs = described.environment
    table.add_row(
        "environment",
        line(", ".join([needs.name, *needs.packages, *([f"{needs.memory} of memory"] if needs.memory else []), "no network"])),
    )
    table.add_row("limits", f"{described.interaction.max_steps} steps, {described.interaction.max_seconds:g} s")
    for reason in folder.changes():
        table.add_row("changed", line(reason))
    table.add_row("licence", line(described.licence))
    table.add_row("source", line(described.source))
    output.print(table)


@app.command("import")
def import_(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="Which published benchmark.")],
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Your own checkout of it, or the folder with its files. Nothing is written there.")
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to call the suite, so that several of one kind can be imported.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of a suite of the same name from elsewhere.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read a published benchmark from your own checkout of it, and list its tasks from now on."""
    from workbench import background, blocking
    from workbench.tasks import suites
    from workbench.tasks.imported import listed

    report = background.wait(blocking.call(functools.partial(suites.import_, suite, Path(path), name, replace=replace)))
    if as_json:
        print_json(
            {
                **{"suite": report.suite, **report.record.model_dump(mode="json", exclude={"tasks"}), "differing": report.differing},
                **{"found": len(report.found), "variants": report.variants},
                **{"runnable": report.runnable, "unavailable": report.unavailable, "counts": report.counts},
                "malformed": {task: classify(error).model_dump() for task, error in report.malformed.items()},
            }
        )
        return
    at = f" at commit {report.record.commit[:12]}" if report.record.commit else ""
    found = f"{len(report.found)} tasks found ({report.variants} with variants), {report.runnable} runnable"
    output.print(f"{line(report.suite)}: {found}", soft_wrap=True)
    output.print(f"  {line(str(report.record.path))}{at}", soft_wrap=True)
    if report.differing:
        output.print(f"  [yellow]not as in the commit: {line(listed(report.differing))}[/]", soft_wrap=True)
    for needs, count in report.counts.items():
        output.print(f"  [yellow]{count} unavailable: {line(needs)}[/]", soft_wrap=True)
    if report.malformed:
        output.print(f"  [red]{len(report.malformed)} cannot be read: {line(listed(list(report.malformed)))}[/]", soft_wrap=True)
        output.print(f"    {line(str(next(iter(report.malformed.values()))))}", soft_wrap=True)
    if report.counts or report.malformed:
        output.print(f"  workbench tasks list --suite {line(report.suite)} gives the reasons", soft_wrap=True)


@app.command()
def published(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="Which published benchmark.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the published figures of a benchmark with their sources, next to your own runs."""
    from workbench.storage.store import Store
    from workbench.tasks import published as figures
    from workbench.tasks import suites

    theirs, yours, of = figures.published(suite), figures.own(Store(store), suite), suites.size(suite)
    if as_json:
        print_json(
            {
                "suite": suite,
                "tasks": of,
                "published": [each.model_dump(mode="json") for each in theirs],
                "own": list(map(dataclasses.asdict, yours)),
            }
        )
        return
    rows = []
    for each in theirs:
        error = "" if each.error is None else f" ± {each.error:g}" + (f" ({each.error_kind})" if each.error_kind else "")
        figure = f"{each.metric} {each.value:g} {each.unit}{error}"
        rows.append([*map(line, (each.model, each.agent or "", figure, f"{each.source}, {each.date}", each.setting))])
    output.print("published")
    output.print(Listing(["model", "agent", "figure", "source", "setting"], rows) if rows else f"  none of {line(suite)} is known")
    mine = []
    for row in yours:
        changed = "[yellow]changed[/]" if row.changed else ""
        counted = [f"{row.tasks} of {of or '?'} tasks", f"{row.runs} runs", f"{row.solved:.1%} solved"]
        mine.append([line(row.model), line(row.agent), line(row.variant), *counted, changed])
    output.print("yours")
    heads = ["model", "agent", "variant", "tasks", "runs", "solved", ""]
    output.print(Listing(heads, mine, prose=False) if mine else f"  you have no graded run of {line(suite)}")
    if any(row.changed for row in yours):
        output.print(f"[yellow]{NOT_THE_SAME}[/]", soft_wrap=True)
    output.print(f"[yellow]{NOT_COMPARABLE}[/]", soft_wrap=True)


@app.command()
def check(
    tasks: Annotated[list[str] | None, typer.Argument(metavar="TASK", help="Ids or folders; by default every built-in task.")] = None,
    sandbox: Annotated[str, typer.Option(metavar="NAME", help=SANDBOXES)] = "local",
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="How many tasks at once.")] = 2,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove tasks: the oracle solves them; nop, the baseline and every trick do not; grades repeat; nothing hidden is in reach."""
    from workbench import background, checks
    from workbench.storage.store import Store
    from workbench.tasks import find
    from workbench.tasks.registry import load_folders

    kept = Store(store)
    kept.check()
    folders = [find(task) for task in tasks] if tasks else [folder for folder in load_folders() if folder.task.suite == "builtin"]
    progress.print(f"[dim]{len(folders)} tasks, {jobs} at once[/]")
    done: list[TaskCheck] = []

    def checked(found: TaskCheck) -> None:
        done.append(found)
        if not as_json:
            _show_check(found)

    interrupted = False
    try:
        done = background.wait(checks.check_all(folders, store=kept, sandbox=sandbox, jobs=jobs, on_check=checked))
    except Interrupted:
        interrupted = True
    if as_json:
        print_json([{**dataclasses.asdict(each), "ok": each.ok} for each in done])
    elif interrupted:
        output.print(f"interrupted; {len(done)} of {len(folders)} tasks were checked")
    else:
        bad = [each.task for each in done if not each.ok]
        output.print(
            f"{len(done) - len(bad)} of {len(done)} tasks are sound" + (f"; not: {line(', '.join(bad))}" if bad else ""), soft_wrap=True
        )
    raise typer.Exit(INTERRUPTED if interrupted else FAILED if any(not each.ok for each in done) else 0)


def _show_check(found: TaskCheck) -> None:
    colour, word = ("green", "sound") if found.ok else ("red", "not sound")
    output.print(f"[bold {colour}]{word}[/]  {line(found.task)}  [dim]{found.seconds:.1f} s[/]", soft_wrap=True)
    for finding in found.findings:
        mark = "[green]ok[/] " if finding.ok else "[red]bad[/]"
        output.print(f"  {mark} {line(finding.name)}: {block(finding.said, margin=6)}", soft_wrap=True, highlight=False)


@app.command()
def new(
    task: Annotated[str, typer.Argument(metavar="FAMILY/NAME", help="The id of the new task.")],
    folder: Annotated[
        Path, typer.Option("--in", metavar="FOLDER", help="Where your tasks are; name it in WORKBENCH_TASKS to find them by id.")
    ] = Path("tasks"),
) -> None:
    """Write a small task that is sound already, to begin from."""
    from workbench.tasks.new import new

    made = new(task, folder)
    output.print(line(str(made.root)), soft_wrap=True)
    output.print(f"[dim]workbench tasks check {line(str(made.root))}[/]", soft_wrap=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of task.toml."""
    from workbench.tasks.spec import Task

    print_json(Task.model_json_schema(by_alias=True))
