"""``workbench runs``: what was run."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer
from rich.padding import Padding
from rich.syntax import Syntax

from workbench.agents.cells import tidy
from workbench.agents.fences import Segment, scan
from workbench.cli import branch
from workbench.cli.errors import block, line, output, print_json
from workbench.cli.listing import Listing
from workbench.cli.run import JsonOption, StoreOption
from workbench.text import shown

app = typer.Typer(help="The runs in the store.", no_args_is_help=True)
app.command("branch")(branch.branch)

_LIST = """
SELECT r.run_id, r.started_at, r.task, r.variant, r.agent, r.model, r.sandbox, r.status, r.limit_reached, r.error_kind,
       r.success, s.metric, s.value, r.steps, r.tokens, r.cost_usd, r.seconds, r.parent_run, r.parent_step
FROM runs r LEFT JOIN scores s ON s.run_id = r.run_id AND s.is_primary
ORDER BY r.run_id DESC LIMIT ?
"""


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("--last", metavar="N", min=1, max=10**6, help="How many, the newest first.")] = 20,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest runs."""
    from workbench.storage.store import Store

    rows = [{**row, "variant": json.loads(row["variant"])} for row in Store(store).rows(_LIST, [limit])]
    if as_json:
        print_json(rows)
        return
    branches = any(row["parent_run"] for row in rows)
    heads = ["run", "task", "model", "status", "solved", "score", "steps", "cost", "seconds", *(["branch of"] if branches else [])]
    output.print(Listing(heads, [_cells(row, branches=branches) for row in rows], prose=False) if rows else "no run is in the store")


def _cells(row: dict[str, Any], *, branches: bool) -> list[str]:
    """Return what a list says of a run, with the unit of each number where a line may stand without its heading."""
    why = row["limit_reached"] or row["error_kind"]
    cells = [
        *map(line, (row["run_id"], row["task"], row["model"], row["status"] + (f" ({why})" if why else ""))),
        {None: "not graded", True: "[green]solved[/]", False: "not solved"}[row["success"]],
        "" if row["value"] is None else f"{line(row['metric'])} = {row['value']:.4g}",
        "" if row["steps"] is None else f"{row['steps']} steps",
        "" if row["cost_usd"] is None else f"{row['cost_usd']:.4f} USD",
        "" if row["seconds"] is None else f"{row['seconds']:.1f} s",
    ]
    return [*cells, *([line(f"{row['parent_run']} at {row['parent_step']}") if row["parent_run"] else ""] if branches else [])]


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or its beginning.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a run, step by step."""
    from workbench.storage.store import Store

    record = load(Store(store), run_id)
    if as_json:
        print_json(record)
        return
    run = record["run"]
    output.print(f"[bold]{line(run['run_id'])}[/]  {line(run['task'])}  {line(run['model'])}  {line(run['status'])}", soft_wrap=True)
    if run["parent_run"]:
        output.print(
            f"branch of {line(run['parent_run'])} at step {run['parent_step']}, by {run['branched_by'] or '(not made)'}", soft_wrap=True
        )
        if run["diverged_steps"]:
            steps = ", ".join(map(str, run["diverged_steps"]))
            output.print(f"[yellow]run again, these steps showed something else than is shown here: {steps}[/]", soft_wrap=True)
    output.print(f"[dim]behind: {line('; '.join(run['walls'] or []) or 'no wall')}[/]", soft_wrap=True)
    for wall in run["missing_walls"] or []:
        output.print(f"[yellow]missing: {line(wall)}[/]", soft_wrap=True)
    for call in record["model_calls"]:
        attempts = "".join(f" [{attempt['status']}]" for attempt in json.loads(call["attempts"]) if attempt["status"] != "ok")
        inherited = ", inherited" if call["inherited"] else ""
        output.rule(f"step {call['step']}{inherited}{line(attempts)}", align="left")
        actions = [action for action in record["actions"] if action["step"] == call["step"]]
        if prose := _prose(call, [action["code"] for action in actions]):
            output.print(f"  {block(prose)}", soft_wrap=True)
        for action in actions:
            _action(action)
        for step in record["steps"]:
            for note in step["notes"] if step["step"] == call["step"] else []:
                output.print(f"[yellow]told the model: {line(note)}[/]", soft_wrap=True)
    output.rule("end", align="left")
    for score in record["scores"]:
        output.print(
            f"{line(score['metric'])} = {score['value']}" + (f"  invalid: {block(score['invalid'])}" if score["invalid"] else ""),
            soft_wrap=True,
        )
    for judged in record["judgements"]:
        said = "cannot be read" if judged["scores"] is None else ", ".join(f"{k} {v:g}" for k, v in json.loads(judged["scores"]).items())
        output.print(f"[dim]judged by {line(judged['judge'])}, {line(judged['question'])}: {line(said)}[/]", soft_wrap=True)
    if run["error_message"]:
        output.print(f"[red]{run['error_kind']}: {block(run['error_message'])}[/]", soft_wrap=True)
    output.print(f"solved: {run['success']}, {run['steps']} steps, {run['tokens']} tokens")


@app.command()
def agreement(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show how far judges agree with themselves when they are asked the same again."""
    from workbench.storage.agreement import agreement as found_in
    from workbench.storage.store import Store

    found = found_in(Store(store))
    if as_json:
        print_json([dataclasses.asdict(each) for each in found])
        return
    rows = []
    for each in found:
        alpha = "" if each.alpha is None else f"alpha {each.alpha:.2f}"
        numbers = [f"{each.items} items", f"{each.replies} replies", f"mean {each.mean:.3g}", f"spread {each.spread:.3g}"]
        named = [line(each.judge), each.prompt_hash[:12], line(each.question), line(each.score)]
        rows.append([*named, *numbers, f"{each.exact:.0%} exact", alpha])
    heads = ["judge", "prompt", "question", "score", "items", "replies", "mean", "spread", "exact", "alpha"]
    output.print(Listing(heads, rows, prose=False) if found else "nothing was judged more than once")


