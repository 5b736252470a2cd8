"""Shell scripts that only install things and run pytest, as simple commands; anything else is listed separately."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from workbench.errors import UsageError
from workbench.kernels.locks import parse_package

PROVIDED = frozenset(
    {
        *("bash", "coreutils", "diffutils", "findutils", "grep", "gzip", "sed", "tar"),
        *("python-is-python3", "python3", "python3-pip", "python3-venv"),
        *("asciinema", "ca-certificates", "curl", "tmux", "tzdata"),
    }
)
"""Debian packages that are already available, or are useless without a network or a terminal."""
_ENDS, _JOINS = frozenset({"&&", "||", ";"}), frozenset({"|", "|&", "&"})
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1[^\n]*\n.*?\n\s*\2\s*(?:\n|$)", re.DOTALL)


@dataclass
class Installed:
    """What commands install.

    Attributes
    ----------
    python : list of str
        Packages, with their versions.
    debian : list of str
        Packages.
    rest : list of str
        Commands that do anything else.
    """

    python: list[str] = field(default_factory=list)
    debian: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)

    def more(self, other: Installed) -> None:
        """Add what other commands install."""
        self.python += other.python
        self.debian += other.debian
        self.rest += other.rest


def commands(script: str) -> list[list[str]]:
    """Return the simple commands of a script, words and operators; comments are left out.

    Raises
    ------
    ValueError
        If a quotation does not end.

    Examples
    --------
    >>> commands("apt-get update && pip install 'numpy<2'  # for the tests")
    [['apt-get', 'update'], ['pip', 'install', 'numpy<2']]
    """
    lexer = shlex.shlex(script.replace("\\\n", " "), posix=True, punctuation_chars=";&|\n")
    # a comment begins a word, which the lexer does not look at
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    found: list[list[str]] = [[]]
    commented = False
    for token in lexer:
        if token and not token.strip("\n"):
            commented = False
            found.append([])
        elif token in _ENDS and not commented:
            found.append([])
        elif token.startswith("#") or commented:
            commented = True
        else:
            found[-1].append(token)
    return [command for command in found if command]


def pipeline(command: Sequence[str]) -> list[list[str]]:
    """Return the parts of a command between pipes.

    Examples
    --------
    >>> pipeline(["cat", "a", "|", "sort"])
    [['cat', 'a'], ['sort']]
    """
    parts: list[list[str]] = [[]]
    for word in command:
        if word in _JOINS:
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


def without_heredocs(script: str) -> str:
    """Return a script without the texts that it carries."""
    return _HEREDOC.sub("\n", script)


def without_comments(script: str) -> str:
    """Return a script without the lines that are comments."""
    return "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("#"))


def installs(command: Sequence[str]) -> Installed:
    """Return what one command installs.

    Examples
    --------
    >>> installs(["pip", "install", "--no-cache-dir", "numpy==2.3.0"]).python
    ['numpy==2.3.0']
    >>> installs(["apt-get", "install", "-y", "tmux", "gcc=4:12.2.0"]).debian
    ['gcc']
    >>> installs(["make", "all"]).rest
    ['make all']
    """
    words = [word for word in command if "=" not in word or not re.match(r"[A-Z_]+=", word)]
    words = words[1:] if words[:1] == ["sudo"] else words
    plain = [word for word in words if not word.startswith("-")]
    tool = PurePosixPath(plain[0]).name if plain else ""
    if _JOINS & set(words):
        return Installed(rest=[" ".join(command)])
    if tool in ("apt", "apt-get"):
        if plain[1:2] == ["install"]:
            named = [re.split(r"[=/:]", word)[0] for word in plain[2:]]
            return Installed(debian=[name for name in named if name not in PROVIDED])
        if plain[1:2] in (["update"], ["clean"], ["autoremove"]):
            return Installed()
    if (python := _pip(words)) is not None:
        return Installed(python=python)
    if plain == ["rm", "/var/lib/apt/lists/*"] or not plain:
        return Installed()
    return Installed(rest=[" ".join(command)])


def _pip(words: list[str]) -> list[str] | None:
    """Return what ``pip install`` (also as ``python -m pip``, or uv's) is to install; None for any other command."""
    if words[1:3] == ["-m", "pip"] and words[0].startswith("python"):
        words = ["pip", *words[3:]]
    if words[:2] == ["uv", "pip"]:
        words = words[1:]
    if not words or PurePosixPath(words[0]).name not in ("pip", "pip3") or words[1:2] != ["install"]:
        return None
    options = [word for word in words[2:] if word.startswith("-")]
    known = {"--no-cache-dir", "--break-system-packages", "--upgrade", "-U", "--quiet", "-q", "--system", "--no-cache", "--user"}
    packages = [word for word in words[2:] if not word.startswith("-")]
    # an option that is not known could be a file of requirements, or another index
    return packages if packages and set(options) <= known and all(map(is_package, packages)) else None


def is_package(text: str) -> bool:
    """Say whether a text names a package of the index, with or without versions.

    Examples
    --------
    >>> is_package("numpy>=2,<3"), is_package("./numpy"), is_package("git+https://example.org/numpy")
    (True, False, False)
    """
    try:
        parse_package(text)
    except UsageError:
        return False
    return True
