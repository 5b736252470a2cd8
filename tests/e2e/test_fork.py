"""Forks of a process that has used workbench, as ``multiprocessing`` makes them on Linux."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading

import pytest

import workbench as wb
from tests.made import SOLVED, make_task, playing

pytestmark = pytest.mark.walls


def solve(task: str, store: str) -> tuple[int, str, bool | None]:
    result = wb.run(task, model=playing(SOLVED, "<done/>"), store=store)
    return os.getpid(), result.status, result.success


def test_children_run_tasks_while_their_parent_does(tmp_path, store_path, minimal):
    arguments = (str(make_task(tmp_path)), str(store_path))
    assert solve(*arguments)[1:] == ("completed", True)
    acting, go_on = threading.Event(), threading.Event()

    def in_the_middle(event):
        if event.event == "step_finished":
            acting.set()
            go_on.wait(120)

    results = []
    options = {"model": playing(SOLVED, "<done/>"), "store": store_path, "on_event": in_the_middle}
    parents = threading.Thread(target=lambda: results.append(wb.run(arguments[0], **options)))
    parents.start()
    try:
        assert acting.wait(120)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            done = pool.starmap_async(solve, [arguments] * 4).get(250)
            pool.close()
            pool.join()
    finally:
        go_on.set()
        parents.join(120)
    assert [each[1:] for each in done] == [("completed", True)] * 4 and os.getpid() not in {each[0] for each in done}
    assert (results[0].status, results[0].success) == ("completed", True)
    assert solve(*arguments)[1:] == ("completed", True)
    assert {(row["status"], row["success"]) for row in wb.store(store_path).rows("SELECT status, success FROM runs")} == {
        ("completed", True)
    }


FORKS = """
import os, sys
import workbench as wb
from workbench.kernels import runtime
if __name__ == "__main__":
    with wb.kernel("python-min") as kernel:
        kernel.run("x = 42")
        child = os.fork()
        if child == 0:
            try:
                kernel.run("x = 0")
            except wb.WorkbenchError as error:
                assert "belongs to the process that this one is a fork of" in str(error)
                # ends with all that is registered to be done at exit, and first with what closes the kernel
                sys.exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert runtime.mine().is_dir() and runtime.sweep() == []
        assert kernel.run("x").outputs[0].text == "42"
        with wb.kernel("python-min") as other:
            assert other.run("1").status == "ok"
    print("went on")
"""


def test_the_end_of_a_fork_leaves_what_is_its_parents(minimal):
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stdout) == (0, "went on\n"), done.stderr
