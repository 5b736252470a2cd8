"""``workbench doctor``: what this machine gives, what is missing, and what to do about it."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

import typer

from workbench.cli.errors import FAILED, line, output, print_json
from workbench.cli.run import JsonOption, StoreOption


def doctor(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show what protection this machine provides, testing the walls from inside; exit with 1 if there is none."""
    from workbench import background, paths
    from workbench._version import __version__
    from workbench.errors import SandboxError
    from workbench.kernels import check, environments, walls
    from workbench.kernels.environments import Environment

    given = walls.protection()
    built = {name: each if isinstance(each, Environment) and each.built else None for name, each in environments.every().items()}
    tried = next((environment for environment in built.values() if environment), None)
    found: dict[str, Any] = {
        "workbench": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "protection": given.kind,
        "walls": given.walls,
        "missing": given.missing,
        "remedy": given.remedy,
        "attempts": None,
        "environments": {name: environment is not None for name, environment in built.items()},
        "model": os.environ.get("WORKBENCH_MODEL"),
        "store": str(store or paths.store()),
        "cache": str(paths.cache()),
    }
    if given.kind != "none" and tried is not None:
        try:
            result = background.wait(check.check(tried))
            found |= {"walls": result.walls, "missing": result.missing, "attempts": [attempt.model_dump() for attempt in result.attempts]}
        except SandboxError as error:
            found |= {"protection": "none", "missing": [*given.missing, error.message], "remedy": error.hint}
    escaped = [attempt["what"] for attempt in found["attempts"] or [] if not attempt["refused"]]
    if as_json:
        print_json(found)
    else:
        _show(found)
    if found["protection"] == "none" or escaped:
        raise typer.Exit(FAILED)


def _show(found: dict[str, Any]) -> None:
    output.print(f"workbench {found['workbench']}, Python {found['python']}, {found['system']} ({line(sys.prefix)})", soft_wrap=True)
    colour = "red" if found["protection"] == "none" else "green"
    output.print(f"\nlocal sandbox: [bold {colour}]{found['protection']}[/]")
    for wall in found["walls"]:
        output.print(f"  [green]stands[/]   {line(wall)}", soft_wrap=True)
    for wall in found["missing"]:
        output.print(f"  [yellow]missing[/]  {line(wall)}", soft_wrap=True)
    if found["missing"] and found["remedy"]:
        output.print(f"  what to do: {line(found['remedy'])}", soft_wrap=True)
    if found["attempts"] is None:
        output.print("  not tried from inside: build an environment first (workbench environments build python-min)", soft_wrap=True)
    else:
        output.print("\ntried from inside:")
        for attempt in found["attempts"]:
            verdict = "[green]refused[/]" if attempt["refused"] else "[bold red]got through[/]"
            output.print(f"  {verdict}  {line(attempt['what'])}  [dim]{line(attempt['answer'])}[/]", soft_wrap=True)
    output.print(
        "\nenvironments: "
        + ", ".join(f"{line(name)} ({'built' if built else 'not built'})" for name, built in found["environments"].items())
    )
    output.print(f"model: {line(found['model'] or 'none set (WORKBENCH_MODEL); --model oracle works without')}", soft_wrap=True)
    output.print(f"store: {line(found['store'])}", soft_wrap=True)
    output.print(f"cache: {line(found['cache'])}", soft_wrap=True)
