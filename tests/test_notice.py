"""NOTICE names the source and the licence of everything that a task brings; ``python -m tests.test_notice`` writes it anew."""

from __future__ import annotations

import textwrap
from pathlib import Path

from workbench.tasks import registry

NOTICE = Path(__file__).parents[1] / "NOTICE"
HEAD = """\
Workbench
Licensed under the Apache License 2.0: see LICENSE.

The built-in tasks are made from data and packages of others, which have licences of their own. Some are files of the
task, others are read from a package in the task's environment when the task is prepared. For each task: where it comes
from, and the SPDX identifier of the licence. "LicenseRef-public-domain" means that the source says it is in the public
domain.
"""


def expected() -> str:
    """What NOTICE says if it is complete."""
    parts = [HEAD]
    for folder in registry.load_folders():
        source = textwrap.fill(folder.task.source, 118, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
        parts.append(f"{folder.task.id}\n  {folder.task.licence}\n{source}\n")
    return "\n".join(parts)


def test_every_built_in_task_is_in_it_with_its_source_and_licence() -> None:
    assert NOTICE.read_text(encoding="utf-8") == expected()


if __name__ == "__main__":
    NOTICE.write_text(expected(), encoding="utf-8")
