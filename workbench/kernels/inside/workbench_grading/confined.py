"""Running submitted code where it can reach neither the grader nor the hidden files."""

import contextlib
import ctypes
import itertools
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from workbench_grading.host import Host, host
from workbench_grading.reading import Invalid

_MOST_OUTPUT, _MOST_ERRORS = 2**20, 2**14
_MOST_DEEP = 64
_STARTING_SECONDS, _DYING_SECONDS = 60.0, 10.0
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37
_numbers = itertools.count()

_CONFINED = """
import json, os, resource, sys
config = json.loads(sys.argv.pop())
most = resource.getrlimit(resource.RLIMIT_DATA)[0]
if most != resource.RLIM_INFINITY:
    # half of what the grader has: the other half stays for the grader
    resource.setrlimit(resource.RLIMIT_DATA, (most // 2, most // 2))
import sandlock
if config["alone"]:
    sys.path.insert(0, config["programs"])
    import system_calls
    del sys.path[0], sys.modules["system_calls"]
sandlock.confine(sandlock.Sandbox(fs_readable=config["readable"], fs_writable=config["writable"]))
if config["alone"]:
    system_calls.refuse(alone=True)
os.write(config["confined"], b"1")
os.close(config["confined"])
sys.path.insert(0, config["submission"])
sys.argv = ["submitted"]
exec(compile(config["code"], "<grader>", "exec"), {"__name__": "__main__"})
"""


class Unconfined(RuntimeError):
    """Submitted code was not run, since it cannot be confined here; that is never the submission's fault."""


class Ran(subprocess.CompletedProcess):
    """The outcome of a run.

    Attributes
    ----------
    cpu_seconds : float or None
        Processor time of the process and everything it ever started, including its own start; None if that is not
        measured.
    """

    def __init__(self, returncode: int, stdout: str, stderr: str, cpu_seconds: "float | None") -> None:
        super().__init__([], returncode, stdout, stderr)
        self.cpu_seconds = cpu_seconds


def run_submitted(code: str, *, submission: Path, timeout: float = 60, timed: bool = False) -> Ran:
    """Run ``code`` in a sandbox that contains the interpreter and ``submission``, which is first on its import path.

    The sandbox is made for this run. It contains no hidden files, nothing that the task hides from the agent, no
    grader, and nothing that an earlier run left behind. The submission controls what is printed: pass inputs in, and
    compare the output with values that ``code`` does not contain.

    Parameters
    ----------
    code : str
        Python source; may import from the submission.
    submission : Path
        A folder; the code sees a copy of it, at the same path.
    timeout : float
        Seconds; a process that takes longer is killed, and its return code is -9.
    timed : bool
        Whether ``cpu_seconds`` is needed. If no control group can measure it, the code cannot start processes.

    Returns
    -------
    Ran
        With at most 1 MiB of standard output, and of standard error the last 16 KiB.

    Raises
    ------
    Unconfined
        If it cannot be confined, or its processor time cannot be measured.
    """
    there = host()
    if there is None or not there.sandboxes or (timed and not there.counts):
        return _run_beside(code, submission, timeout, timed)
    with sandbox(there, code, submission) as name:
        ended = there.ask(end=name, seconds=timeout)
    if timed and ended["cpu_seconds"] is None:
        raise Unconfined("the processor time of submitted code was not counted")
    return Ran(ended["returncode"], ended["stdout"], ended["stderr"], ended["cpu_seconds"])


@contextlib.contextmanager
def sandbox(there: Host, code: str, submission: Path) -> "Iterator[str]":
    """Have the host start ``code`` in its own sandbox, and yield its name; it ends with the grading at the latest."""
    name = str(next(_numbers))
    copy_tree(submission, Path(there.sandboxes, name))
    answer = there.ask(start=name, at=str(submission), code=code)
    if "refused" in answer:
        raise Unconfined(f"submitted code cannot be run here: {answer['refused']}")
    yield name


def copy_tree(source: "str | Path", target: Path, above: "int | None" = None, deep: int = 0) -> None:
    """Copy files and folders, readable for every user; anything else is left out, as in a submission.

    Raises
    ------
    Invalid
        If folders are nested too deeply.
    """
    if deep > _MOST_DEEP:
        raise Invalid(f"folders are nested deeper than {_MOST_DEEP}")
    folder = os.open(source, os.O_RDONLY | os.O_DIRECTORY | (os.O_NOFOLLOW if deep else 0), dir_fd=above)
    try:
        target.mkdir()
        target.chmod(0o755)
        for name in os.listdir(folder):
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                copy_tree(name, target / name, folder, deep + 1)
            elif stat.S_ISREG(mode):
                with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder), "rb") as old, open(target / name, "xb") as new:
                    shutil.copyfileobj(old, new)
                (target / name).chmod(0o644 | mode & 0o111)
    finally:
        os.close(folder)


