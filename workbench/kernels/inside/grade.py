"""Call a task's grader and report its verdict, on a channel that nothing it prints or starts can reach.

Started by ``launch.py`` as ``grade.py HIDDEN SUBMISSION UNTOUCHED HOW``; HOW is the kind of grader, its entry, its
options, the path of the submitted file that must be JSON, if any, and what the host offers, as JSON. Questions to the
host are sent before the report, one a line, and its answers are received. It never imports workbench.
"""

import ctypes
import functools
import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

PR_SET_DUMPABLE = 4


def load(hidden: Path, how: dict) -> "Callable[[Path, Path], dict]":
    """Return the function that grades: the task's own, or a ready-made one with its options."""
    if how["kind"] == "python":
        return entry(hidden, how["entry"])
    options = dict(how["options"])
    if how["kind"] == "medal":
        options["score"] = entry(hidden, how["entry"])
    ready = importlib.import_module(f"workbench_grading.kinds.{how['kind']}_")
    return functools.partial(ready.grade, **options)


def entry(hidden: Path, named: str) -> "Callable[[Path, Path], dict]":
    """Return the function that ``FILE:FUNCTION`` names."""
    file, _, function = named.partition(":")
    spec = importlib.util.spec_from_file_location("grader", hidden / file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["grader"] = module
    spec.loader.exec_module(module)
    return getattr(module, function)


def graded(grade: "Callable[..., dict]", submission: Path, hidden: Path, untouched: Path) -> dict:
    """Return a grader's report; it may raise ``Invalid`` instead of making one."""
    from workbench_grading import Invalid

    try:
        wants = "untouched" in inspect.signature(grade).parameters
        return grade(submission, hidden, **({"untouched": untouched} if wants else {}))
    except Invalid as reason:
        return {"invalid": str(reason) or "it cannot be graded"}


def not_json(file: Path) -> "str | None":
    """Return why a submitted file is not JSON, or None.

    Reading it may take many times its size in memory, so it is read in this sandbox, which has a limit.
    """
    try:
        json.loads(file.read_bytes())
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{file.name} is not JSON: {str(error)[:200] or 'it takes too much memory'}"
    return None


def main() -> None:
    """Load the grader, call it, write one line of JSON."""
    # standard output is the private channel: from here on only this descriptor leads there, and no child inherits it
    channel = os.dup(1)
    os.set_inheritable(channel, False)
    os.dup2(2, 1)
    # nothing that runs under the same user may read or trace this process
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    hidden, submission, untouched = map(Path, sys.argv[1:4])
    sys.path.insert(0, str(Path(__file__).parent))
    sys.dont_write_bytecode = True
    here: tuple = ()
    try:
        import workbench_grading
        from workbench_grading import judging
        from workbench_grading.host import connect

        # a shortage on this machine is not the submission's fault
        here = (workbench_grading.Unconfined, judging.NoJudge)
        how = json.loads(sys.argv[4])
        connect(channel, **how["host"])
        if how["json"] is not None and (why := not_json(submission / how["json"])) is not None:
            report = {"invalid": why}
        else:
            report = graded(load(hidden, how), submission, hidden, untouched)
        line = json.dumps({"report": report, "scores": judging.scores()}, allow_nan=True)
    except BaseException as error:
        # whatever the grader does, the host must hear of it
        line = json.dumps({"error": traceback.format_exc()[-4000:], "here": isinstance(error, here)})
    os.write(channel, line.encode() + b"\n")


main()
