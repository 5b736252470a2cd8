"""What every kernel's folder says of it, so that any process of this user can tell which kernels there are."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from workbench.kernels import runtime
from workbench.kernels.process import tree_memory

NAME = "label.json"
"""Name of the label in the kernel's folder."""


@dataclass(frozen=True)
class Label:
    """A kernel, for who did not start it.

    Attributes
    ----------
    kernel : str
        Its folder's name.
    environment, sandbox : str
        What it runs in.
    pid : int or None
        Of the kernel's process on this machine; None where it runs on another.
    owner : int
        The process that started it, and with which it dies.
    workspace : str or None
        The folder it works in; None for one of its own that goes with it.
    started : float
        Seconds since 1970; anew with each restart.
    restarts : int
        How often it lost its variables.
    """

    kernel: str
    environment: str
    sandbox: str
    pid: int | None
    owner: int
    workspace: str | None
    started: float
    restarts: int = 0

    @property
    def seconds(self) -> float:
        """Its age."""
        return time.time() - self.started

    def write(self, folder: Path) -> None:
        """Put it into the kernel's folder, in one piece."""
        unfinished = folder / f"{NAME}.new"
        unfinished.write_text(json.dumps(asdict(self)))
        unfinished.replace(folder / NAME)


def live() -> list[Label]:
    """Return the kernels of all live processes of this user, the oldest first."""
    found = []
    for owned in runtime.owned():
        for file in owned.glob(f"*/{NAME}"):
            # one that ends at this moment takes its label with it
            with contextlib.suppress(OSError, ValueError, TypeError):
                found.append(Label(**json.loads(file.read_text())))
    return sorted(found, key=lambda label: label.started)


def memory(label: Label, others: Sequence[Label]) -> int | None:
    """Return the bytes of memory of a kernel and what it started, or None where it cannot be seen from here.

    Parameters
    ----------
    others : sequence of Label
        Kernels that count for themselves, such as branches of this one.
    """
    if label.pid is None:
        return None
    apart = {other.pid for other in others} - {label.pid}
    tree: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        waiting = [psutil.Process(label.pid)]
        while waiting:
            tree.append(each := waiting.pop())
            with contextlib.suppress(psutil.Error):
                waiting += [child for child in each.children() if child.pid not in apart]
    return tree_memory(tree, 0) if tree else None