def load(store: Any, run_id: str) -> dict[str, Any]:
    """Return the whole record of a run.

    Raises
    ------
    StoreError
        If no run, or more than one, begins with ``run_id``.
    """
    from workbench.storage import trajectory

    run = trajectory.find(store, run_id)
    of = [run["run_id"]]
    record: dict[str, Any] = {"run": run}
    for table, order in {
        "steps": "step",
        "model_calls": "step",
        "actions": "step, position",
        "observations": "step, position",
        "scores": "metric",
        "judgements": "position",
    }.items():
        record[table] = store.rows(f"SELECT * FROM {table} WHERE run_id = ? ORDER BY {order}", of)  # noqa: S608 - names are ours
    seen = {(row["step"], row["position"]): row for row in record["observations"]}
    for action in record["actions"]:
        action["observation"] = seen.get((action["step"], action["position"]))
    return record


def _prose(call: dict[str, Any], codes: list[str]) -> str:
    """Return what the model wrote, without the code of the step's actions, which is shown with its outputs."""
    parts = [_written(segment) for segment in scan(call["text"] or "") if not (codes and _is_action(segment, codes))]
    text: str = "".join(parts).strip() or ("" if call["text"] else call["error_message"] or "")
    return text if len(text) < 2000 else text[:2000] + f" [... {len(text) - 2000} characters more]"


def _is_action(segment: Segment, codes: list[str]) -> bool:
    return segment.kind == "call" or (segment.kind in ("python", "untagged", "execute") and tidy(segment.text) in codes)


def _written(segment: Segment) -> str:
    """Return a part of a model's text with the marks that it is usually written with."""
    match segment.kind:
        case "prose":
            return segment.text
        case "reasoning":
            return f"<think>{segment.text}</think>\n"
        case "answer":
            return f"<answer>{segment.text}</answer>\n"
        case "done":
            return "<done/>\n"
    return f"```{segment.tag or ('python' if segment.kind in ('python', 'execute') else '')}\n{segment.text.rstrip()}\n```\n"


def _action(action: dict[str, Any]) -> None:
    code = Syntax(shown(action["code"]), "python", background_color="default", word_wrap=True)
    output.print(Padding(code, (0, 0, 0, 2)))
    observation = action["observation"]
    if observation is None:
        output.print("[red]no observation was recorded[/]")
        return
    for item in json.loads(observation["outputs"]):
        text = item["data"].get("text/plain", "")
        output.print(f"  {block(text.rstrip()[:4000])}", soft_wrap=True, style="dim")
    if observation["error_name"]:
        output.print(f"[red]{line(observation['error_name'])}: {block(observation['error_value'][:1000])}[/]", soft_wrap=True)
    if observation["note"]:
        output.print(f"[yellow]{line(observation['note'])}[/]", soft_wrap=True)
