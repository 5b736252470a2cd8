"""The kind ``judge``: submitted files, judged by a language model where no program can say how good they are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench_grading import judging


def grade(
    submission: Path,
    hidden: Path,
    *,
    criteria: "Sequence[Mapping[str, object]]",
    shows: "Sequence[str]" = ("answer.txt",),
    reference: "Sequence[str]" = (),
    repeats: int = 3,
) -> dict:
    """Judge by a rubric, as :func:`workbench_grading.rubric` does.

    Returns
    -------
    dict
        A report: ``rubric`` and each criterion are shares of their points, from 0 to 1.
    """
    metrics = judging.rubric(submission, hidden, criteria, shows=shows, reference=reference, repeats=repeats)
    if not metrics:
        raise judging.NoJudge("there is no judge to ask")
    return {"metrics": metrics, "invalid": None, "details": {}}
