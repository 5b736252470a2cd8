"""Stores to write into, and other processes to share them with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import workbench
from workbench.storage.store import Store

Start = Callable[..., "Other"]


class Other:
    """Another Python process that is talked to line by line."""

    def __init__(self, code: str, *arguments: object) -> None:
        home = str(Path(workbench.__file__).parents[1])
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": home},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._in, self._out = self.process.stdin, self.process.stdout

    def hears(self) -> str:
        """Return its next line; fails where it died instead."""
        line = self._out.readline()
        assert line, f"the other process ended with code {self.process.wait()}"
        return line.strip()

    def say(self, line: str = "") -> None:
        """Let it go on."""
        self._in.write(line + "\n")
        self._in.flush()

    def end(self) -> int:
        """Wait for its end and return its exit code."""
        self._in.close()
        self._out.read()
        return self.process.wait()

    def kill(self) -> None:
        """Kill it as ``kill -9`` does."""
        self.process.kill()
        self.process.wait()
        self._in.close()
        self._out.close()


@pytest.fixture
def store(store_path: Path) -> Store:
    """An empty store."""
    return Store(store_path)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start other processes; they are gone when the test ends."""
    with ExitStack() as stack:

        def begin(code: str, *arguments: object) -> Other:
            other = Other(code, *arguments)
            stack.callback(other.kill)
            return other

        yield begin


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up on a file that somebody else holds at once, where one waits seconds otherwise."""
    from tenacity import stop_after_attempt

    monkeypatch.setattr("workbench.storage.store.stop_after_delay", lambda _: stop_after_attempt(3))
