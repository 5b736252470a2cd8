"""Published figures of a benchmark, each with its source, and one's own runs of it beside them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from workbench.errors import TaskError
from workbench.events import CHANGED
from workbench.storage.store import Store
from workbench.tasks import suites
from workbench.tasks.metrics import Table

_FIGURES = Path(__file__).parent / "importers" / "published"
# a branch is not independent of its parent, and a run that broke off for reasons of its own says nothing of the model
_OWN = """
WITH noticed AS (
    SELECT DISTINCT run_id FROM events WHERE event = 'noticed' AND data->>'kind' = ?
), tasks AS (
    SELECT
        model, agent, variant::VARCHAR AS variant, task, run_id IN (FROM noticed) AS changed,
        count(*) AS runs, avg(success::INTEGER) AS solved
    FROM runs WHERE suite = ? AND success IS NOT NULL AND parent_run IS NULL
    GROUP BY ALL
)
SELECT model, agent, variant, count(*) AS tasks, sum(runs)::BIGINT AS runs, avg(solved) AS solved, changed
FROM tasks GROUP BY ALL ORDER BY changed, solved DESC, model, agent, variant
"""


_FORM_OF_MANY, _MEASURED = "harbor", "terminal-bench"
"""A form in which many benchmarks are published, and the one that the figures are about."""


class Published(Table):
    """A figure that somebody published."""

    model: str
    """As the source names it."""
    agent: str | None = None
    """Likewise; None where the source asked the model directly, or does not say."""
    metric: str
    """The source's own name."""
    value: float
    unit: str
    error: float | None = Field(default=None, ge=0)
    """As the source prints it, in the same unit."""
    error_kind: str | None = None
    setting: str
    """On what, how often, with what help."""
    source: str
    """Paper with table or figure, or file of a repository."""
    date: str = Field(pattern=r"^\d{4}-\d{2}$")
    """Of the source: year and month."""

    @model_validator(mode="after")
    def _only_an_error_has_a_kind(self) -> Self:
        if self.error_kind is not None and self.error is None:
            raise ValueError("error_kind goes with an error")
        return self


@dataclass(frozen=True)
class Own:
    """Results of the user's own runs of a suite, for one model, agent and prompt.

    Attributes
    ----------
    model, agent, variant : str
        The model, the agent, and the prompt variant (JSON).
    tasks, runs : int
        How many tasks were graded, and in how many runs.
    solved : float
        The share of solved runs of each task, on average over these tasks.
    changed : bool
        Whether the tasks were known to differ from the published ones. Such runs are counted separately.
    """

    model: str
    agent: str
    variant: str
    tasks: int
    runs: int
    solved: float
    changed: bool = False


def published(suite: str) -> list[Published]:
    """Return the published figures of a suite; none where nobody has collected any, or they are about other tasks.

    Raises
    ------
    UsageError
        If there is no such suite.
    TaskError
        If the file they are in is malformed.

    Examples
    --------
    >>> any(figure.source.startswith("arXiv 2503.07832") for figure in published("refactorbench"))
    True
    """
    kind = suites.kind(suite)
    record = suites.recorded().get(suite)
    if kind == _FORM_OF_MANY and record is not None and _MEASURED not in (record.origin or (_MEASURED if suite == kind else "")):
        return []
    path = _FIGURES / f"{kind}.toml"
    try:
        return [Published.model_validate(each) for each in tomllib.loads(path.read_text(encoding="utf-8"))["published"]]
    except FileNotFoundError:
        return []
    except (tomllib.TOMLDecodeError, KeyError, ValidationError) as error:
        raise TaskError(f"{path} is malformed: {str(error)[:500]}") from None


def own(store: Store, suite: str) -> list[Own]:
    """Return what the runs of ``store`` came to at a suite, the best first. Branches do not count, nor what was not graded."""
    return [Own(**row) for row in store.rows(_OWN, [CHANGED, suite])]
