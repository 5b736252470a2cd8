"""Interrupts at random moments, at every door: the record is true, nothing starts afterwards, and nothing stays alive."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client import BlockingKernelClient, KernelManager

import workbench as wb
from tests.made import make_task
from workbench.kernels.cgroups import _hierarchies

pytestmark = [pytest.mark.walls, pytest.mark.timeout(900)]

MODEL = "function:tests.e2e.endless:reply"
LOOP = f"""
import sys
import workbench as wb
for _ in range(4):
    wb.run(sys.argv[1], model={MODEL!r}, store=sys.argv[2])
print("went on")
"""
ROOT = Path(__file__).parents[2]
DEADLINE = 120.0


class Trial:
    """One interrupt: where the runs are recorded, and the moment at which it comes."""

    def __init__(self, seed: int, task: Path, store: Path, tmp: Path) -> None:
        self.random = random.Random(seed)
        self.task, self.store, self.tmp = str(task), store, tmp
        self.environ = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp)}
        self.folders: set[str] = set()
        self.begun: set[str] = set()

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environ)

    def workbench(self, *arguments: str) -> subprocess.Popen[bytes]:
        return self.start(sys.executable, "-m", "workbench", *arguments, "--json", "--store", str(self.store))

    def wait_for(self, moment: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
        end = time.monotonic() + DEADLINE
        while not moment() and (process is None or process.poll() is None):
            assert time.monotonic() < end, "it never came so far"
            time.sleep(0.002)
        self.folders |= {path.name for path in self.tmp.glob("workbench-*/*") if path.is_dir()}

    def recorded(self, events: int) -> Callable[[], bool]:
        """Say whether so many events of a run are on record."""

        def moment() -> bool:
            journals = list(self.store.with_name(f"{self.store.name}.journals").glob("*.jsonl"))
            self.begun |= {journal.stem for journal in journals}
            for journal in journals:
                # one that is done is taken away
                try:
                    if journal.read_bytes().count(b"\n") >= events:
                        return True
                except FileNotFoundError:
                    continue
            return False

        return moment

    def wait_until_heeded(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the command handles SIGTERM, and from there some part of what it takes to begin."""

        def heeded() -> bool:
            try:
                caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())
            except OSError:
                return False
            return caught is not None and bool(int(caught[1], 16) & 1 << signal.SIGTERM - 1)

        self.wait_for(heeded, process)
        time.sleep(self.random.uniform(0, 1.5))

    def some_moment(self, process: subprocess.Popen[bytes]) -> None:
        if self.random.random() < 0.3:
            self.wait_until_heeded(process)
        else:
            self.wait_for(self.recorded(self.random.randrange(1, 24)), process)

    def runs(self) -> list[dict[str, Any]]:
        return wb.store(self.store).rows("SELECT run_id, status, success FROM runs ORDER BY started_at")

    def check(self, interrupted: bool) -> list[dict[str, Any]]:
        """Look at what is left: nothing but a true record."""
        self.wait_for(lambda: not self.alive())
        runs = self.runs()
        statuses = [run["status"] for run in runs]
        assert set(statuses) <= {"completed", "limit", "interrupted"}
        assert "interrupted" not in statuses[:-1]
        assert all((run["success"] is None) == (run["status"] == "interrupted") for run in runs)
        if interrupted:
            # one may have begun between the last look and the interrupt
            assert len(runs) <= len(self.begun) + 1
        return runs

    def alive(self) -> list[str]:
        """Return what is alive of the processes that were started, and of their control groups."""
        found = []
        for process in psutil.process_iter():
            try:
                words = " ".join(process.cmdline())
                if str(self.tmp) in words and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{process.pid}: {words[:200]}")
            except psutil.Error:
                continue
        points, paths = _hierarchies(None, None)
        for controller, point in points.items():
            own = point / paths.get(controller, "")
            found += [str(group) for folder in self.folders for group in own.glob(f"workbench-{folder}-*")]
        return found


@pytest.fixture
def trial(request: pytest.FixtureRequest, tmp_path: Path, minimal, ds) -> Iterator[Trial]:
    # short, for the path of a socket must be
    with tempfile.TemporaryDirectory(prefix="wb-", dir="/tmp") as tmp:
        yield Trial(request.param, make_task(tmp_path), tmp_path / "runs.duckdb", Path(tmp))


def interrupt(process: subprocess.Popen[bytes], number: signal.Signals) -> tuple[bool, bytes, bytes]:
    """Send a signal, and return whether it came before the end, and what was printed."""
    before = process.poll() is None
    process.send_signal(number)
    output, errors = process.communicate(timeout=DEADLINE)
    assert b"Traceback" not in errors, errors.decode()
    return before and process.returncode != 0, output, errors


