"""The host that is attacked, and the arenas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from workbench import paths
from workbench.kernels import channel, session
from workbench.kernels.environments import Environment
from workbench.kernels.session import Sandbox

from ...e2b_standin import KEY
from ..backends import backend
from .arena import Arena
from .attack import Attack
from .host import Host, canaries
from .table import beyond


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Try attacks only on backends where they make sense; one that is known to get through must go on doing so.

    Backend and attack are parameters of their own, for pytest sets a backend up again for each value of a parameter that
    it shares with another.
    """
    left_out = []
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        attack, backend = parameters.get("attack"), parameters.get("column")
        if not isinstance(attack, Attack):
            continue
        if beyond(attack, backend):
            left_out.append(item)
        elif backend in attack.weak:
            item.add_marker(pytest.mark.xfail(strict=True, raises=AssertionError, reason=attack.weak[backend]))
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        left = set(left_out)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with canaries."""
    with canaries(tmp_path_factory.mktemp("host")) as made:
        private = [*paths.private_roots(), *paths.builtin("tasks").glob("*/*/hidden"), *paths.builtin("tasks").glob("*/*/solution")]
        private += [paths.cache() / "tasks", *(paths.cache() / "tasks").glob("*/hidden"), Path(__file__).parent]
        made.facts["private"] = sorted({str(path) for path in private if path.exists()})
        yield made


@pytest.fixture(scope="module")
def column(request: pytest.FixtureRequest) -> Iterator[tuple[str, Sandbox]]:
    """The backend that the parameter names, usable."""
    name: str = request.param
    with backend("local" if name == "branch" else name) as sandbox:
        yield name, sandbox


@pytest.fixture(autouse=True)
def _key_of_the_stand_in(_nothing_of_the_users: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel may have to be started again in the middle of a test, from which every other key is taken."""
    monkeypatch.setenv("E2B_API_KEY", KEY)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena(column: tuple[str, Sandbox], host: Host, minimal: Environment) -> AsyncIterator[Arena]:
    """An arena of that backend."""
    made = Arena(*column, minimal, host)
    with pytest.MonkeyPatch.context() as patch:
        # nothing here that has not answered by then ever will
        patch.setattr(session, "_INTERRUPT_SECONDS", 2.0)
        patch.setattr(channel, "READY_SECONDS", 15.0)
        try:
            yield made
        finally:
            await made.clear()
