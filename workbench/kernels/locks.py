"""Locks: every package of an environment with its version and its hashes, for every Python and platform at once."""

from __future__ import annotations

import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from workbench.errors import SandboxError, UsageError
from workbench.kernels import installer

_NO_SOLUTION = 1
"""The exit code of ``uv pip compile`` when the packages cannot be had together; others mean that it could not find out."""

_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def parse_package(text: str) -> Requirement:
    """Return the package that ``text`` asks for, by name and version.

    Raises
    ------
    UsageError
        If it is not a requirement, or names a place (a URL or a path) instead of a version.

    Examples
    --------
    >>> parse_package("numpy<2.4").name
    'numpy'
    >>> parse_package("numpy @ https://example.org/numpy.whl")
    Traceback (most recent call last):
    ...
    workbench.errors.UsageError: 'numpy @ https://example.org/numpy.whl' names a place (write a name and a version, for example numpy<2.4)
    """
    remedy = "write a name and a version, for example numpy<2.4"
    try:
        package = Requirement(text)
    except InvalidRequirement as error:
        raise UsageError(f"{text!r} is not a package: {str(error).splitlines()[0]}", hint=remedy) from None
    if package.url:
        raise UsageError(f"{text!r} names a place", hint=remedy)
    return package


def parse(text: str) -> list[Requirement]:
    r"""Return the pins of a lock in the form ``uv pip compile --generate-hashes`` writes.

    Raises
    ------
    UsageError
        If a line is not a package with one version and at least one hash; the message names the line.

    Examples
    --------
    >>> [str(pin) for pin in parse("six==1.17.0 \\\n    --hash=sha256:" + "0" * 64)]
    ['six==1.17.0']
    """
    pins = []
    number = 1
    for line in re.sub(r"\\\r?\n", "\0", text).splitlines():
        words = line.replace("\0", " ").partition(" #")[0].strip()
        if words and not words.startswith("#"):
            pins.append(_pin(words, number))
        number += 1 + line.count("\0")
    return pins


def _pin(words: str, number: int) -> Requirement:
    asked, *options = re.split(r"\s+(?=--)", words)
    try:
        pin = parse_package(asked)
    except UsageError as error:
        raise UsageError(f"line {number}: {error.message}") from None
    versions = list(pin.specifier)
    if len(versions) != 1 or versions[0].operator != "==" or "*" in versions[0].version:
        raise UsageError(f"line {number}: {pin.name} has no single version")
    if not options or not all(map(_HASH.fullmatch, options)):
        raise UsageError(f"line {number}: {pin.name} has no sha256 hash, or more than hashes")
    return pin


def unmet(packages: Iterable[str], pins: Iterable[Requirement]) -> list[str]:
    """Return those of ``packages`` that this machine needs and no pin satisfies, each with what the lock has instead.

    Examples
    --------
    >>> lock = parse("numpy==2.4.6 --hash=sha256:" + "0" * 64)
    >>> unmet(["numpy>=2", "numpy<2.4", "polars", "pywin32; sys_platform == 'atari'"], lock)
    ['numpy<2.4 (the lock has 2.4.6)', 'polars (not in the lock)']
    """
    held: dict[str, list[str]] = {}
    for pin in pins:
        if pin.marker is None or pin.marker.evaluate():
            held.setdefault(canonicalize_name(pin.name), []).extend(each.version for each in pin.specifier)
    found = []
    for text in packages:
        package = parse_package(text)
        versions = held.get(canonicalize_name(package.name), [])
        if package.marker is not None and not package.marker.evaluate():
            continue
        if not versions:
            found.append(f"{text} (not in the lock)")
        elif not all(package.specifier.contains(version, prereleases=True) for version in versions):
            found.append(f"{text} (the lock has {', '.join(versions)})")
    return found


def resolve(what: str, packages: Sequence[str], lock: Path, *, python: str, like: Path | None = None, header: str = "") -> None:
    """Write ``lock``: every package that ``packages`` need, for every platform, from ``python`` on.

    Parameters
    ----------
    what : str
        What the packages are, for the message of an error.
    packages : sequence of str
        With their version ranges.
    lock : Path
        The file to write; it is replaced when all is known, never before.
    python : str
        The lowest Python, for example ``3.11``.
    like : Path, optional
        A lock whose versions are kept where they fit.
    header : str
        What stands above the pins.

    Raises
    ------
    UsageError
        If no set of versions satisfies all of them, where the message holds uv's reason, or ``lock`` cannot be written.
    SandboxError
        If the package index cannot be asked.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, made = Path(folder, "requirements.in"), Path(folder, "requirements.lock")
        asked.write_text("\n".join(packages) + "\n", encoding="utf-8")
        if like is not None:
            # uv keeps the versions of the file it is to write
            shutil.copyfile(like, made)
        done = installer.run(
            *("pip", "compile", "--quiet", "--universal", "--generate-hashes", "--python-version", python, "--python", sys.executable),
            # kernels install wheels only, so what has none must be found out now
            *("--only-binary", ":all:", "--no-header", "--no-annotate", str(asked), "--output-file", str(made)),
            # away from any project, whose settings for uv would have a say
            cwd=folder,
        )
        if done.returncode:
            message = f"{what} cannot be resolved: {_reason(done.stderr)}"
            if done.returncode == _NO_SOLUTION:
                raise UsageError(message, hint="mend the names or versions in packages")
            raise SandboxError(message, hint="check the network and the package index, then try again")
        text = header + made.read_text(encoding="utf-8")
    making = lock.with_name(f"{lock.name}.{secrets.token_hex(4)}")
    try:
        making.write_text(text, encoding="utf-8")
        making.replace(lock)
    except OSError as error:
        raise UsageError(f"{lock} cannot be written: {error.strerror}", hint="copy its folder to a place of your own") from None
    finally:
        making.unlink(missing_ok=True)


def _reason(said: str) -> str:
    """Return the causes uv gives, without its advice for projects, which follows them."""
    lines = [line.strip() for line in said.partition("\nhint:")[0].strip().splitlines()]
    causes = [line.removeprefix("cause:").strip() for line in lines if line and not line.startswith("error:")]
    return " ".join(causes or lines)