def run(trial: Trial) -> None:
    number = trial.random.choice([signal.SIGINT, signal.SIGTERM])
    process = trial.workbench("run", trial.task, "--model", MODEL)
    trial.some_moment(process)
    interrupted, output, errors = interrupt(process, number)
    assert process.returncode == (130 if interrupted else 0), errors.decode()
    document, runs = json.loads(output), trial.check(interrupted)
    if runs:
        assert [(run["run_id"], run["status"]) for run in runs] == [(document["run_id"], document["status"])]
    else:
        assert document["status"] == "interrupted" and "run_id" not in document


def demo(trial: Trial) -> None:
    process = trial.workbench("demo")
    trial.some_moment(process)
    interrupted, output, errors = interrupt(process, signal.SIGINT)
    assert process.returncode == (130 if interrupted else 0), errors.decode()
    documents, runs = json.loads(output), trial.check(interrupted)
    if runs:
        assert [(run["run_id"], run["status"]) for run in runs] == [(each["run_id"], each["status"]) for each in documents]


def check(trial: Trial) -> None:
    process = trial.workbench("tasks", "check", trial.task)
    trial.some_moment(process)
    interrupted, output, errors = interrupt(process, trial.random.choice([signal.SIGINT, signal.SIGTERM]))
    assert interrupted and process.returncode == 130, errors.decode()
    assert isinstance(json.loads(output), list | dict)
    trial.check(interrupted)


def reader_leaves(trial: Trial) -> None:
    process = trial.workbench("run", trial.task, "--model", MODEL)
    assert process.stdout is not None and process.stderr is not None
    trial.some_moment(process)
    for stream in trial.random.sample([process.stdout, process.stderr], trial.random.choice([1, 2])):
        stream.close()
    for stream in (process.stdout, process.stderr):
        if not stream.closed:
            assert b"Traceback" not in stream.read()
    assert process.wait(DEADLINE) == 0
    assert [run["status"] for run in trial.check(interrupted=False)] == ["limit"]


def script(trial: Trial) -> None:
    process = trial.start(sys.executable, "-c", LOOP, trial.task, str(trial.store))
    trial.wait_for(trial.recorded(trial.random.randrange(1, 24)), process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=DEADLINE)
    # between two runs Ctrl-C is Python's own
    assert process.returncode in (130, -signal.SIGINT), errors.decode()
    assert b"went on" not in output
    trial.check(interrupted=True)


def notebook(trial: Trial) -> None:
    cell = f"%%agent --model {MODEL} --environment python-min --max-steps 6 --store {trial.store}\nPrint something."
    with kernel(trial) as (manager, client):
        client.execute_interactive("%load_ext workbench", timeout=DEADLINE)
        first, second = client.execute(cell), client.execute(cell)
        trial.wait_for(trial.recorded(trial.random.randrange(1, 14)))
        manager.interrupt_kernel()
        replies: dict[str, dict[str, Any]] = {}
        while not {first, second} <= set(replies):
            message = client.get_shell_msg(timeout=DEADLINE)
            replies[message["parent_header"]["msg_id"]] = message["content"]
        assert (replies[first]["status"], replies[first]["ename"]) == ("error", "Interrupted"), replies[first]
        assert replies[second]["status"] == "aborted"
        runs = trial.runs()
        assert [run["status"] for run in runs] == ["interrupted"]
        # the result is there for the cells to come, and the kernel works on
        seen: list[str] = []

        def heard(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                seen.append(message["content"]["text"])

        client.execute_interactive("print(_.run_id, _.status)", timeout=DEADLINE, output_hook=heard)
        assert "".join(seen).split() == [runs[0]["run_id"], "interrupted"]
    trial.check(interrupted=True)


@contextmanager
def kernel(trial: Trial) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    """A Jupyter kernel, as a notebook's server starts it."""
    manager = KernelManager()
    manager.start_kernel(env=trial.environ, cwd=str(trial.tmp))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=DEADLINE)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


DOORS = [run, script, run, notebook, reader_leaves, run, demo, check]


@pytest.mark.parametrize("trial", range(20), indirect=True)
def test_an_interrupt_at_some_moment(trial: Trial, request: pytest.FixtureRequest) -> None:
    DOORS[request.node.callspec.params["trial"] % len(DOORS)](trial)


@pytest.mark.long_soak
@pytest.mark.parametrize("trial", range(20, 200), indirect=True)
def test_interrupts_at_many_moments(trial: Trial, request: pytest.FixtureRequest) -> None:
    DOORS[request.node.callspec.params["trial"] % len(DOORS)](trial)
