"""The kind ``mcq``: a multiple-choice question, answered by the letters of the right choices."""

import re
from pathlib import Path

from workbench_grading.reading import Invalid, read_text


def grade(submission: Path, hidden: Path, *, key: str = "key.txt") -> dict:
    """Compare the chosen letters with those of the key; their order does not matter, nor what stands around a single one.

    Parameters
    ----------
    submission, hidden : Path
        As every grader is given them.
    key : str
        The file with the right letters, relative to the hidden folder: ``B``, or ``A,C``.

    Returns
    -------
    dict
        A report: ``correct`` is 1 or 0.
    """
    chosen = letters(read_text(submission / "answer.txt", 10_000))
    if not chosen:
        raise Invalid("the answer names no choice: it must be a letter, or letters with commas between them")
    right = letters((hidden / key).read_text(encoding="utf-8"))
    return {"metrics": {"correct": float(chosen == right)}, "invalid": None, "details": {"chosen": sorted(chosen)}}


def letters(text: str) -> "set[str]":
    """Return the choices an answer names: ``B``, ``(b)``, ``B.``, ``A, C`` or ``A and C``, and ``Answer: B``."""
    text = re.sub(r"(?i)^\s*(the\s+)?(correct\s+|final\s+)?(answers?|choices?|options?)(\s+(is|are))?\s*:?\s*", "", text.strip())
    parts = [part.strip(" .()[]*'\"") for part in re.split(r"(?i),|;|\band\b|&|\s+", text)]
    parts = [part for part in parts if part]
    return {part.upper() for part in parts} if all(re.fullmatch(r"[A-Za-z]", part) for part in parts) else set()
