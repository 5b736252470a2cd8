"""Environments: an interpreter and its packages, built once and kept apart from the one workbench runs in."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock
from packaging.specifiers import SpecifierSet

from workbench import paths
from workbench.errors import UsageError
from workbench.kernels import contents, definition, locks
from workbench.kernels.installer import uv
from workbench.kernels.limits import Limits

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The Python of every environment: that of this process, down to the feature version."""

_DONE = "complete"
"""Name of the marker file that is written last, so that a build cut short is never taken for an environment."""


@dataclass(frozen=True)
class Environment:
    """A definition of an environment and where its build lives on this machine.

    Attributes
    ----------
    name : str
        That of its folder.
    definition : Path
        The folder with its ``environment.toml``.
    prefix : Path
        The virtual environment, whether built or not.
    hash : str
        Over the lock and the interpreter: it names the build.
    lock : Path
        Every package with its version and hashes.
    packages : tuple of str
        What it was asked to hold, with version ranges.
    system : tuple of str
        Debian packages it needs beside them.
    limits : Limits
        What a kernel may use where the task does not say.
    preload : tuple of str
        Modules that are imported before a kernel is asked for.
    """

    name: str
    definition: Path
    prefix: Path
    hash: str
    lock: Path
    packages: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    preload: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.prefix / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """Where its packages are."""
        return self.prefix / "lib" / f"python{PYTHON}" / "site-packages"

    @property
    def base_prefix(self) -> Path:
        """The Python installation it was made from."""
        return Path(sys.base_prefix).resolve()

    @property
    def built(self) -> bool:
        """Whether it can be used."""
        return (self.prefix / _DONE).is_file()


