"""Definitions of environments: ``environment.toml``, where it is looked for, and what it may say."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from workbench import paths
from workbench.errors import UsageError
from workbench.kernels.limits import Limits
from workbench.kernels.locks import parse_package

FILE = "environment.toml"
PLUMBING = ("ipykernel", "matplotlib-inline", "sandlock")
"""Packages that every environment holds for the kernel's own sake."""
_DOCS = "docs/environments.md describes every field"


def _package(text: str) -> str:
    try:
        parse_package(text)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return text


def _with_plumbing(packages: list[str]) -> list[str]:
    named = {canonicalize_name(parse_package(each).name) for each in packages}
    if missing := [name for name in PLUMBING if name not in named]:
        raise ValueError(f"must hold {', '.join(missing)} too, which the kernel is started with")
    return packages


Package = Annotated[str, AfterValidator(_package)]
"""A package with the versions that will do, for example ``numpy<2.4``."""


def _python(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ValueError(str(error)) from None
    lowest_python(text)
    return text


def _limits(table: Any) -> Limits:
    if not isinstance(table, dict):
        raise ValueError("must be a table")
    try:
        return Limits.parse(table)
    except UsageError as error:
        raise ValueError(str(error)) from None


class Definition(BaseModel):
    """What ``environment.toml`` may say."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """That of its folder."""
    summary: str
    """One line for listings."""
    python: Annotated[str, AfterValidator(_python)]
    """A version specifier, for example ``>=3.11,<3.14``."""
    lock: str = Field(default="requirements.lock", pattern=r"^[^/\x00]+$")
    """Name of the file with every package, its version and its hashes; in the same folder."""
    packages: Annotated[list[Package], AfterValidator(_with_plumbing)]
    """What the lock was resolved from."""
    system: list[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]] = Field(default_factory=list)
    """Debian packages, in addition to the Python packages."""
    preload: list[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]] = Field(default_factory=list)
    """Modules that are imported before a kernel is asked for."""
    limits: Annotated[Limits, BeforeValidator(_limits)] = Field(default_factory=Limits)
    """What a kernel may use where the task does not say."""


def load(folder: Path) -> Definition:
    """Return what ``folder/environment.toml`` says.

    Raises
    ------
    UsageError
        If it is missing or malformed, or the folder has another name; the message names file, field and reason.
    """
    file = folder / FILE
    try:
        definition = Definition.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", hint="an environment is a folder with an environment.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not TOML: {error}", hint=_DOCS) from None
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise UsageError(f"{file}: {problems}", hint=_DOCS) from None
    if definition.name != folder.name:
        raise UsageError(f"{file}: name is {definition.name!r} and the folder is {folder.name!r}", hint="give both the same name")
    return definition


def folders() -> dict[str, Path]:
    """Return the folder of every environment by name: the built-in ones, then those of ``WORKBENCH_ENVIRONMENTS``.

    Raises
    ------
    UsageError
        If two have the same name.

    Examples
    --------
    >>> sorted(folders())[:2]
    ['python-ds', 'python-min']
    """
    more = (Path(part).expanduser().absolute() for part in os.environ.get("WORKBENCH_ENVIRONMENTS", "").split(os.pathsep) if part)
    found: dict[str, Path] = {}
    for root in dict.fromkeys([paths.builtin("sandboxes"), *more]):
        for file in sorted(root.glob(f"*/{FILE}")):
            if (other := found.get(file.parent.name)) is not None:
                raise UsageError(f"two environments are called {file.parent.name}: {other} and {file.parent}", hint="rename one")
            found[file.parent.name] = file.parent
    return dict(sorted(found.items()))


def locate(name: str) -> Path:
    """Return the folder of the environment called ``name``, or ``name`` itself where that is the path of one.

    Raises
    ------
    UsageError
        If there is none; the hint names the nearest.
    """
    known = folders()
    if name in known:
        return known[name]
    if name and os.path.isfile(Path(name, FILE)):  # noqa: PTH113 - which takes a name that is no path for one that is missing
        return Path(name).resolve()
    close = difflib.get_close_matches(name, known, n=1)
    raise UsageError(
        f"no environment is called {name!r}", hint=(f"did you mean {close[0]}? " if close else "") + f"there are: {', '.join(known)}"
    )


def lowest_python(specifier: str) -> str:
    """Return the first Python 3 that ``specifier`` takes: a lock holds from there on.

    Raises
    ------
    ValueError
        If it takes none.

    Examples
    --------
    >>> lowest_python(">=3.11,<3.14")
    '3.11'
    """
    accepted = SpecifierSet(specifier)
    for minor in range(8, 40):
        # a range such as ==3.12.* or >3.11.4 takes some release of the minor version
        if any(accepted.contains(f"3.{minor}.{micro}") for micro in (0, 99)):
            return f"3.{minor}"
    raise ValueError(f"{specifier!r} takes no Python 3")
