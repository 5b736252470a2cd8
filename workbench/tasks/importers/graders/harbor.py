"""Grade a task of Harbor or Terminal-Bench: upstream's own tests, run by pytest on the submission.

Upstream's script installs uv and pytest over the network before it runs them. That is left out: the tests are given to
the pytest of this environment. All passed is a reward of 1, as upstream writes it to ``reward.txt``; anything else is 0.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import workbench_grading

_MOST_SAID, _MOST_LOG = 2**22, 3000
_WORKSPACE = Path("/workspace")


def grade(submission: Path, hidden: Path) -> dict:
    """Return the reward, and the share of the tests that pass."""
    told = json.loads((hidden / "task.json").read_text(encoding="utf-8"))
    if hidden != Path("/grading/hidden"):
        # without namespaces every path is the machine's own
        raise RuntimeError("the tests need folders of their own, which only a sandbox with namespaces has: install bubblewrap")
    shutil.copytree(submission, _WORKSPACE, dirs_exist_ok=True)
    shutil.copytree(hidden / "tests", "/tests", dirs_exist_ok=True)
    for name, to in told["copies"]:
        shutil.copyfile(hidden / "tests" / name, to)
    Path("/logs/verifier").mkdir(parents=True)
    said, late, log = _run(hidden, told)
    if not said:
        raise RuntimeError(f"upstream's tests cannot be run here: {log}")
    outcomes = json.loads(said[-1]) if len(said) > 1 else {"exit": 1, "tests": {}}
    passed = sorted(name for name, outcome in outcomes["tests"].items() if outcome != "failed")
    failed = sorted(set(outcomes["tests"]) - set(passed))
    details = {"failed": failed[:100], "tests": len(outcomes["tests"]), "log": log}
    if late:
        details["late"] = f"the tests took longer than the {told['seconds']:g} s that upstream gives them"
    checks = len(passed) / len(outcomes["tests"]) if outcomes["tests"] else 0.0
    return {"metrics": {"reward": float(outcomes["exit"] == 0), "checks": checks}, "invalid": None, "details": details}


def _run(hidden: Path, told: dict) -> "tuple[list[bytes], bool, str]":
    """Run the tests in a process of their own; return the lines it says on its channel, whether it took too long, and its output."""
    asked = {**told, "ini": str(hidden / "pytest.ini"), "library": str(Path(workbench_grading.__file__).parents[1])}
    late = False
    # a file without a name, which takes any number of tests: what they start has no way to it
    with Path("/logs/output").open("w+b") as output, tempfile.TemporaryFile() as channel:
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(hidden / "run_tests.py"), json.dumps({**asked, "channel": channel.fileno()})],
            cwd=told["home"],
            env={**os.environ, "TEST_DIR": "/tests"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[channel.fileno()],
            start_new_session=True,
        )
        try:
            process.wait(told["seconds"])
        except subprocess.TimeoutExpired:
            late = True
        finally:
            # also what the tests have started and left behind
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(max(0, output.seek(0, os.SEEK_END) - _MOST_LOG))
        channel.seek(0)
        return channel.read(_MOST_SAID).splitlines(), late, output.read().decode(errors="replace")
