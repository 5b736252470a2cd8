"""What the kernels' tests share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from workbench.kernels import runtime
from workbench.kernels.forked import ForkedProcess
from workbench.kernels.session import KernelSession
from workbench.observation import Observation

PATIENCE = 200.0
"""Longest wait for something that must happen; only a failing test waits that long."""


async def eventually(condition: Callable[[], object]) -> bool:
    """Return True once ``condition`` holds, False if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


def text_of(observation: Observation, kind: str | None = None) -> str:
    """All text an observation shows, or that of one kind of output."""
    return "".join(output.text for output in observation.outputs if kind in (None, output.kind))


def everything(observation: Observation) -> str:
    """All that an observation says anywhere."""
    return observation.model_dump_json()


def told(observation: Observation) -> str:
    """Fail message: what a cell showed, short."""
    error = observation.error
    return f"{observation.status} | {observation.note} | {error and f'{error.name}: {error.value}'} | {text_of(observation)[-2000:]}"


def processes_with(marker: str) -> list[psutil.Process]:
    """Processes of this machine that carry ``marker`` in their command line."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and any(marker in part for part in process.cmdline()):
                found.append(process)
    return found


def holdings(session: KernelSession) -> list[Path]:
    """The folders a live session has on this machine beside its workspace: its files and its cgroup."""
    folder = session.provisioner.folder
    assert folder is not None
    group = session.provisioner.process._cgroup
    return [folder, *(group.folders if group is not None else [])]


def processes_of(session: KernelSession) -> list[int]:
    """The processes behind a live session's walls, and those that hold them."""
    process = session.provisioner.process
    found = [each.pid for each in process._tree()]
    if isinstance(process, ForkedProcess):
        assert process.family is not None and process.family.image._process is not None
        top = psutil.Process(process.family.image._process.pid)
        found += [top.pid, *(each.pid for each in top.children(recursive=True))]
    return sorted(set(found))


def dead(session: KernelSession) -> bool:
    """Whether the session's kernel is gone, noticed or not."""
    return session.provisioner.process.returncode is not None


def disk_use(folders: list[Path]) -> tuple[int, int]:
    """Bytes and files below ``folders``, those included that are deleted and that a child of this process keeps open."""
    total = count = 0
    waiting = [str(folder) for folder in folders]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = str(descriptor.readlink())
                    if target.endswith(" (deleted)") and not target.startswith(("/dev", "/memfd", "/tmp/tmp")):
                        total += descriptor.stat().st_blocks * 512
                        count += 1
    return total, count


@dataclass
class Growth:
    """How much memory this process took at most, beyond what it had before."""

    bytes: int = 0


@contextlib.contextmanager
def memory_growth() -> Iterator[Growth]:
    """Measure the largest growth of this process's resident memory."""
    process, growth, done = psutil.Process(), Growth(), threading.Event()
    before = process.memory_info().rss

    def look() -> None:
        while not done.wait(0.005):
            growth.bytes = max(growth.bytes, process.memory_info().rss - before)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield growth
    finally:
        done.set()
        watcher.join()
        growth.bytes = max(growth.bytes, process.memory_info().rss - before)


def groups() -> int:
    """Return how many control groups this process's kernels have; those of others come and go meanwhile, which is nobody's error."""
    mine = f"workbench-{runtime.mine().name}-"
    return sum(name.startswith(mine) for _, folders, _ in os.walk("/sys/fs/cgroup") for name in folders)
