"""A clock that tests move, so that minutes of waiting take no time."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace

import pytest

from workbench.agents import base


class Clock:
    """The clock of the running event loop and of the worlds in it: as fast as ever, and moved forward by a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        self._loop = asyncio.get_running_loop()
        theirs = self._loop.time
        monkeypatch.setattr(self._loop, "time", lambda: theirs() + self.ahead)
        monkeypatch.setattr(base, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + self.ahead))

    def advance(self, seconds: float) -> None:
        """Move it forward, from any other thread; return when the event loop has seen it."""
        seen = threading.Event()

        def move() -> None:
            self.ahead += seconds
            # behind the timers that are due now
            self._loop.call_soon(self._loop.call_soon, seen.set)

        self._loop.call_soon_threadsafe(move)
        assert seen.wait(60)
