"""Harbor and Terminal-Bench: task folders, each with an image, an instruction, tests and mostly a solution.

A task whose Dockerfile holds no more than Python, packages of the index and files runs in an environment with those
packages; its ``/app`` is the workspace. Others are listed with what they lack.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

from workbench.errors import TaskError
from workbench.kernels.locks import parse_package
from workbench.kernels.view import WORKSPACE
from workbench.tasks.checkout import Checkout
from workbench.tasks.imported import Imported, Piece, all_or_nothing, described
from workbench.tasks.importers.harbor import formats, images, reference, verifier
from workbench.tasks.importers.harbor.formats import Upstream

TITLE = "Harbor or Terminal-Bench tasks"
SOURCE = "Merrill et al. (2026), arXiv 2601.11868; github.com/laude-institute/harbor, github.com/laude-institute/terminal-bench-2"
"""Of Terminal-Bench 2, the benchmark that the paper is about; other tasks of this form come from elsewhere."""

_GRADERS = Path(__file__).parents[1] / "graders"
_KNOWN = re.compile(r"/terminal-bench-2$")
_SCRATCH = re.compile(r"(?<![\w.])/tmp\b")
_DIFFICULTIES = ("easy", "medium", "hard")


def tasks(checkout: Checkout) -> list[Imported]:
    """Return the tasks at or below the checkout's top; an id says where below it a task is.

    Raises
    ------
    TaskError
        If there is none, or two would be called alike.
    """
    found: dict[str, Imported] = {}
    for folder in formats.folders(checkout.root):
        name = _id(checkout, folder)
        if name in found or name in checkout.malformed:
            raise TaskError(f"{checkout.root} holds two tasks that would be called {name}", hint="import the folders one by one")
        with checkout.reading(name):
            found[name] = _task(checkout, name, formats.read(checkout, folder))
    return list(found.values())


def _id(checkout: Checkout, folder: Path) -> str:
    parts = folder.relative_to(checkout.root).parts or (folder.name,)
    return "/".join(["harbor", *(re.sub(r"[^a-z0-9._-]", "-", part.lower()).lstrip("._-") or "task" for part in parts)])


def _source(checkout: Checkout, upstream: Upstream) -> str:
    """Return where a task comes from: the paper where it is known, else the repository, or the folder; and who wrote it."""
    origin = checkout.origin
    home = SOURCE if origin and _KNOWN.search(origin) else origin or f"the folder {checkout.root.name}"
    return f"{home}; by {', '.join(upstream.authors)}" if upstream.authors else home


def _task(checkout: Checkout, name: str, upstream: Upstream) -> Imported:
    image = images.read(checkout, upstream)
    solution = reference.read(checkout, upstream, image.home)
    tests = verifier.read(checkout, upstream, image, solution.packages)
    packages = _packages([*image.packages, *solution.packages, *tests.packages])
    if _SCRATCH.search(upstream.instruction):
        tests.lacking.append("its instruction speaks of /tmp, which is not handed in")
    noise = float(tests.timed)
    needs = ["gpu"] if upstream.gpus else []
    needs += ["image"] if upstream.asks or image.lacking or tests.lacking else []
    needs += ["network"] if solution.network else []
    why = [f"it asks for {each}" for each in upstream.asks] + [f"its Dockerfile: {each}" for each in image.lacking[:1]]
    why += [*tests.lacking[:1], *solution.network[:1]]
    task = described(
        name,
        family="data-science",
        licence=upstream.licence,
        source=_source(checkout, upstream),
        summary=upstream.instruction,
        difficulty=upstream.difficulty if upstream.difficulty in _DIFFICULTIES else None,
        interaction={"max_steps": 100, "max_seconds": upstream.agent_seconds},
        prepare={"needs": needs, "why": "; ".join(why)},
        environment={
            "name": "python-min",
            "packages": packages,
            "memory": upstream.memory or "2G",
            "cell_seconds": upstream.agent_seconds,
        },
        submission={"kind": "tree", "max_bytes": 512 * 2**20, "max_files": 50_000},
        grader={"timeout": upstream.test_seconds + 120, "folders": [WORKSPACE, "/tests", "/logs"]},
        metric=[all_or_nothing("reward", noise=noise), {"name": "checks", "range": [0, 1], "invalid": 0, "noise": noise}],
    )
    return Imported(
        task,
        checkout,
        {"": _instruction(upstream, image.home)},
        _pieces(upstream, image, tests) if not needs else [],
        cells=solution.cells,
    )


def _packages(asked: list[str]) -> list[str]:
    """Return each package once: as the image has it, else as the solution installs it, else as the tests do."""
    chosen: dict[str, str] = {}
    for each in [*asked, "pytest"]:
        chosen.setdefault(canonicalize_name(parse_package(each).name), each)
    return [chosen[name] for name in sorted(chosen)]


def _instruction(upstream: Upstream, home: str) -> str:
    where = f"{home} is your working directory" + ("." if home == WORKSPACE else f"; it is the same folder as {WORKSPACE}.")
    kept = "There is no network. What is handed in are the files in it, no links and no running programs."
    return f"{upstream.instruction.strip()}\n\n{where} {kept}"


def _pieces(upstream: Upstream, image: images.Image, tests: verifier.Tests) -> list[Piece]:
    told = {"home": image.home, "copies": tests.copies, "files": tests.files, "modules": tests.modules, "seconds": upstream.test_seconds}
    copies = [Piece(str(PurePosixPath("workspace", to.relative_to(image.home))), source) for source, to in image.copies]
    return [
        *copies,
        # a workspace is files
        *(Piece(str(PurePosixPath("workspace", path.relative_to(image.home), ".keep")), "") for path in image.folders),
        Piece("hidden/tests", upstream.folder / "tests"),
        Piece("hidden/task.json", json.dumps(told)),
        Piece("hidden/grader.py", _GRADERS / "harbor.py"),
        Piece("hidden/run_tests.py", _GRADERS / "harbor_tests.py"),
        Piece("hidden/pytest.ini", "[pytest]\n"),
    ]
