"""What an environment lacks on this machine, found out without running anything of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import distributions
from pathlib import Path

from workbench.errors import SandboxError
from workbench.kernels.locks import parse_package


def lacking_packages(site_packages: Path, packages: Iterable[str]) -> list[str]:
    """Return those of ``packages`` that are not installed, each with the version that is there instead."""
    lacking = []
    for text in packages:
        package = parse_package(text)
        if package.marker is not None and not package.marker.evaluate():
            continue
        version = next((found.version for found in distributions(name=package.name, path=[str(site_packages)])), None)
        if version is None:
            lacking.append(text)
        elif not package.specifier.contains(version, prereleases=True):
            lacking.append(f"{text} (it has {version})")
    return lacking


def lacking_modules(site_packages: Path, modules: Iterable[str]) -> list[str]:
    """Return those of ``modules`` that an import would not find; none of them is imported.

    Examples
    --------
    >>> lacking_modules(Path("nowhere"), ["json", "jsonn"])
    ['jsonn']
    """
    return [name for name in modules if not _importable(site_packages, name)]


def _importable(site_packages: Path, name: str) -> bool:
    parts = name.split(".")
    if parts[0] in sys.stdlib_module_names:
        return True
    where: Sequence[str] | None = [str(site_packages)]
    for number in range(1, len(parts) + 1):
        if where is None:
            return False
        found = PathFinder.find_spec(".".join(parts[:number]), where)
        if found is None:
            return False
        where = found.submodule_search_locations
    return True


def require_system(name: str, packages: Sequence[str]) -> None:
    """Ask dpkg whether the Debian ``packages`` of environment ``name`` are installed here, where the local sandbox takes them from.

    Raises
    ------
    SandboxError
        If some are not, or there is no dpkg to ask.
    """
    if not packages:
        return
    dpkg = shutil.which("dpkg-query")
    if dpkg is None:
        raise SandboxError(
            f"environment {name} needs the Debian packages {', '.join(packages)}, and this machine has no dpkg to ask for them",
            hint=f"build it as an image: workbench environments build {name} --backend docker",
        )
    done = subprocess.run([dpkg, "-W", "-f", "${Package} ${db:Status-Status}\\n", *packages], capture_output=True, text=True, check=False)
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    if missing := [package for package in packages if package not in installed]:
        raise SandboxError(
            f"environment {name} needs Debian packages that are not installed here: {', '.join(missing)}",
            hint=f"apt-get install {' '.join(missing)}",
        )
