"""The folders of live runs, with real processes that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from workbench import paths
from workbench.errors import UsageError
from workbench.kernels import runtime

OWNER = """
import sys
from workbench.kernels import runtime
made = runtime.folder("k-1")
(made / "deep").mkdir()
(made / "deep" / "file").write_text("x")
print(made, flush=True)
sys.stdin.read()
"""

Owner = tuple[subprocess.Popen[str], Path]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run root of this test's own, for this process and for those it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return paths.run_root()


@pytest.fixture
def own(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This process's own folder, below the test's run root."""
    monkeypatch.setattr(runtime, "_mine", None)
    yield runtime.mine()
    runtime.leave()


@pytest.fixture
def owner(root: Path) -> Iterator[Callable[..., Owner]]:
    """Start a process that owns a folder: ``process, folder = owner()``."""
    with ExitStack() as stack:

        def start(code: str = OWNER) -> Owner:
            process = stack.enter_context(
                subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            return process, Path(process.stdout.readline().strip())

        yield start


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_what_a_killed_process_left_is_removed_and_what_a_live_one_uses_is_not(root: Path, owner: Callable[..., Owner]) -> None:
    (dead, left), (live, used) = owner(), owner()
    assert runtime.sweep() == []
    kill(dead)
    assert (left / "deep" / "file").exists()
    assert runtime.sweep() == [left.parent.name]
    assert not left.parent.exists()
    assert (used / "deep" / "file").read_text() == "x"
    assert live.poll() is None
    assert runtime.sweep() == []


def test_a_new_process_removes_what_a_killed_one_left(root: Path, owner: Callable[..., Owner]) -> None:
    dead, left = owner()
    kill(dead)
    _, used = owner()
    assert not left.parent.exists()
    assert used.exists()


def test_a_process_that_ends_by_itself_leaves_nothing(root: Path, owner: Callable[..., Owner]) -> None:
    process, left = owner()
    process.communicate()
    assert process.returncode == 0
    assert not left.parent.exists()


def test_a_forked_child_has_a_folder_of_its_own_and_leaves_the_parents_alone(root: Path, owner: Callable[..., Owner]) -> None:
    code = """
import os, sys
from workbench.kernels import runtime
made = runtime.folder("k-1")
child = os.fork()
if child == 0:
    other = runtime.folder("k-1")
    runtime.leave()
    os._exit(int(other.parent == made.parent or other.exists() or not made.exists()))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(made, flush=True)
sys.stdin.read()
"""
    process, used = owner(code)
    assert process.poll() is None
    assert used.is_dir()
    assert runtime.sweep() == []


def test_many_processes_at_once_each_get_their_own(root: Path, owner: Callable[..., Owner]) -> None:
    folders = {owner()[1].parent for _ in range(5)}
    assert len(folders) == 5
    assert all(folder.is_dir() for folder in folders)


def test_ones_own_folder_is_kept_by_a_sweep_and_private(own: Path) -> None:
    assert runtime.sweep() == []
    assert own.is_dir()
    assert own.parent.stat().st_mode & 0o077 == 0  # what lies below is out of reach of others by that
    assert runtime.mine() == own
    made = runtime.folder("k-1")
    assert made.parent == own
    assert made.stat().st_mode & 0o077 == 0


def test_leaving_removes_it_and_the_next_use_makes_another(own: Path) -> None:
    runtime.leave()
    assert not own.exists()
    assert runtime.mine() != own


def test_the_root_is_private(root: Path) -> None:
    assert root.stat().st_mode & 0o077 == 0
    root.chmod(0o755)
    with pytest.raises(UsageError, match="not private"):
        paths.run_root()


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs symbolic links")
def test_a_root_that_is_somebody_elses_link_is_refused(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir(mode=0o700)
    root.rename(tmp_path / "moved")
    root.symlink_to(target)
    with pytest.raises(UsageError, match="not private"):
        paths.run_root()
