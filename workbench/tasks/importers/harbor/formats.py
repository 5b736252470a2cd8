"""A task as Harbor and the older Terminal-Bench write it down: both forms, read into one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from workbench.errors import TaskError
from workbench.tasks.checkout import Checkout

FILES = ("task.toml", "task.yaml")
"""What makes a folder a task: that of Harbor, and that of the older Terminal-Bench."""
_LISTED = ("mcp_servers", "healthcheck", "env", "workdir", "tpu", "steps", "artifacts", "collect")
"""Tables and lists of a task.toml that ask for what is not done here."""


@dataclass(frozen=True)
class Upstream:
    """One task folder.

    Attributes
    ----------
    folder : Path
        Where it is.
    instruction : str
        What the agent is asked.
    difficulty : str
        As upstream says.
    context : Path
        The folder that the image is built from.
    script, solution : Path
        What runs the tests, and what solves the task; the latter may not exist.
    agent_seconds, test_seconds : float
        How long each may take.
    memory : str or None
        What the container gets, where that is said.
    gpus : int
        How many it gets.
    asks : list of str
        What it asks for besides, which is not done here.
    authors : list of str
        Who wrote it, where that is said.
    licence : str
        Where one is said; otherwise ``NOASSERTION``.
    """

    folder: Path
    instruction: str
    difficulty: str
    context: Path
    script: Path
    solution: Path
    agent_seconds: float
    test_seconds: float
    memory: str | None
    gpus: int
    asks: list[str]
    authors: list[str]
    licence: str


def folders(root: Path) -> list[Path]:
    """Return the task folders at or below ``root``; what lies below a task is part of it.

    Raises
    ------
    TaskError
        If there is none.
    """
    found: dict[Path, None] = {}
    for file in sorted(path for name in FILES for path in root.rglob(name)):
        if not any(above in found for above in file.parents):
            found[file.parent] = None
    if not found:
        raise TaskError(
            f"{root} holds no task of Harbor or Terminal-Bench",
            hint="a task is a folder with a task.toml, or a task.yaml in the older form",
        )
    return list(found)


def read(checkout: Checkout, folder: Path) -> Upstream:
    """Return what a task folder says.

    Raises
    ------
    TaskError
        If a file is missing or malformed.
    """
    name = PurePosixPath(folder.relative_to(checkout.root).as_posix())
    if (folder / FILES[0]).is_file():
        return _harbor(checkout, folder, name)
    return _terminal_bench(checkout, folder, name)


def _harbor(checkout: Checkout, folder: Path, name: PurePosixPath) -> Upstream:
    file = name / FILES[0]
    try:
        said = tomllib.loads(checkout.text(str(file)))
    except tomllib.TOMLDecodeError as error:
        raise TaskError(f"{checkout.root / file} is not TOML: {error}") from None
    metadata, verifier, agent, environment = (
        _table(checkout, file, said, part) for part in ("metadata", "verifier", "agent", "environment")
    )
    tables = {"": said, "environment.": environment, "verifier.": verifier}
    asks = [f"{table}{key}" for table, each in tables.items() for key in _LISTED if each.get(key)]
    asks += [f"environment.os = {environment['os']}"] if environment.get("os", "linux") != "linux" else []
    megabytes = environment.get("memory_mb")
    return Upstream(
        folder=folder,
        instruction=checkout.text(str(name / "instruction.md")),
        difficulty=str(metadata.get("difficulty", "")),
        context=folder / "environment",
        script=folder / "tests" / "test.sh",
        solution=folder / "solution" / "solve.sh",
        agent_seconds=_seconds(checkout, file, agent.get("timeout_sec", 600)),
        test_seconds=_seconds(checkout, file, verifier.get("timeout_sec", 600)),
        memory=_memory(environment.get("memory") if megabytes is None else f"{megabytes}M"),
        gpus=environment.get("gpus") or 0,
        asks=asks,
        authors=_authors(_table(checkout, file, said, "task")) or _authors(metadata),
        licence=_licence(metadata),
    )


def _terminal_bench(checkout: Checkout, folder: Path, name: PurePosixPath) -> Upstream:
    file = name / FILES[1]
    try:
        said = yaml.safe_load(checkout.text(str(file)))
    except yaml.YAMLError as error:
        raise TaskError(f"{checkout.root / file} is not YAML: {error}") from None
    if not isinstance(said, dict):
        raise TaskError(f"{checkout.root / file} is no table")
    listed = said.get("descriptions")
    described = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    texts = {each.get("key"): each.get("description") for each in described}
    instruction = texts.get("base", said.get("instruction"))
    if not isinstance(instruction, str):
        raise TaskError(f"{checkout.root / file} has no instruction")
    return Upstream(
        folder=folder,
        instruction=instruction,
        difficulty=str(said.get("difficulty", "")),
        context=folder,
        script=folder / "run-tests.sh",
        solution=folder / "solution.sh",
        agent_seconds=_seconds(checkout, file, said.get("max_agent_timeout_sec", 360)),
        test_seconds=_seconds(checkout, file, said.get("max_test_timeout_sec", 60)),
        memory=None,
        gpus=0,
        asks=[f"parser_name = {said['parser_name']}"] if said.get("parser_name", "pytest") != "pytest" else [],
        authors=_authors(said),
        licence=_licence(said),
    )


def _table(checkout: Checkout, file: PurePosixPath, said: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = said.get(name, {})
    if not isinstance(table, dict):
        raise TaskError(f"{checkout.root / file}: {name} is no table")
    return table


def _authors(said: Mapping[str, Any]) -> list[str]:
    """Return the authors' names; addresses are left out."""
    listed = said.get("authors")
    named = [each.get("name") if isinstance(each, dict) else each for each in listed] if isinstance(listed, list) else []
    return [each for each in [*named, said.get("author_name")] if isinstance(each, str) and each and "@" not in each]


def _licence(said: Mapping[str, Any]) -> str:
    found = said.get("license") or said.get("licence")
    return found if isinstance(found, str) else "NOASSERTION"


def _memory(said: object) -> str | None:
    """Return a size as it is written here; None where it cannot be read."""
    found = re.fullmatch(r"(\d+)\s*([KMGT])(?:i?B)?", str(said), re.IGNORECASE)
    return f"{found[1]}{found[2].upper()}" if found else None


def _seconds(checkout: Checkout, file: PurePosixPath, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise TaskError(f"{checkout.root / file}: {value!r} is no time in seconds")
    return float(value)
