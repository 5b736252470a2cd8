"""What tests of importers share: running many tasks two at once, and loading programs that run behind the walls."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from workbench import runner
from workbench.kernels.view import INSIDE
from workbench.models.base import Model
from workbench.tasks import importers
from workbench.tasks.checkout import Checkout

Solved = Callable[[Iterable[tuple[str, str | Model]]], Awaitable[list[bool | None]]]


def loaded(path: Path) -> ModuleType:
    """Return a program as a module, with what programs behind the walls may import."""
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(INSIDE))
        # dataclasses look their module up while they are made
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
    return module


def grader_of(name: str) -> ModuleType:
    """Return the grader of a suite, or another program beside it."""
    return loaded(Path(importers.__file__).parent / "graders" / f"{name}.py")


def complain(importer: Any, root: Path) -> None:
    """Raise why a checkout, or the first malformed task of it, cannot be read; the other tasks are found all the same."""
    checkout = Checkout(root)
    found = importer.tasks(checkout)
    for error in checkout.malformed.values():
        assert all(each.task.id not in checkout.malformed for each in found)
        raise error


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
