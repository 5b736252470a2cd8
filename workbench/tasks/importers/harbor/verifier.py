"""How upstream's tests are run: what their script installs, and which file it gives to pytest."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from workbench.kernels.environments import PYTHON
from workbench.tasks.checkout import Checkout
from workbench.tasks.importers.harbor import judgement, shell
from workbench.tasks.importers.harbor.formats import Upstream
from workbench.tasks.importers.harbor.images import Image

_FRAME = re.compile(
    r"set -\w+( pipefail)?|cd /app|(echo|exit)( [^>|]*)?|mkdir -p /logs/verifier|uv init|uv venv \S+( -p \S+)?"
    r"|source (\$HOME/\.local/bin/env|\S+/bin/activate)"
    r"|(curl|wget) .*https://astral\.sh/uv/([\w.]+/)?install\.sh \| (sh|bash)"
    r"|if \[ \"?\$PWD\"? = / \]|if \[ \$[\w?]+ -eq 0 \]|_?\w+=\$\?|(then |else )?echo [01] > /logs/verifier/reward\.txt"
    r"|then( exit 1)?|else|fi"
)
"""What upstream's scripts have in common besides the tests: installing uv, and writing the reward."""
_TESTS = re.compile(r"(?:/tests|\$TEST_DIR|\$\{TEST_DIR\})/")
_PLUGINS = ("pytest-json-ctrf",)
"""What only writes a report that is not read here."""


@dataclass
class Tests:
    """How a task is graded.

    Attributes
    ----------
    packages : list of str
        What the tests are run with.
    files : list of str
        What pytest is given, relative to the folder of the tests.
    copies : list of (str, str)
        Files of the tests' that are laid beside what was submitted, and where.
    python : str
        The Python that runs them upstream; empty where that cannot be told.
    modules : list of str
        What must be there for the tests to be run at all.
    timed : bool
        Whether they look at the clock: then two gradings may differ.
    lacking : list of str
        Why they cannot be run here, or not be believed.
    """

    packages: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    copies: list[tuple[str, str]] = field(default_factory=list)
    python: str = ""
    modules: list[str] = field(default_factory=list)
    timed: bool = False
    lacking: list[str] = field(default_factory=list)


def read(checkout: Checkout, upstream: Upstream, image: Image, solution: Iterable[str]) -> Tests:
    """Return how a task's tests are run beside what its ``image`` and its ``solution`` install."""
    tests = Tests(python=image.python)
    if not upstream.script.is_file():
        tests.lacking.append(f"there is no {upstream.script.name}")
        return tests
    _read_script(tests, checkout.text(str(upstream.script.relative_to(checkout.root))), upstream.script.name)
    folder = upstream.folder / "tests"
    tests.lacking += [f"{name} is not in tests/" for name in tests.files if not (folder / name).is_file()]
    if not tests.lacking and not image.lacking:
        packages = [*tests.packages, *image.packages, *solution, "pytest"]
        judged = judgement.judge(checkout, _sources(checkout, folder, tests.files), folder, packages)
        tests.modules, tests.timed, tests.lacking = judged.modules, judged.timed, judged.doubts
        if judged.loads and tests.python != PYTHON:
            # the very sum of some floats is another one before Python 3.12
            version = tests.python or "of another version"
            tests.lacking.append(f"its tests compare what submitted functions return in Python {version}, and this is {PYTHON}")
    return tests


def _sources(checkout: Checkout, folder: Path, files: Iterable[str]) -> list[Path]:
    """Return the test files, and the modules beside them that they may import."""
    given = [folder / name for name in files]
    said = "\n".join(checkout.data(path).decode(errors="replace") for path in given)
    beside = [path for path in sorted(folder.glob("*.py")) if path not in given]
    return [*given, *(path for path in beside if path.stem == "conftest" or re.search(rf"\b(import|from)\b.*\b{path.stem}\b", said))]


def _read_script(tests: Tests, text: str, name: str) -> None:
    """Read upstream's script, which must do no more than install packages, run pytest once and write down whether it passed."""
    try:
        found = shell.commands(shell.without_comments(text))
    except ValueError:
        tests.lacking.append(f"{name} cannot be read")
        return
    for command in found:
        said = " ".join(command)
        if _FRAME.fullmatch(said):
            continue
        if copied := re.fullmatch(rf"cp {_TESTS.pattern}([\w.-]+) (/app/[\w./-]+)", said):
            tests.copies.append((copied[1], copied[2]))
            continue
        words = _without_uv(tests, command)
        if "pytest" in words[:3]:
            given = words[words.index("pytest") + 1 :]
            tests.files += [_TESTS.sub("", word) for word in given if _TESTS.match(word)]
            continue
        done = shell.installs(words)
        tests.packages += done.python
        tests.lacking += [f"{name} installs {', '.join(done.debian)}"] if done.debian else []
        tests.lacking += [f"{name} runs {each[:90]}" for each in done.rest]
    tests.lacking += [f"{name} installs {each}" for each in tests.packages if not shell.is_package(each)]
    tests.packages = [each for each in tests.packages if shell.is_package(each) and not each.startswith(_PLUGINS)]
    if len(tests.files) != 1:
        tests.lacking.append(f"{name} does not run pytest on one file")


def _without_uv(tests: Tests, command: list[str]) -> list[str]:
    """Return a command as it would be without uv; packages that uv provides for it are noted."""
    words = list(command)
    if words[:2] == ["uv", "add"]:
        return ["pip", "install", *words[2:]]
    if words[:2] == ["uv", "run"]:
        words = words[2:]
    elif words[:1] == ["uvx"]:
        words = words[1:]
    else:
        return words
    while len(words) > 1 and words[0] in ("-p", "--python", "-w", "--with"):
        if words[0] in ("-w", "--with"):
            tests.packages.append(words[1])
        else:
            tests.python = words[1]
        words = words[2:]
    return words
