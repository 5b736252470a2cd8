"""Kernelspecs: with one installed, every Jupyter front end can start a sandboxed kernel."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager

from workbench.errors import UsageError
from workbench.kernels import environments, orphans
from workbench.kernels.orphans import PREFIX
from workbench.kernels.policy import Policy

FIRST = ("python-ds", "local")
"""The environment and the sandbox whose kernelspec has the plain name."""


@dataclass(frozen=True)
class Installed:
    """A kernelspec of a sandboxed kernel.

    Attributes
    ----------
    name, display_name : str
        What Jupyter calls it, and what a person reads.
    folder : Path
        Where it is.
    environment, sandbox : str
        What its kernels run in.
    policy : dict
        What they may use and reach, as far as it is not the default.
    workspace : str or None
        The folder they share; None where each has a fresh one.
    """

    name: str
    display_name: str
    folder: Path
    environment: str
    sandbox: str
    policy: dict[str, Any]
    workspace: str | None


def default_name(environment: str, sandbox: str) -> str:
    """Return the name of a kernelspec whose user did not give one.

    Examples
    --------
    >>> default_name("python-ds", "local")
    'python-sandboxed'
    >>> default_name("python-min", "local")
    'python-sandboxed-python-min-local'
    """
    return "python-sandboxed" if (environment, sandbox) == FIRST else f"python-sandboxed-{environment}-{sandbox}"


def default_display_name(environment: str, sandbox: str) -> str:
    """Return what a person reads where the user did not say.

    Examples
    --------
    >>> default_display_name("python-ds", "local"), default_display_name("python-min", "local")
    ('Python (sandboxed)', 'Python (sandboxed: python-min, local)')
    """
    return "Python (sandboxed)" if (environment, sandbox) == FIRST else f"Python (sandboxed: {environment}, {sandbox})"


def install(
    environment: str = FIRST[0],
    sandbox: str = FIRST[1],
    *,
    name: str | None = None,
    display_name: str | None = None,
    policy: Mapping[str, Any] | None = None,
    workspace: Path | None = None,
    user: bool = False,
    prefix: Path | None = None,
) -> Installed:
    """Install a kernelspec and return it; one of the same name is replaced.

    Parameters
    ----------
    environment : str
        The name of the environment its kernels run in.
    sandbox : str
        Where they run.
    policy : mapping, optional
        As :meth:`Policy.parse` takes it.
    workspace : Path, optional
        A folder for all its kernels; by default each has a fresh one that goes with it.
    user : bool
        Install for all environments of this user.
    prefix : Path, optional
        Install below this folder; by default that of the Python that runs this.

    Raises
    ------
    UsageError
        If anything of it cannot be, or the place cannot be written.
    """
    known = orphans.installed()
    if sandbox not in known:
        raise UsageError(f"no sandbox {sandbox!r} is installed", hint=f"there are: {', '.join(known)}")
    environments.find(environment)
    table = dict(policy or {})
    Policy.parse(table)
    config: dict[str, Any] = {"environment": environment, "policy": table}
    if workspace is not None:
        if not workspace.is_dir():
            raise UsageError(f"the workspace {workspace} is no folder of this machine", hint="make it, or leave it out for a fresh one")
        config["workspace"] = str(workspace.resolve())
    chosen = name or default_name(environment, sandbox)
    spec = {
        # nothing is ever run but by the provisioner: where that is missing there is no kernel
        "argv": [],
        "display_name": display_name or default_display_name(environment, sandbox),
        "language": "python",
        "interrupt_mode": "message",
        "metadata": {"debugger": False, "kernel_provisioner": {"provisioner_name": PREFIX + sandbox, "config": config}},
    }
    with tempfile.TemporaryDirectory() as source:
        Path(source, "kernel.json").write_text(json.dumps(spec, indent=1))
        where = None if user else str(prefix or sys.prefix)
        try:
            folder = KernelSpecManager().install_kernel_spec(source, chosen, user=user, prefix=where)
        except ValueError as error:
            raise UsageError(str(error), hint="use letters, digits, dots, dashes and underscores") from None
        except OSError as error:
            raise UsageError(
                f"the kernelspec cannot be written: {error.strerror}: {error.filename}",
                hint="use --user, or --prefix with a folder of yours",
            ) from None
    return _read(chosen.lower(), Path(folder))


def installed() -> list[Installed]:
    """Return the sandboxed kernelspecs that Jupyter finds here, sorted by name."""
    found = []
    for name, folder in sorted(KernelSpecManager().find_kernel_specs().items()):
        try:
            found.append(_read(name, Path(folder)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # of another kind, or not one that Jupyter could start either
            continue
    return found


def _read(name: str, folder: Path) -> Installed:
    spec = json.loads((folder / "kernel.json").read_text(encoding="utf-8"))
    stanza = spec["metadata"]["kernel_provisioner"]
    provisioner, config = stanza["provisioner_name"], stanza["config"]
    if not provisioner.startswith(PREFIX):
        raise ValueError(f"{name} is not of workbench")
    return Installed(
        name,
        spec["display_name"],
        folder,
        config["environment"],
        provisioner.removeprefix(PREFIX),
        config.get("policy", {}),
        config.get("workspace"),
    )
