"""``workbench kernels``: sandboxed kernels for Jupyter, those that are alive, and what dead ones left."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.errors import line, output, print_json, progress
from workbench.cli.listing import Listing
from workbench.cli.run import JsonOption

app = typer.Typer(help="Sandboxed kernels: for Jupyter, alive, and left over.", no_args_is_help=True)


@app.command()
def install(
    environment: Annotated[str, typer.Option(metavar="NAME", help="The environment its kernels run in.")] = "python-ds",
    sandbox: Annotated[str, typer.Option(metavar="NAME", help="Where they run: local, docker or e2b.")] = "local",
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What Jupyter calls it.")] = None,
    display_name: Annotated[str | None, typer.Option(metavar="TEXT", help="What people read.")] = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="Most memory of a kernel, for example 4G.")] = None,
    cpus: Annotated[float | None, typer.Option(metavar="N", help="Share of the processors: 0.5 is half of one.")] = None,
    processes: Annotated[int | None, typer.Option(metavar="N", help="Most processes and threads of a kernel.")] = None,
    disk: Annotated[str | None, typer.Option(metavar="SIZE", help="Most that its workspace may hold.")] = None,
    network: Annotated[list[str] | None, typer.Option(metavar="HOST", help="A host it may reach; may be given again.")] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="Give it this machine's GPUs.")] = False,
    workspace: Annotated[str, typer.Option(metavar="fresh|PATH", help="A fresh folder for each kernel, or one for all.")] = "fresh",
    user: Annotated[bool, typer.Option("--user", help="Install for this user.")] = False,
    prefix: Annotated[Path | None, typer.Option(metavar="PATH", help="Install below this folder.")] = None,
    sys_prefix: Annotated[bool, typer.Option("--sys-prefix", help="Install for the Python that runs this (the default).")] = False,
    as_json: JsonOption = False,
) -> None:
    """Install a kernelspec, with which Jupyter can start sandboxed kernels."""
    from workbench import background, blocking
    from workbench.errors import UsageError
    from workbench.kernels import environments, specs

    if user + sys_prefix + (prefix is not None) > 1:
        raise UsageError("--user, --prefix and --sys-prefix exclude each other", hint="give one of them, or none for --sys-prefix")
    limits = {"memory": memory, "cpus": cpus, "processes": processes, "workspace_bytes": disk}
    policy: dict[str, Any] = {"limits": {key: value for key, value in limits.items() if value is not None}}
    if network:
        policy["network"] = network
    if gpu:
        policy["gpu"] = True
    spec = specs.install(
        environment,
        sandbox,
        name=name,
        display_name=display_name,
        policy=policy,
        workspace=None if workspace == "fresh" else Path(workspace).expanduser(),
        user=user,
        prefix=prefix,
    )
    chosen = environments.find(environment)
    if sandbox == "local" and not chosen.built:
        progress.print(f"building environment {line(environment)} ...")
        background.wait(blocking.call(environments.build, chosen))
    if as_json:
        print_json(asdict(spec))
    else:
        output.print(f"{line(spec.display_name)} is installed as {line(spec.name)}: {line(str(spec.folder))}", soft_wrap=True)
    # on standard error, where --json leaves it too
    progress.print(_NOT_WALLED, soft_wrap=True)


_NOT_WALLED = (
    "Its output is not sandboxed: JupyterLab renders HTML and JavaScript in your page, where they can do all that you can do. "
    "Do not run a malicious notebook in a browser that is signed in to a server that you care about."
)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the sandboxed kernelspecs, and the kernels that are alive."""
    from workbench.kernels import labels, specs

    installed, live = specs.installed(), labels.live()
    used = {label.kernel: labels.memory(label, live) for label in live}
    if as_json:
        alive = [{**asdict(label), "seconds": label.seconds, "memory": used[label.kernel]} for label in live]
        print_json({"installed": [asdict(spec) for spec in installed], "live": alive})
        return
    specs_there = [
        [*map(line, (spec.name, spec.display_name, spec.environment, spec.sandbox, f"workspace {spec.workspace or 'fresh'}"))]
        for spec in installed
    ]
    heads = ["kernelspec", "display name", "environment", "sandbox", "workspace"]
    output.print(Listing(heads, specs_there, prose=False) if installed else "no kernelspec is installed (workbench kernels install)")
    alive_there = []
    for label in live:
        held = used[label.kernel]
        memory = "" if held is None else f"{held / 2**20:.0f} MiB"
        process = f"process {label.pid}" if label.pid else ""
        named = [*map(line, (label.kernel, label.environment, label.sandbox, process, f"started by {label.owner}"))]
        alive_there.append([*named, f"{label.seconds:.0f} s", memory])
    heads = ["kernel", "environment", "sandbox", "process", "started by", "age", "memory"]
    output.print(Listing(heads, alive_there, prose=False) if live else "no kernel is alive")


@app.command()
def gc(as_json: JsonOption = False) -> None:
    """Remove what dead processes left: folders, cgroups, containers, remote sandboxes."""
    from workbench import background
    from workbench.kernels import orphans

    swept = background.wait(orphans.sweep())
    if as_json:
        print_json(asdict(swept))
        return
    for sandbox, removed in swept.removed.items():
        output.print(f"{sandbox}: {'removed ' + line(', '.join(removed)) if removed else 'nothing was left'}", soft_wrap=True)
    for sandbox, reason in swept.skipped.items():
        output.print(f"{sandbox}: not looked at: {line(reason)}", soft_wrap=True)
