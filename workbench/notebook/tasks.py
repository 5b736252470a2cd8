"""The tasks as a notebook shows them: a table."""

from __future__ import annotations

import html

from workbench.tasks import availability
from workbench.tasks.folder import TaskFolder
from workbench.tasks.registry import Broken
from workbench.text import line

_CELL = "text-align:left;vertical-align:top"
_ID = "font-family:monospace;white-space:nowrap"


class TaskTable(list[str]):
    """The ids of tasks; a notebook shows them with their variants and summaries.

    Parameters
    ----------
    tasks : list of TaskFolder
        The tasks, in order.
    broken : list of Broken
        What should be tasks and cannot be read.
    """

    def __init__(self, tasks: list[TaskFolder], broken: list[Broken]) -> None:
        super().__init__(folder.task.id for folder in tasks)
        self._rows = [(folder.task.id, str(len(folder.task.variants)), _summary(folder)) for folder in tasks]
        self._rows += [(each.name, "", f"cannot be read: {each.error}") for each in broken]

    def __repr__(self) -> str:
        width = max((len(name) for name, _, _ in self._rows), default=0)
        return "\n".join(f"{line(name):{width}}  {line(summary)}" for name, _, summary in self._rows)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='{_CELL};{_ID}'>{html.escape(line(name))}</td><td style='{_CELL}'>{variants}</td>"
            f"<td style='{_CELL}'>{html.escape(line(summary))}</td></tr>"
            for name, variants, summary in self._rows
        )
        heads = "".join(f"<th style='{_CELL}'>{head}</th>" for head in ("task", "variants", "summary"))
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _summary(folder: TaskFolder) -> str:
    missing = availability.lacking(folder.task)
    return (f"unavailable: {'; '.join(missing)}. " if missing else "") + folder.task.summary