def find(name: str) -> Environment:
    """Return the environment called ``name``, or the one in the folder ``name``.

    Raises
    ------
    UsageError
        If it does not exist, its file is malformed, its lock is out of date, or it does not support this Python.

    Examples
    --------
    >>> find("python-min").name
    'python-min'
    """
    folder = definition.locate(name)
    said = definition.load(folder)
    version = ".".join(map(str, sys.version_info[:3]))
    if version not in SpecifierSet(said.python):
        raise UsageError(f"environment {said.name} takes Python {said.python}, this is {version}", hint="run workbench with another Python")
    lock = folder / said.lock
    remedy = f"workbench environments lock {shlex.quote(name)}"
    try:
        pins = locks.parse(lock.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{lock} cannot be read: {error.strerror}", hint=remedy) from None
    except (UsageError, UnicodeDecodeError) as error:
        raise UsageError(f"{lock}: {error}", hint=remedy) from None
    if unmet := locks.unmet(said.packages, pins):
        raise UsageError(f"{lock} is out of date: {'; '.join(unmet)}", hint=remedy)
    return _of(said.name, folder, lock, said.packages, system=tuple(said.system), limits=said.limits, preload=tuple(said.preload))


def _of(name: str, folder: Path, lock: Path, packages: Sequence[str], **more: Any) -> Environment:
    digest = hashlib.sha256(lock.read_bytes())
    digest.update(f"{sys.version}\0{sys.platform}\0{Path(sys.base_prefix).resolve()}".encode())
    key = digest.hexdigest()[:16]
    return Environment(name, folder, paths.cache() / "environments" / f"{name}-{key}", key, lock, tuple(packages), **more)


def names() -> list[str]:
    """Return the names of all environments, the user's own among them.

    Examples
    --------
    >>> "python-ds" in names()
    True
    """
    return list(definition.folders())


def every() -> dict[str, Environment | UsageError]:
    """Return every environment by name, or what is wrong with it: one that is broken does not hide the others.

    Examples
    --------
    >>> isinstance(every()["python-min"], Environment)
    True
    """
    found: dict[str, Environment | UsageError] = {}
    for name in names():
        try:
            found[name] = find(name)
        except UsageError as error:
            found[name] = error
    return found


def extend(environment: Environment, packages: Sequence[str]) -> Environment:
    """Return ``environment`` with ``packages`` added: an environment of the same name with a lock and a build of its own.

    The lock is resolved once per machine. It keeps the versions of the environment's own lock where they fit. Where that
    holds everything that is asked for already, its lock and its build are shared.

    Raises
    ------
    UsageError
        If the packages cannot be had together, or one of them does not exist.
    SandboxError
        If the package index cannot be asked.
    """
    if not packages:
        return environment
    asked = [*environment.packages, *packages]
    base = environment.lock.read_text(encoding="utf-8")
    # which packages an extra brings is for the resolver to say
    if not any(locks.parse_package(each).extras for each in packages) and not locks.unmet(packages, locks.parse(base)):
        return replace(environment, packages=tuple(asked))
    python = definition.lowest_python(definition.load(environment.definition).python)
    key = hashlib.sha256("\0".join([base, python, *asked]).encode()).hexdigest()[:16]
    # alone in its folder, which is what a builder of images sends to its engine
    lock = paths.cache() / "locks" / f"{environment.name}-{key}" / environment.lock.name
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{lock.parent}.lock"):
        if not lock.is_file():
            locks.resolve(f"{', '.join(packages)} in environment {environment.name}", asked, lock, python=python, like=environment.lock)
    more = {"system": environment.system, "limits": environment.limits, "preload": environment.preload}
    return _of(environment.name, environment.definition, lock, asked, **more)


def lock(name: str, *, upgrade: bool = False) -> Path:
    """Resolve the lock of the environment ``name`` again from its packages, for every platform, and return its path.

    Parameters
    ----------
    name : str
        Its name, or the path of its folder.
    upgrade : bool
        Take the newest versions, instead of keeping those that still fit.

    Raises
    ------
    UsageError
        If the packages cannot be had together, or one of them does not exist.
    SandboxError
        If the package index cannot be asked.
    """
    folder = definition.locate(name)
    said = definition.load(folder)
    file = folder / said.lock
    header = (
        f"# Every package of the environment {said.name}, resolved from the packages in {definition.FILE}; do not edit.\n"
        f"# To resolve it anew: workbench environments lock {said.name}\n"
    )
    locks.resolve(
        f"the packages of environment {said.name}",
        said.packages,
        file,
        python=definition.lowest_python(said.python),
        like=None if upgrade or not _readable(file) else file,
        header=header,
    )
    return file


def _readable(lock: Path) -> bool:
    try:
        locks.parse(lock.read_text(encoding="utf-8"))
    except (UsageError, OSError, UnicodeDecodeError):
        return False
    return True


def describe(environment: Environment) -> str:
    """Return the interpreter and the packages an agent may care about, in one line.

    Examples
    --------
    >>> describe(find("python-ds")).endswith("duckdb, matplotlib, numpy, pandas, pyarrow, scikit-learn, scipy, statsmodels")
    True
    """
    names = sorted({locks.parse_package(package).name for package in environment.packages})
    named = ", ".join(name for name in names if name not in (*definition.PLUMBING, "pip"))
    return f"Python {PYTHON}" + (f" with {named}" if named else " and its standard library")


def build(environment: Environment) -> Environment:
    """Build ``environment`` unless it exists; safe to call from several processes at once.

    Bytecode is compiled now, because a sandbox mounts the environment read-only and would compile at every start.

    Raises
    ------
    SandboxError
        If a package cannot be installed, or a Debian package is missing; the message holds the installer's last lines.
    """
    contents.require_system(environment.name, environment.system)
    if environment.built:
        return environment
    environment.prefix.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{environment.prefix}.lock"):
        if (environment.prefix / _DONE).is_file():
            return environment
        shutil.rmtree(environment.prefix, ignore_errors=True)
        interpreter = environment.base_prefix / "bin" / f"python{PYTHON}"
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
