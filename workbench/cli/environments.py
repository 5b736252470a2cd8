"""``workbench environments``: the interpreters kernels run in."""

from __future__ import annotations

import functools
import inspect
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.errors import line, output, print_json, progress
from workbench.cli.listing import Listing
from workbench.cli.run import JsonOption

if TYPE_CHECKING:
    from workbench.kernels.environments import Environment

app = typer.Typer(help="The environments kernels run in.", no_args_is_help=True)

_BUILDERS = {"local": "environments", "docker": "images", "e2b": "templates"}
"""The module of :mod:`workbench.kernels` that builds for each backend."""
_MADE = {"local": "prefix", "docker": "image", "e2b": "template"}
"""What each of them makes, as the JSON calls it."""


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the environments and whether they are built on this machine."""
    from workbench.errors import UsageError
    from workbench.kernels import environments

    rows: list[dict[str, Any]] = []
    listed = []
    for name, found in environments.every().items():
        if isinstance(found, UsageError):
            rows.append({"name": name, "error": str(found)})
            listed.append([line(name), "", "[red]broken[/]", line(str(found))])
        else:
            rows.append(_row(found))
            built = "built" if found.built else "not built"
            listed.append([line(name), line(f"Python {rows[-1]['python']}"), built, line(environments.describe(found))])
    if as_json:
        print_json(rows)
    else:
        output.print(Listing(["environment", "python", "built", "holds"], listed))


def _row(found: Environment) -> dict[str, Any]:
    from workbench.kernels import definition

    said = definition.load(found.definition)
    return {
        **{"name": found.name, "summary": said.summary, "python": said.python, "folder": str(found.definition)},
        **{"built": found.built, "hash": found.hash, "prefix": str(found.prefix), "packages": found.packages},
        **{"system": found.system, "preload": found.preload, "limits": vars(found.limits)},
    }


@app.command()
def build(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Which, by name or by the path of a folder; several may be given.")],
    backend: Annotated[str, typer.Option(metavar="NAME", help="What for: local, docker or e2b.")] = "local",
    as_json: JsonOption = False,
) -> None:
    """Build environments for a backend; one that is built already is left alone."""
    from workbench.kernels import environments

    _require(backend)
    chosen = [environments.find(name) for name in names]
    made = []
    for each in chosen:
        if backend != "local" or not each.built:
            progress.print(f"building environment {line(each.name)} ...")
        made.append({"name": each.name, "backend": backend, "hash": each.hash, _MADE[backend]: _build(each, backend)})
    if as_json:
        print_json(made)
    else:
        for row in made:
            output.print(f"{line(row['name'])}: {line(row[_MADE[backend]])}", soft_wrap=True)


def _require(backend: str) -> None:
    from workbench.errors import UsageError

    if backend not in _BUILDERS:
        raise UsageError(f"no backend is called {backend!r}", hint=f"there are: {', '.join(_BUILDERS)}")
    if backend != "local" and find_spec(backend) is None:
        raise UsageError(
            f"backend {backend} needs the Python package {backend}, which is not installed",
            hint=f"pip install 'codeact-workbench[{backend}]'",
        )


def _build(environment: Environment, backend: str) -> str:
    from workbench import background, blocking

    build = import_module(f"workbench.kernels.{_BUILDERS[backend]}").build
    made = background.wait(build(environment) if inspect.iscoroutinefunction(build) else blocking.call(build, environment))
    return str(environment.prefix if backend == "local" else made)


@app.command()
def lock(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Which, by name or by the path of a folder; several may be given.")],
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Take the newest versions instead of keeping those that still fit.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Resolve the packages of environments into their locks, for every platform."""
    from workbench import background, blocking
    from workbench.kernels import environments

    written = []
    for name in names:
        progress.print(f"resolving environment {line(name)} ...")
        locked = background.wait(blocking.call(functools.partial(environments.lock, name, upgrade=upgrade)))
        written.append({"name": name, "lock": str(locked)})
    if as_json:
        print_json(written)
    else:
        for row in written:
            output.print(f"{line(row['name'])}: {line(row['lock'])}", soft_wrap=True)
