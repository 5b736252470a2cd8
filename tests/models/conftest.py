"""Fixtures for the models' tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.loopback import Loopback, Turn


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key of the user's is sent, and no proxy stands before the scripted server."""
    for name in list(os.environ):
        if name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def loopback() -> Iterator[Callable[..., Loopback]]:
    """Start a scripted model server: ``server = loopback(Say("hello"))``."""
    with ExitStack() as stack:

        def start(*script: Turn) -> Loopback:
            return stack.enter_context(Loopback(*script))

        yield start
