"""``workbench bench``: measurements compared with a baseline, in the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.errors import output, print_json, progress
from workbench.cli.run import JsonOption
from workbench.errors import UsageError

app = typer.Typer(help="Measure workbench beside a baseline.", no_args_is_help=True)

_BEGIN, _END = "<!-- measured -->", "<!-- /measured -->"


@app.callback()
def group() -> None:
    """Measure workbench and compare it with a baseline."""


@app.command()
def kernels(
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="How often each time is taken.")] = 7,
    crowd: Annotated[int, typer.Option(metavar="N", min=1, help="Idle kernels alive when the memory of one is taken.")] = 50,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Put the table into this Markdown file, between its two marks.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare kernels with a stock ipykernel: starts, round trips, memory, branches."""
    from workbench import background
    from workbench.bench import kernels, measure

    if write is not None and (not write.is_file() or _END not in write.read_text(encoding="utf-8").partition(_BEGIN)[2]):
        raise UsageError(f"{write} has no {_BEGIN} and {_END} to put the table between", hint="docs/performance.md has them")
    found = background.wait(kernels.measure(rounds, crowd=crowd, tell=progress.print))
    table = measure.table(found)
    if write is not None:
        before, _, rest = write.read_text(encoding="utf-8").partition(_BEGIN)
        write.write_text(f"{before}{_BEGIN}\n\n{table}\n\n{_END}{rest.partition(_END)[2]}", encoding="utf-8")
    if as_json:
        print_json([{**each.model_dump(), "ratio": each.ratio} for each in found])
    else:
        output.print(table, soft_wrap=True, markup=False)
