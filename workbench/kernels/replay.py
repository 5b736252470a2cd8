"""Branching without a fork: the recorded actions are run again, and what they show is compared with what they showed."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.kernels import runtime, trees
from workbench.kernels.contract import Divergence
from workbench.kernels.exchange import Encoded, decode, encode
from workbench.observation import Observation

MOST_KEPT = 64 * 2**20
"""Bytes of a workspace's beginning that are kept for a replay."""
_ADDRESS = re.compile(r"0x[0-9a-f]{4,}")
_SHORT = 200


def fingerprint(observation: Observation) -> str:
    """Return a hash of what an action showed; addresses in memory, which differ from run to run, are left out.

    Examples
    --------
    >>> from workbench.observation import Observation, Output
    >>> one, two = (Observation(status="ok", outputs=[Output(kind="result", data={"text/plain": f"<f at 0x7f{n}000>"})]) for n in (1, 2))
    >>> fingerprint(one) == fingerprint(two)
    True
    """
    seen = hashlib.sha256(observation.status.encode())
    for kind, text in _shown(observation):
        seen.update(f"\0{kind}\0{_ADDRESS.sub('0x', text)}".encode("utf-8", "replace"))
    return seen.hexdigest()


def _shown(observation: Observation) -> list[tuple[str, str]]:
    shown = [(f"{output.kind} {mime}", str(value)) for output in observation.outputs for mime, value in sorted(output.data.items())]
    if observation.error is not None:
        shown.append(("error", f"{observation.error.name}: {observation.error.value}"))
    return shown


def summary(observation: Observation) -> str:
    """Return what an action showed, in short.

    Examples
    --------
    >>> summary(Observation(status="ok"))
    'ok'
    """
    text = " | ".join(text.strip() for kind, text in _shown(observation) if "text/plain" in kind or kind == "error")
    return f"{observation.status}: {text}"[:_SHORT] if text else observation.status


@dataclass(frozen=True)
class Action:
    """A cell that was run, and what it showed."""

    code: str
    shown: str
    """Its fingerprint."""
    summary: str

    @classmethod
    def of(cls, code: str, observation: Observation) -> Action:
        """Note an action and its observation."""
        return cls(code, fingerprint(observation), summary(observation))

    def compare(self, number: int, observation: Observation) -> Divergence | None:
        """Return how ``observation`` differs from what was noted, or None."""
        if fingerprint(observation) == self.shown:
            return None
        return Divergence(number=number, code=self.code, recorded=self.summary, replayed=summary(observation))


@dataclass(frozen=True)
class Given:
    """A value that was pushed into the kernel, as it was then."""

    name: str
    encoded: Encoded

    @classmethod
    def of(cls, name: str, value: Any) -> Given:
        """Note a value."""
        return cls(name, encode(value))

    @property
    def value(self) -> Any:
        """A copy of it."""
        return decode(*self.encoded)


@dataclass
class Origin:
    """The files of a workspace as they were before the first action, kept while a kernel can be replayed from them.

    Attributes
    ----------
    folder : Path or None
        None if there were too many files to keep, or they cannot be copied.
    """

    folder: Path | None
    _users: int = 1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def keep(cls, workspace: Path, name: str) -> Origin:
        """Copy ``workspace`` into a private folder called ``name``, if possible.

        An agent controls its content: there may be pipes, unreadable files, or folders deeper than the longest possible
        path.
        """
        if trees.size(workspace, MOST_KEPT) > MOST_KEPT:
            return cls(None)
        folder = runtime.folder(name)
        try:
            shutil.copytree(workspace, folder, symlinks=True, dirs_exist_ok=True)
        except (OSError, RecursionError):
            runtime.remove(folder)
            return cls(None)
        return cls(folder)

    def share(self) -> Origin:
        """Return this for one more kernel."""
        with self._lock:
            self._users += 1
        return self

    def lay_out(self, workspace: Path) -> None:
        """Put the files into an empty folder."""
        assert self.folder is not None
        shutil.copytree(self.folder, workspace, symlinks=True, dirs_exist_ok=True)

    def release(self) -> None:
        """Say that one kernel needs this no more; with the last the folder goes."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self.folder is not None:
                runtime.remove(self.folder)
