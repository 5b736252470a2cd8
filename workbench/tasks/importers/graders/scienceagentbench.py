"""Grade a task of ScienceAgentBench: upstream's own evaluation of the file that was to be made.

It is run as upstream does, from a folder that holds ``pred_results`` and ``benchmark``. Its own options are in
``task.json``: the script, and the file it looks at.
"""

import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path

from workbench_grading import Invalid

PLAIN = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
}
"""What a pickle may name: data, nothing that can be called to any other end."""


def grade(submission: Path, hidden: Path) -> dict:
    """Return whether upstream's evaluation accepts the result, with what it says of it."""
    told = json.loads((hidden / "task.json").read_text(encoding="utf-8"))
    if not (submission / told["output"]).exists():
        raise Invalid(f"{told['output']} was not made")
    with tempfile.TemporaryDirectory() as folder:
        for part in (submission / "pred_results", hidden / "benchmark"):
            (Path(folder) / part.name).symlink_to(part)
        os.chdir(folder)
        sys.path.insert(0, folder)
        success, said = _evaluate(Path(folder) / "benchmark" / "eval_programs" / told["script"])
        os.chdir("/")
    return {"metrics": {"success": success}, "invalid": None, "details": {"said": said[:4000]}}


def _evaluate(script: Path) -> "tuple[float, str]":
    spec = importlib.util.spec_from_file_location("upstream", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # upstream's evaluations may unpickle what was handed in; what libraries do while they are imported is their own affair
    sys.addaudithook(_refuse)
    try:
        success, said = module.eval()
    except (Invalid, ImportError):
        # a library that is not there is no fault of the submission
        raise
    except Exception as error:
        # upstream counts whatever its evaluation stumbles over as a failure
        return 0.0, repr(error)
    return float(bool(success == 1)), str(said)


def _refuse(event: str, arguments: tuple) -> None:
    if event == "pickle.find_class" and tuple(arguments) not in PLAIN:
        raise Invalid(f"the result holds a pickled {arguments[0]}.{arguments[1]}, which is not loaded: only plain data is")
