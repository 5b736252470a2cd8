"""Looking at the processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys

from workbench.kernels.process import Glances, children_of_all


def test_children_are_found_whatever_their_program_calls_itself() -> None:
    code = "import ctypes\nctypes.CDLL(None).prctl(15, b') R 1 (x', 0, 0, 0)\nprint(1, flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in children_of_all()[os.getpid()]
        assert child.pid in [each.pid for each in Glances().below(os.getpid())]
        child.kill()


def test_grandchildren_are_below_too_and_one_look_serves_many() -> None:
    code = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'print(1, flush=True); input()'])\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        glances = Glances()
        below = glances.below(os.getpid())
        assert {child.pid} < {each.pid for each in below}
        assert [each.pid for each in glances.below(child.pid)] == [each.pid for each in below if each.ppid() == child.pid]
        for each in [*glances.below(child.pid), child]:
            each.kill()


def test_who_has_started_nobody_has_none_below() -> None:
    assert Glances().below(2**22 + 1) == []
