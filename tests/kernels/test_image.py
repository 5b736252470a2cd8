"""Image processes, seen from the host."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from workbench.kernels import image
from workbench.kernels.environments import Environment

from ..conftest import require_walls

pytestmark = pytest.mark.walls


async def test_one_that_was_killed_is_followed_by_another(minimal: Environment) -> None:
    require_walls("bubblewrap")
    first = await asyncio.to_thread(image.borrow, minimal)
    try:
        assert first.alive
        again = await asyncio.to_thread(image.borrow, minimal)
        assert again is first
        image.give_back(again)
        assert first._process is not None
        (inner,) = psutil.Process(first._process.pid).children()
        inner.kill()
        await asyncio.to_thread(first._process.wait)
        second = await asyncio.to_thread(image.borrow, minimal)
        assert second is not first and second.alive
        image.give_back(second)
    finally:
        image.give_back(first)
        first.close()
