"""What graders may import: reading what was submitted as the hostile thing it may be, and running it where it can do no harm."""

from workbench_grading.calling import Failed, submitted
from workbench_grading.confined import Ran, Unconfined, run_submitted
from workbench_grading.judging import ask_judge, judge_is_there, last_object, rubric
from workbench_grading.reading import Invalid, number, predictions, read_bytes, read_json, read_table, read_text

__all__ = [
    "Failed",
    "Invalid",
    "Ran",
    "Unconfined",
    "ask_judge",
    "judge_is_there",
    "last_object",
    "number",
    "predictions",
    "read_bytes",
    "read_json",
    "read_table",
    "read_text",
    "rubric",
    "run_submitted",
    "submitted",
]
