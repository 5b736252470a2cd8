"""Fixtures for the models' tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.loopback import Loopback, Turn


@pytest.fixture
def loopback() -> Iterator[Callable[..., Loopback]]:
    """Start a scripted model server: ``server = loopback(Say("hello"))``."""
    with ExitStack() as stack:

        def start(*script: Turn) -> Loopback:
            return stack.enter_context(Loopback(*script))

        yield start
