"""A run is read back from the store as it was emitted."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.storage.strategies import KINDS, without
from tests.storage.test_tables import PNG, as_json, keep, relaxed, run_finished, run_started
from workbench.errors import StoreError
from workbench.events import Observed, RunFinished
from workbench.observation import Observation, Output
from workbench.storage import trajectory
from workbench.storage.store import Store

NAMES = [kind.model_fields["event"].default for kind in KINDS]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store") / "runs.duckdb")


@relaxed
@given(events=st.lists(without(RunFinished), max_size=8))
def test_every_event_comes_back(shared: Store, events: list[Any]) -> None:
    written = [*events, run_finished()]
    run = keep(shared, written)
    assert [as_json(event) for event in trajectory.events(shared, run, NAMES)] == [as_json(event) for event in written]


def test_pictures_come_back_from_the_artifacts(store: Store) -> None:
    bundle = {"image/png": base64.b64encode(PNG).decode(), "text/plain": "<Figure>"}
    observation = Observation(status="ok", outputs=[Output(kind="display", data=bundle)] * 2)
    run = keep(store, [run_started(), Observed(step=1, index=0, observation=observation), run_finished()])
    (event,) = trajectory.events(store, run, ["observed"])
    assert isinstance(event, Observed) and event.observation == observation


def test_only_the_kinds_that_are_asked_for_come(store: Store) -> None:
    run = keep(store, [run_started(), run_finished()])
    assert [event.event for event in trajectory.events(store, run, ["run_finished"])] == ["run_finished"]
    assert trajectory.events(store, "another", NAMES) == []


def test_a_run_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    for run in ("2026-a1", "2026-b1"):
        with store.journal(run) as journal:
            journal.write(run_started())
    assert trajectory.find(store, "2026-a")["run_id"] == "2026-a1"
    with pytest.raises(StoreError, match=r"2 runs in .* begins with '2026'"):
        trajectory.find(store, "2026")
    with pytest.raises(StoreError, match="no run in"):
        trajectory.find(store, "2027")
