"""The red team: programs that want out, behind every wall there is, and what is left of the host and of other kernels."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .arena import Arena
from .attack import Attack
from .table import ATTACKS, COLUMNS

pytestmark = [pytest.mark.walls, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.category}: {attack.name}")
@pytest.mark.parametrize("column", COLUMNS, indirect=True)
async def test_contained(arena: Arena, attack: Attack, record_property: Callable[[str, object], None]) -> None:
    record_property("trial", [attack.name, arena.backend])
    await arena.ready()
    try:
        await attack.trial(arena, attack)
        await arena.verify()
    except BaseException:
        # whoever comes next finds everything as it should be
        await arena.clear()
        raise
