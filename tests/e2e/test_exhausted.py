"""Runs on a machine that runs out: of room on a disk, of file descriptors. Nothing is lost, and nobody is blamed."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import workbench as wb
from tests.conftest import SmallDisk
from tests.made import SOLVED, make_task
from workbench.errors import HostError
from workbench.kernels import runtime

pytestmark = pytest.mark.walls

WORK = "I go on.\n```python\nprint('x' * 1000)\n```"


@pytest.fixture
def task(tmp_path, minimal):
    return str(make_task(tmp_path))


@pytest.mark.parametrize("reader", [False, True], ids=["unread", "a reader looks in between"])
def test_a_full_disk_ends_the_run_and_keeps_every_step(task, small_disk: SmallDisk, reader):
    store = wb.store(small_disk.root / "runs.duckdb")
    store.absorb()
    steps = 0

    def model(_messages):
        nonlocal steps
        steps += 1
        if steps == 3:
            if reader:
                assert store.rows("SELECT status FROM runs") == [{"status": "running"}]
            small_disk.fill()
        return WORK

    result = wb.run(task, model=model, store=store)
    assert (result.status, result.error.kind, result.success, result.score) == ("error", "sandbox", None, None)
    assert "No space left on device" in result.error.message and "room" in result.error.hint
    small_disk.empty()
    (run,) = store.rows("SELECT run_id, status, error_kind, steps, success FROM runs")
    assert run == {"run_id": result.run_id, "status": "error", "error_kind": "sandbox", "steps": 2, "success": None}
    events = store.rows("SELECT seq, event FROM events ORDER BY seq")
    assert [row["seq"] for row in events] == list(range(len(events)))
    assert [row["event"] for row in events].count("run_finished") == 1
    assert list(store.journals.iterdir()) == []
    assert not list(runtime.mine().glob("[rw]-*"))


def test_a_disk_that_is_full_from_the_start_starts_nothing(task, small_disk: SmallDisk):
    store = wb.store(small_disk.root / "runs.duckdb")
    store.absorb()
    small_disk.fill()
    result = wb.run(task, model="oracle", store=store, on_event=pytest.fail)
    assert (result.status, result.error.kind, result.steps) == ("error", "sandbox", 0)
    small_disk.empty()
    assert store.rows("FROM runs") == []


def test_an_agent_that_takes_a_full_disk_for_done_has_not_completed(task, small_disk: SmallDisk):
    class Deaf:
        name = "deaf"

        async def work(self, world):
            small_disk.fill()
            for _ in range(1000):
                try:
                    await world.execute("'x' * 10_000", "fence", 0)
                except HostError:
                    break
            return "done"

    store = wb.store(small_disk.root / "runs.duckdb")
    result = wb.run(task, model="nop", agent=Deaf(), store=store)
    assert (result.status, result.error.kind) == ("error", "sandbox")
    small_disk.empty()
    assert store.rows("SELECT status, error_kind FROM runs") == [{"status": "error", "error_kind": "sandbox"}]


@pytest.mark.parametrize("trouble", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OSError(errno.EMFILE, "x"), MemoryError()])
@pytest.mark.parametrize("at", ["tasks.staging.stage", "tasks.submission.freeze", "tasks.grading.grade"])
def test_what_the_machine_lacks_is_never_the_agents(task, store_path, monkeypatch, at, trouble):
    def fails(*_args, **_options):
        raise trouble

    monkeypatch.setattr(f"workbench.{at}", fails)
    result = wb.run(task, model="oracle", store=store_path)
    assert (result.status, result.error.kind, result.success) == ("error", "sandbox", None)
    assert wb.store(store_path).rows("SELECT status, error_kind FROM runs") == [{"status": "error", "error_kind": "sandbox"}]


def test_a_kernel_for_which_there_is_no_room_leaves_no_folder(task, store_path, monkeypatch):
    def fails(*_args, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("jupyter_client.connect.ConnectionFileMixin.write_connection_file", fails)
    before = set(runtime.mine().iterdir())
    result = wb.run(task, model="nop", store=store_path)
    assert (result.status, result.error.kind) == ("error", "sandbox")
    assert not [path for path in set(runtime.mine().iterdir()) - before if path.name.startswith(("r-", "w-", "k-"))]


FEW = """
import json, os, resource, sys
import workbench as wb
held, steps = [], 0

def model(messages):
    global steps
    steps += 1
    if steps == 2:
        # nothing can be opened any more until the run is over
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return sys.argv[3]

most = resource.getrlimit(resource.RLIMIT_NOFILE)
result = wb.run(sys.argv[1], model=model, store=sys.argv[2], max_steps=3)
resource.setrlimit(resource.RLIMIT_NOFILE, most)
print(json.dumps([result.status, result.error and result.error.kind, result.error and result.error.message]))
"""


def test_no_file_descriptors_left_raise_nothing_and_lose_nothing(task, store_path):
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(
        [sys.executable, "-c", FEW, task, str(store_path), SOLVED], capture_output=True, text=True, env=environ, check=True
    )
    status, kind, message = json.loads(ran.stdout.splitlines()[-1])
    assert (status, kind) == ("error", "sandbox"), message
    (row,) = wb.store(store_path).rows("SELECT status, error_kind, steps FROM runs")
    assert row == {"status": "error", "error_kind": "sandbox", "steps": 3}
