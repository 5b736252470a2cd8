"""Running many tasks of a benchmark, two at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from workbench import runner
from workbench.models.base import Model

Solved = Callable[[Iterable[tuple[str, str | Model]]], Awaitable[list[bool | None]]]


@pytest.fixture
def solved(store_path: Path) -> Solved:
    """Run models at tasks, which must not end in an error, and say which were solved."""
    gate = asyncio.Semaphore(2)

    async def run(name: str, model: str | Model) -> bool | None:
        async with gate:
            result = await runner.run_async(name, model=model, store=store_path)
        assert result.error is None, (name, result.error)
        return result.success

    async def all_of(pairs: Iterable[tuple[str, str | Model]]) -> list[bool | None]:
        return list(await asyncio.gather(*(run(name, model) for name, model in pairs)))

    return all_of
