"""What a grader may import: running submitted code where it can reach neither the grader nor the hidden files."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

_MOST_OUTPUT = 2**20

_CONFINED = """
import json, os, sys
config = json.loads(sys.argv.pop())
import sandlock
sandlock.confine(sandlock.Sandbox(fs_readable=config["readable"], fs_writable=config["writable"]))
sys.path.insert(0, config["submission"])
sys.argv = ["submitted"]
exec(compile(config["code"], "<grader>", "exec"), {"__name__": "__main__"})
"""


def run_submitted(code: str, *, submission: Path, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run ``code`` in a process that sees only ``submission`` and the interpreter, with ``submission`` first on its path.

    The process can neither read the hidden files nor signal or trace the grader. What it prints is whatever the
    submission wants it to print: hand inputs in, and compare what comes out with values that ``code`` does not hold.

    Parameters
    ----------
    code : str
        Python source; may import from the submission.
    submission : Path
        A folder.
    timeout : float
        Seconds; a process that takes longer is killed and its return code is -9.

    Returns
    -------
    subprocess.CompletedProcess
        With at most 1 MiB of standard output and error each.
    """
    interpreter = dict.fromkeys([sys.prefix, sys.base_prefix, "/usr", "/bin", "/lib", "/lib64", "/etc", "/dev", "/proc"])
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        config = {
            "code": code,
            "submission": str(submission),
            "readable": [path for path in [*interpreter, str(submission)] if os.path.exists(path)],
            "writable": [scratch, "/dev/null"],
        }
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", _CONFINED, json.dumps(config)],
            cwd=scratch,
            env={**os.environ, "HOME": scratch, "TMPDIR": scratch},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        code_ = process.wait()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read(_MOST_OUTPUT).decode(errors="replace"))
    return subprocess.CompletedProcess([], code_, *texts)
