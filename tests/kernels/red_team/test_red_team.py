"""The red team: programs that want out, behind every wall there is, and what is left of the host and of other kernels."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .arena import Arena
from .attack import Attack
from .table import ATTACKS, COLUMNS, beyond

pytestmark = [pytest.mark.walls, pytest.mark.asyncio(loop_scope="module")]


def trials() -> list[object]:
    """Every attack on every backend where it makes sense; one that is known to get through must go on doing so."""
    return [
        pytest.param(
            backend,
            attack,
            id=f"{backend}-{attack.category}: {attack.name}",
            marks=[pytest.mark.xfail(strict=True, raises=AssertionError, reason=attack.weak[backend])] if backend in attack.weak else [],
        )
        for backend in COLUMNS
        for attack in ATTACKS
        if not beyond(attack, backend)
    ]


@pytest.mark.parametrize(("column", "attack"), trials(), indirect=["column"])
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
