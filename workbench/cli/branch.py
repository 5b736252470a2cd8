"""``workbench runs branch``: a new run that continues a recorded one from one of its steps."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import typer

from workbench.cli.progress import Progress
from workbench.cli.run import (
    MODELS,
    SANDBOXES,
    BaseUrlOption,
    BudgetOption,
    JsonOption,
    JudgeOption,
    MaxStepsOption,
    MaxTokensOption,
    ModelOptionOption,
    RecordOption,
    StoreOption,
    TimeoutOption,
    finish,
)


def branch(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or its beginning.")],
    at: Annotated[int, typer.Option(metavar="STEP", help="The last step that is inherited; 0 for none.")],
    model: Annotated[str | None, typer.Option(metavar="MODEL", help=f"Who goes on; by default the model of the run. {MODELS}")] = None,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="By default that of the run; another one can only begin at 0.")] = None,
    sandbox: Annotated[str | None, typer.Option(metavar="NAME", help=f"By default that of the run. {SANDBOXES}")] = None,
    task: Annotated[str | None, typer.Option(metavar="FOLDER", help="The task's folder, where it was run from one.")] = None,
    instruction: Annotated[str, typer.Option(metavar="TEXT", help="What the model is told besides, once.")] = "",
    max_steps: MaxStepsOption = None,
    max_tokens: MaxTokensOption = None,
    budget_usd: BudgetOption = None,
    timeout: TimeoutOption = None,
    base_url: BaseUrlOption = None,
    model_option: ModelOptionOption = None,
    judge: JudgeOption = None,
    record: RecordOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new run that continues a recorded one from one of its steps. Limits apply to what it adds."""
    from workbench import branches
    from workbench.models.options import parse_pairs

    options: dict[str, Any] = {
        "model": model,
        "agent": agent,
        "sandbox": sandbox,
        "task": task,
        "instruction": instruction,
        "max_steps": max_steps,
        "max_tokens": max_tokens,
        "budget_usd": budget_usd,
        "timeout": timeout,
        "base_url": base_url,
        "model_options": parse_pairs(model_option or []),
        "judge": judge,
        "record": record,
        "store": store,
        **Progress().listeners,
    }
    finish(functools.partial(branches.plan, run_id, at, **options), as_json=as_json)