def _run_beside(code: str, submission: Path, timeout: float, timed: bool) -> Ran:
    """Run ``code`` in a child process that confines itself, for when no host can make sandboxes."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with confined(code, submission, stdin=subprocess.DEVNULL, stdout=out, err=err, alone=timed) as process:
            ended = os.pidfd_open(process.pid)
            select.select([ended], [], [], timeout)
            os.close(ended)
            if timed:
                # Popen would reap it without its time; it could start no process, so its own time is the total
                os.kill(process.pid, signal.SIGKILL)
                _, status, used = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
        return Ran(process.returncode, _text(out), _text(err)[-_MOST_ERRORS:], used.ru_utime + used.ru_stime if timed else None)


@contextlib.contextmanager
def confined(
    code: str,
    submission: Path,
    *,
    stdin: "int | IO[bytes] | socket.socket",
    stdout: "int | IO[bytes] | socket.socket",
    err: "IO[bytes]",
    alone: bool = False,
) -> "Iterator[subprocess.Popen[bytes]]":
    """Start ``code`` in a child that confines itself; after the block, it and everything it started are dead.

    With ``alone`` it cannot start processes or create anything that outlives it.

    Raises
    ------
    Unconfined
        When the block is left, if the process could not be confined.
    """
    before = _children(os.getpid())
    interpreter = dict.fromkeys([sys.prefix, sys.base_prefix, "/usr", "/bin", "/lib", "/lib64", "/etc", "/dev", "/proc"])
    heard, told = os.pipe()
    with _adopting(), _scratch() as scratch, open(heard, "rb") as channel:
        config = {
            "code": code,
            "submission": str(submission),
            "readable": [path for path in [*interpreter, str(submission)] if os.path.exists(path)],
            "writable": [scratch, "/dev/null"],
            "programs": str(Path(__file__).resolve().parents[1]),
            "alone": alone,
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
            # what happens before it is confined, and the time that takes, does not count as the code's
            select.select([channel], [], [], _STARTING_SECONDS)
            yield process
        finally:
            _kill_all(process, before)
            os.set_blocking(channel.fileno(), False)
            # whatever else went wrong is then a consequence
            if channel.read() != b"1":
                raise Unconfined(f"submitted code cannot be confined here, so it was not run: {_text(err).strip()[-500:]}")


@contextlib.contextmanager
def _scratch() -> "Iterator[str]":
    """Make a folder, and remove it whatever it contains: Python's own function fails at 1,000 nested folders."""
    path = tempfile.mkdtemp()
    try:
        yield path
    finally:
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, "--", path], capture_output=True, check=False)


@contextlib.contextmanager
def _adopting() -> "Iterator[None]":
    """Meanwhile become the parent of processes that a child leaves behind, so that they can be found and reaped."""
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


def _children(pid: int) -> "set[int]":
    found = set()
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children") as file:
                found.update(map(int, file.read().split()))
    return found


def _below(spared: "set[int]") -> "set[int]":
    """Return all descendants of this process, except the spared ones and their descendants."""
    found: set[int] = set()
    waiting = _children(os.getpid()) - spared
    while waiting:
        found |= waiting
        waiting = set().union(*map(_children, waiting)) - found
    return found


def _lives(pid: int) -> bool:
    """Say whether any thread of a process is still running; the first may have ended before the others."""
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/stat", "rb") as file:
                if file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X"):
                    return True
    return False


def _kill_all(process: "subprocess.Popen[bytes]", spared: "set[int]") -> None:
    """Kill everything that was started, until nothing is left alive or the time is up, without waiting for processes.

    A traced process cannot be reaped before its tracer is dead, so waiting for it might never end.
    """
    deadline = time.monotonic() + _DYING_SECONDS
    while (living := list(filter(_lives, _below(spared)))) and time.monotonic() < deadline:
        for pid in living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap(process, spared)
    _reap(process, spared)
    if process.returncode is None:
        process.returncode = -signal.SIGKILL


def _reap(process: "subprocess.Popen[bytes]", spared: "set[int]") -> None:
    process.poll()
    for pid in _children(os.getpid()) - spared - {process.pid}:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
