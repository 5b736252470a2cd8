"""A new task, to begin from: a small one that is sound already."""

from __future__ import annotations

import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import get_args

from workbench.errors import UsageError
from workbench.tasks.folder import TaskFolder
from workbench.tasks.spec import NAME, Task


def new(identity: str, root: Path) -> TaskFolder:
    """Write a task folder and return it.

    Parameters
    ----------
    identity : str
        Its id, ``FAMILY/NAME``.
    root : Path
        Where your tasks are; the folder is ``root/FAMILY/NAME``.

    Raises
    ------
    UsageError
        If the id makes no sense, or there is such a folder.
    """
    import jinja2

    family, _, name = identity.partition("/")
    families = [each for each in get_args(Task.model_fields["family"].annotation) if each != "interactive"]
    if family not in families or re.fullmatch(NAME, name) is None:
        known = ", ".join(families)
        raise UsageError(f"{identity!r} is no id for a task", hint=f"write FAMILY/NAME, in lower case; the families are {known}")
    folder = root.expanduser().absolute() / family / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(f"{folder} exists", hint="choose another name, or remove it") from None
    for path, source in _files(resources.files("workbench.tasks") / "scaffold"):
        text = source.read_text(encoding="utf-8")
        if path.endswith(".jinja"):
            text = jinja2.Template(text, keep_trailing_newline=True).render(id=identity, family=family)
        target = folder / path.removesuffix(".jinja")
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return TaskFolder.load(folder)


def _files(folder: Traversable, above: str = "") -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _files(each, f"{above}{each.name}/") if each.name != "__pycache__" else []
        else:
            found.append((above + each.name, each))
    return found
