"""``workbench run``: one agent at one task."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from workbench.cli.errors import FAILED, INTERRUPTED, block, line, output, print_json
from workbench.cli.progress import Progress
from workbench.errors import Interrupted, UsageError
from workbench.result import RunResult

if TYPE_CHECKING:
    from workbench.planning import Plan

MODELS = (
    "PROVIDER/NAME for any model that litellm knows; oracle (the reference solution), nop (does nothing), baseline (a fixed recipe), "
    "cheat or cheat:TRICK (tries to score without solving); cassette:FILE (a recording); function:MODULE:NAME (your own function)."
)
SANDBOXES = "local, docker or e2b; or none, which has no walls."
StoreOption = Annotated[
    str | None,
    typer.Option("--store", metavar="FILE", help="By default WORKBENCH_STORE, else workbench.duckdb in the project folder."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output and nothing else.")]
MaxStepsOption = Annotated[int | None, typer.Option("--max-steps", metavar="N", help="Most model replies.")]
MaxTokensOption = Annotated[int | None, typer.Option("--max-tokens", metavar="N", help="Most input and output tokens together.")]
BudgetOption = Annotated[float | None, typer.Option("--budget-usd", metavar="X", help="Most US dollars.")]
TimeoutOption = Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", help="Most seconds of work.")]
BaseUrlOption = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="Of an OpenAI-compatible server; by default WORKBENCH_BASE_URL.")
]
ModelOptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model-option",
        metavar="NAME=VALUE",
        help="How a model behind an API is asked: temperature, max_tokens, timeout, idle_timeout, retries, stream, extra.NAME; "
        "may be given again.",
    ),
]
JudgeOption = Annotated[
    str | None,
    typer.Option("--judge", metavar="MODEL", help="The model that a grader may ask; by default WORKBENCH_JUDGE."),
]
RecordOption = Annotated[Path | None, typer.Option("--record", metavar="FILE", help="Record the model's traffic in this cassette.")]


def run(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task's id, or the path of a task folder.")],
    agent: Annotated[str, typer.Option(metavar="NAME", help="codeact or codeact-tool.")] = "codeact",
    model: Annotated[str | None, typer.Option(metavar="MODEL", help=f"{MODELS} By default WORKBENCH_MODEL.")] = None,
    sandbox: Annotated[str, typer.Option(metavar="NAME", help=SANDBOXES)] = "local",
    variant: Annotated[list[str] | None, typer.Option(metavar="AXIS=VALUE", help="The task's prompt variant; may be given again.")] = None,
    max_steps: MaxStepsOption = None,
    max_tokens: MaxTokensOption = None,
    budget_usd: BudgetOption = None,
    timeout: TimeoutOption = None,
    epoch: Annotated[int, typer.Option(metavar="N", help="Which repetition this is.")] = 1,
    base_url: BaseUrlOption = None,
    model_option: ModelOptionOption = None,
    judge: JudgeOption = None,
    record: RecordOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run an agent on a task, grade its submission, and record everything."""
    from workbench import planning
    from workbench.models.options import parse_pairs

    options: dict[str, Any] = {
        "agent": agent,
        "model": model,
        "sandbox": sandbox,
        "variant": parse_variant(variant or []),
        "max_steps": max_steps,
        "max_tokens": max_tokens,
        "budget_usd": budget_usd,
        "timeout": timeout,
        "epoch": epoch,
        "base_url": base_url,
        "model_options": parse_pairs(model_option or []),
        "judge": judge,
        "record": record,
        "store": store,
        **Progress().listeners,
    }
    finish(functools.partial(planning.plan, task, **options), as_json=as_json)


def finish(plan: Callable[[], Plan], *, as_json: bool) -> NoReturn:
    """Make the run that ``plan`` plans, print its result and exit with its exit code."""
    try:
        result = execute(plan)
        code = FAILED if result.status == "error" else 0
    except Interrupted as interrupted:
        if interrupted.result is None:
            raise
        result, code = interrupted.result, INTERRUPTED
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        show(result)
    raise typer.Exit(code)


def execute(plan: Callable[[], Plan]) -> RunResult:
    """Make the run that ``plan`` plans; Ctrl-C is handled during planning too."""
    from workbench import background, blocking, runner

    return background.wait(runner.execute(background.wait(blocking.call(plan))))


def parse_variant(pairs: list[str]) -> dict[str, str]:
    """Return ``AXIS=VALUE`` pairs as a dict.

    Raises
    ------
    UsageError
        If one has no ``=``.

    Examples
    --------
    >>> parse_variant(["level=lazy"])
    {'level': 'lazy'}
    """
    variant = {}
    for pair in pairs:
        axis, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--variant {pair!r} has no '='", hint="write --variant AXIS=VALUE, for example --variant level=lazy")
        variant[axis.strip()] = value.strip()
    return variant


def show(result: RunResult) -> None:
    """Print ``result`` for a person."""
    colour = {"solved": "green", "not solved": "yellow", "not graded": "red"}[result.verdict]
    output.print(f"[bold {colour}]{result.verdict}[/]  {line(result.task)}  by {line(result.model)}", soft_wrap=True)
    for metric in result.metrics:
        value = "-" if metric.value is None else f"{metric.value:.4g}"
        output.print(f"  {line(metric.metric)} = {value}" + ("  (primary)" if metric.primary else ""))
    if result.invalid:
        output.print(f"  invalid: {block(result.invalid, margin=11)}", soft_wrap=True)
    if result.judged:
        output.print(f"  judged by {line(result.judged)}", soft_wrap=True)
    if result.answer:
        output.print(f"  answer: {block(result.answer, margin=10)}", soft_wrap=True)
    if result.error:
        colour = "yellow" if result.error.kind in ("limit", "user") else "red"
        output.print(f"  [{colour}]{result.error.kind}:[/] {block(str(result.error), margin=4)}", soft_wrap=True)
    if result.parent_run:
        diverged = f", steps that showed something else: {', '.join(map(str, result.diverged_steps))}" if result.diverged_steps else ""
        output.print(f"  branch of {line(result.parent_run)} at step {result.parent_step}{diverged}", soft_wrap=True)
    ended = result.status + (f" ({result.limit})" if result.limit else "")
    cost = "cost unknown" if result.cost_usd is None else f"{result.cost_usd:.4f} USD"
    output.print(f"  {line(ended)}: {result.steps} steps, {result.tokens} tokens, {cost}, {result.seconds:.1f} s")
    output.print(f"  workbench runs show {line(result.run_id)}   (store: {line(result.store)})", soft_wrap=True)
