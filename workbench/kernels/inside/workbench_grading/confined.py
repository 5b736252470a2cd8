"""Running submitted code where it can reach neither the grader nor the hidden files."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_MOST_OUTPUT = 2**20
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37

_CONFINED = """
import json, os, resource, sys
config = json.loads(sys.argv.pop())
most = resource.getrlimit(resource.RLIMIT_DATA)[0]
if most != resource.RLIM_INFINITY:
    # half of what the grader has: the other half stays for the grader
    resource.setrlimit(resource.RLIMIT_DATA, (most // 2, most // 2))
import sandlock
sandlock.confine(sandlock.Sandbox(fs_readable=config["readable"], fs_writable=config["writable"]))
os.write(config["confined"], b"1")
os.close(config["confined"])
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

    Raises
    ------
    RuntimeError
        If the process could not be confined; that is the grader's failure, never the submission's.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with (
            confined(code, submission, stdin=subprocess.DEVNULL, stdout=out, err=err) as process,
            contextlib.suppress(subprocess.TimeoutExpired),
        ):
            process.wait(timeout)
        return subprocess.CompletedProcess([], process.returncode, _text(out), _text(err))


@contextlib.contextmanager
def confined(
    code: str, submission: Path, *, stdin: "int | IO[bytes] | socket.socket", stdout: "int | IO[bytes]", err: "IO[bytes]"
) -> "Iterator[subprocess.Popen[bytes]]":
    """Start ``code`` as :func:`run_submitted` does; when the block is left, it and all that it started are dead.

    Raises
    ------
    RuntimeError
        When the block is left, if the process could not be confined.
    """
    before = _children()
    interpreter = dict.fromkeys([sys.prefix, sys.base_prefix, "/usr", "/bin", "/lib", "/lib64", "/etc", "/dev", "/proc"])
    heard, told = os.pipe()
    with _adopting(), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch, open(heard, "rb") as channel:
        config = {
            "code": code,
            "submission": str(submission),
            "readable": [path for path in [*interpreter, str(submission)] if os.path.exists(path)],
            "writable": [scratch, "/dev/null"],
            "confined": told,
        }
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", _CONFINED, json.dumps(config)],
            cwd=scratch,
            env={**os.environ, "HOME": scratch, "TMPDIR": scratch},
            stdin=stdin,
            stdout=stdout,
            stderr=err,
            start_new_session=True,
            pass_fds=[told],
        )
        os.close(told)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            _kill_all(before)
            # whatever else went wrong is then a consequence
            if channel.read() != b"1":
                raise RuntimeError(f"submitted code cannot be confined here, so it was not run: {_text(err).strip()[-500:]}")


@contextlib.contextmanager
def _adopting() -> "Iterator[None]":
    """Let what a child leaves behind become a child of this process meanwhile, and be found; later nobody would bury it."""
    libc, before = ctypes.CDLL(None), ctypes.c_int()
    libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)


def _text(file: "IO[bytes]") -> str:
    file.seek(0)
    return file.read(_MOST_OUTPUT).decode(errors="replace")


def _children() -> "set[int]":
    found = set()
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children") as file:
            found.update(map(int, file.read().split()))
    return found


def _kill_all(spared: "set[int]") -> None:
    """Kill every child but the spared ones; theirs become ours when they die, until there are none."""
    while found := _children() - spared:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in found:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
