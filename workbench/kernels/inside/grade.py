"""Call a task's grader and say what it said, on a channel that nothing it prints or starts can reach.

Started by ``launch.py`` as ``grade.py HIDDEN SUBMISSION ENTRY``. It never imports workbench.
"""

import ctypes
import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path

PR_SET_DUMPABLE = 4


def main() -> None:
    """Load ``FILE:FUNCTION`` from the hidden folder, call it, write one line of JSON."""
    # standard output is the private channel: from here on only this descriptor leads there, and no child inherits it
    channel = os.dup(1)
    os.set_inheritable(channel, False)
    os.dup2(2, 1)
    # nothing that runs under the same user may read or trace this process
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    hidden, submission, entry = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    file, _, function = entry.partition(":")
    sys.path.insert(0, str(Path(__file__).parent))
    sys.dont_write_bytecode = True
    try:
        import workbench_grading

        spec = importlib.util.spec_from_file_location("grader", hidden / file)
        module = importlib.util.module_from_spec(spec)
        sys.modules["grader"] = module
        spec.loader.exec_module(module)
        try:
            report = getattr(module, function)(submission, hidden)
        except workbench_grading.Invalid as reason:
            report = {"invalid": str(reason) or "it cannot be graded"}
        line = json.dumps({"report": report}, allow_nan=True)
    except BaseException:
        # whatever the grader does, the host must hear of it
        line = json.dumps({"error": traceback.format_exc()[-4000:]})
    os.write(channel, line.encode() + b"\n")


main()
