"""Environments: an interpreter and its packages, built once and kept apart from the one workbench runs in."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench import paths
from workbench.errors import SandboxError, UsageError

_DONE = "complete"
"""Name of the marker file that is written last, so that a build cut short is never taken for an environment."""


_PLUMBING = ("ipykernel", "matplotlib-inline", "sandlock")
"""Packages that every environment holds for the kernel's own sake."""


class EnvironmentFile(BaseModel):
    """What ``sandboxes/NAME/environment.toml`` may say."""

    model_config = ConfigDict(extra="forbid")

    name: str
    summary: str
    python: str
    """A version specifier, for example ``>=3.11,<3.14``."""
    lock: str = "requirements.lock"
    """Name of the file with every package, its version and its hashes."""
    packages: list[str] = Field(min_length=1)
    """What the lock was resolved from."""
    preload: list[str] = Field(default_factory=list)
    """Modules that are imported once for all kernels."""


@dataclass(frozen=True)
class Environment:
    """A definition of an environment and where its build lives on this machine.

    Attributes
    ----------
    name : str
        Its folder's name below ``sandboxes/``.
    definition : Path
        That folder.
    prefix : Path
        The virtual environment, whether built or not.
    hash : str
        Over the lock and the interpreter: it names the build.
    lock : Path
        Every package with its version and hashes.
    packages : tuple of str
        What it was asked to hold, with version ranges.
    preload : tuple of str
        Modules that are imported once for all kernels.
    """

    name: str
    definition: Path
    prefix: Path
    hash: str
    lock: Path
    packages: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.prefix / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """Where its packages are."""
        return self.prefix / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    @property
    def base_prefix(self) -> Path:
        """The Python installation it was made from."""
        return Path(sys.base_prefix).resolve()

    @property
    def built(self) -> bool:
        """Whether it can be used."""
        return (self.prefix / _DONE).is_file()


def find(name: str) -> Environment:
    """Return the environment called ``name``.

    Raises
    ------
    UsageError
        If there is none of that name, its file is malformed, or it does not take this Python.

    Examples
    --------
    >>> find("python-min").name
    'python-min'
    """
    folder = paths.builtin("sandboxes") / name
    file = folder / "environment.toml"
    if name not in names():
        raise UsageError(f"no environment is called {name!r}", hint=f"there are: {', '.join(names())}")
    try:
        definition = EnvironmentFile.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
        accepted = SpecifierSet(definition.python)
        lock = (folder / definition.lock).read_bytes()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError, InvalidSpecifier, OSError) as error:
        raise UsageError(f"{file}: {error}", hint="docs/architecture.md says what an environment is made of") from None
    version = ".".join(map(str, sys.version_info[:3]))
    if version not in accepted:
        raise UsageError(
            f"environment {name} takes Python {definition.python}, this is {version}", hint="run workbench with another Python"
        )
    digest = hashlib.sha256(lock)
    digest.update(f"{sys.version}\0{sys.platform}\0{Path(sys.base_prefix).resolve()}".encode())
    key = digest.hexdigest()[:16]
    return Environment(
        name,
        folder,
        paths.cache() / "environments" / f"{name}-{key}",
        key,
        folder / definition.lock,
        tuple(definition.packages),
        tuple(definition.preload),
    )


def names() -> list[str]:
    """Return the names of all environments.

    Examples
    --------
    >>> "python-ds" in names()
    True
    """
    return sorted(file.parent.name for file in paths.builtin("sandboxes").glob("*/environment.toml"))


def describe(environment: Environment) -> str:
    """Return the interpreter and the packages an agent may care about, in one line.

    Examples
    --------
    >>> describe(find("python-ds")).endswith("duckdb, matplotlib, numpy, pandas, pyarrow, scikit-learn, scipy, statsmodels")
    True
    """
    names = sorted(Requirement(package).name for package in environment.packages)
    named = ", ".join(name for name in names if name not in _PLUMBING)
    return f"Python {sys.version_info.major}.{sys.version_info.minor}" + (f" with {named}" if named else " and its standard library")


def build(environment: Environment) -> Environment:
    """Build ``environment`` unless it is there; safe to call from several processes at once.

    Bytecode is compiled now, because a sandbox mounts the environment read-only and would compile at every start.

    Raises
    ------
    SandboxError
        If a package cannot be installed; the message holds the installer's last lines.
    """
    if environment.built:
        return environment
    environment.prefix.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{environment.prefix}.lock"):
        if (environment.prefix / _DONE).is_file():
            return environment
        shutil.rmtree(environment.prefix, ignore_errors=True)
        interpreter = environment.base_prefix / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
        base = interpreter if interpreter.exists() else Path(sys.executable)
        uv("venv", "--quiet", "--no-project", "--python", str(base), str(environment.prefix))
        uv(
            "pip",
            "sync",
            "--quiet",
            "--python",
            str(environment.python),
            "--require-hashes",
            "--compile-bytecode",
            "--only-binary",
            ":all:",
            str(environment.lock),
        )
        (environment.prefix / _DONE).touch()
    return environment


def uv(*arguments: str) -> None:
    """Run the ``uv`` that workbench depends on.

    Raises
    ------
    SandboxError
        If it fails; the message holds its last lines.
    """
    from uv import find_uv_bin

    # a virtual environment that happens to be active must not change what is built
    environ = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH")}
    done = subprocess.run([find_uv_bin(), *arguments], env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = " ".join(done.stderr.strip().splitlines()[-4:])
        raise SandboxError(f"uv {' '.join(arguments[:2])} failed: {tail}", hint="check the network and the package index, then try again")
