"""From events to rows: nothing an event says is lost, and pictures become artifacts."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.storage.strategies import a, without
from workbench.events import Branched, Diverged, KernelStarted, ModelCalled, Observed, RunFinished, RunStarted, Scored, StepFinished
from workbench.observation import Observation, Output
from workbench.storage.store import Store
from workbench.storage.tables import Rows

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
fresh = itertools.count()
relaxed = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for all examples, each of which is a run of its own."""
    return Store(tmp_path_factory.mktemp("store") / "runs.duckdb")


def keep(store: Store, events: list[Any]) -> str:
    run = f"run-{next(fresh)}"
    with store.journal(run) as journal:
        for event in events:
            journal.write(event)
    store.absorb()
    return run


def as_json(event: Any) -> dict[str, Any]:
    return json.loads(event.model_dump_json())


def body(event: Any) -> dict[str, Any]:
    return {key: value for key, value in as_json(event).items() if key not in ("run_id", "seq", "at", "event")}


def detached(data: dict[str, Any]) -> dict[str, Any]:
    for output in data.get("observation", {}).get("outputs", []):
        for mime in ("image/png", "image/jpeg"):
            if isinstance(output["data"].get(mime), str):
                del output["data"][mime]
    return data


def run_started() -> RunStarted:
    return RunStarted(
        task="a/b",
        task_hash="h",
        family="f",
        suite="s",
        variant={"level": "base"},
        agent="codeact",
        model="nop",
        sandbox="local",
        environment="python-min",
        limits={"steps": 3, "tokens": None},
        instruction="do it",
        version="0",
    )


def run_finished(**more: Any) -> RunFinished:
    return RunFinished(**{"status": "completed", "success": None, "steps": 0, "tokens": 0, "cost_usd": None, "seconds": 0.5, **more})


class TestEveryEvent:
    @relaxed
    @given(events=st.lists(without(RunFinished), max_size=8), last=a(RunFinished))
    def test_lands_once_with_all_it_says(self, shared: Store, events: list[Any], last: RunFinished) -> None:
        events = [*events, last]
        run = keep(shared, events)
        found = shared.rows("SELECT seq, event, recorded_at, data FROM events WHERE run_id = ? ORDER BY seq", [run])
        assert [row["seq"] for row in found] == list(range(len(events)))
        assert [row["event"] for row in found] == [event.event for event in events]
        assert [row["recorded_at"] for row in found] == [event.at.replace(tzinfo=None) for event in events]
        assert [detached(json.loads(row["data"])) for row in found] == [detached(body(event)) for event in events]

    @relaxed
    @given(events=st.lists(without(RunFinished), max_size=8), last=a(RunFinished))
    def test_makes_the_rows_of_its_table(self, shared: Store, events: list[Any], last: RunFinished) -> None:
        run = keep(shared, [*events, last])
        kinds = Counter(event.event for event in events)
        tables = {
            "runs": kinds["run_started"],
            "steps": kinds["step_finished"],
            "model_calls": kinds["model_called"],
            "actions": kinds["action_taken"],
            "observations": kinds["observed"],
            "scores": sum(len(event.metrics) for event in events if isinstance(event, Scored)),
            "journals": 0,
        }
        counts = ", ".join(f"(SELECT count(*) FROM {table} WHERE run_id = $run) AS {table}" for table in tables)
        assert shared.rows(f"SELECT {counts}", {"run": run}) == [tables]

    @relaxed
    @given(call=a(ModelCalled), step=a(StepFinished), last=a(RunFinished))
    def test_keeps_its_values_in_the_columns(self, shared: Store, call: ModelCalled, step: StepFinished, last: RunFinished) -> None:
        run = keep(shared, [run_started(), call, step, last])
        (row,) = shared.rows("SELECT * FROM model_calls WHERE run_id = ?", [run])
        assert (row["text"], row["reasoning"], row["finish_reason"]) == (call.text, call.reasoning, call.finish_reason)
        usage = call.usage
        assert (row["input_tokens"], row["output_tokens"], row["cached_tokens"]) == (
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_tokens,
        )
        assert (row["cost_usd"], row["seconds"]) == (call.cost_usd, call.seconds)
        assert row["error_message"] == (call.failure.message if call.failure else None)
        assert json.loads(row["prompt"]) == body(call)["prompt"]
        assert json.loads(row["attempts"]) == body(call)["attempts"]
        assert shared.rows("SELECT notes FROM steps WHERE run_id = ?", [run]) == [{"notes": step.notes}]
        (end,) = shared.rows("SELECT * FROM runs WHERE run_id = ?", [run])
        assert (end["status"], end["limit_reached"], end["success"], end["answer"]) == (last.status, last.limit, last.success, last.answer)
        assert (end["steps"], end["tokens"], end["cost_usd"], end["seconds"]) == (last.steps, last.tokens, last.cost_usd, last.seconds)
        error = last.error
        assert (end["error_kind"], end["error_message"], end["error_hint"]) == (
            (error.kind, error.message, error.hint) if error else (None, None, None)
        )

    @relaxed
    @given(last=a(KernelStarted))
    def test_of_the_last_kernel_gives_the_run_its_walls(self, shared: Store, last: KernelStarted) -> None:
        first = KernelStarted(environment_hash="old", walls=["old"], missing=["old"], seconds=1)
        run = keep(shared, [run_started(), first, last, run_finished()])
        (row,) = shared.rows("SELECT environment_hash, walls, missing_walls FROM runs WHERE run_id = ?", [run])
        assert row == {"environment_hash": last.environment_hash, "walls": last.walls, "missing_walls": last.missing}

    def test_of_a_branch_names_its_parent_and_the_steps_that_diverged(self, store: Store) -> None:
        started = run_started().model_copy(update={"parent_run": "r0", "parent_step": 3})
        diverged = [Diverged(step=step, index=index, recorded="a", replayed="b") for step, index in ((3, 1), (1, 0), (3, 0))]
        keep(store, [started, Branched(branched_by="replay", diverged=diverged, seconds=1), run_finished()])
        (row,) = store.rows("SELECT parent_run, parent_step, branched_by, diverged_steps FROM runs")
        assert row == {"parent_run": "r0", "parent_step": 3, "branched_by": "replay", "diverged_steps": [1, 3]}

    def test_of_a_run_that_goes_on_leaves_its_end_open(self, store: Store) -> None:
        with store.journal("r1") as journal:
            journal.write(run_started())
            (row,) = store.rows("SELECT status, finished_at, success, steps FROM runs")
        assert row == {"status": "running", "finished_at": None, "success": None, "steps": None}


class TestPictures:
    def observed(self, *outputs: Output) -> Observed:
        return Observed(step=1, index=0, observation=Observation(status="ok", outputs=list(outputs)))

    @relaxed
    @given(data=st.binary(min_size=1, max_size=200), mime=st.sampled_from(["image/png", "image/jpeg"]))
    def test_become_artifacts_by_content(self, shared: Store, data: bytes, mime: str) -> None:
        picture = Output(kind="display", data={mime: base64.b64encode(data).decode(), "text/plain": "<Figure>"})
        run = keep(shared, [run_started(), self.observed(picture), run_finished()])
        name = hashlib.sha256(data).hexdigest()
        (row,) = shared.rows("SELECT outputs FROM observations WHERE run_id = ?", [run])
        bundle = {mime: {"artifact": name, "size": len(data)}, "text/plain": "<Figure>"}
        assert json.loads(row["outputs"]) == [{"kind": "display", "data": bundle}]
        assert shared.artifact(name) == data
        assert shared.rows("SELECT size FROM artifacts WHERE sha256 = ?", [name]) == [{"size": len(data)}]

    def test_that_are_alike_are_kept_once(self, store: Store) -> None:
        picture = Output(kind="display", data={"image/png": base64.b64encode(PNG).decode()})
        for run in ("r1", "r2"):
            with store.journal(run) as journal:
                journal.write(run_started())
                journal.write(self.observed(picture, picture))
                journal.write(run_finished())
        assert store.rows("SELECT media_type, size FROM artifacts") == [{"media_type": "image/png", "size": len(PNG)}]

    @pytest.mark.parametrize("data", ["a", "abc", "é", "\U0001f600", "=", "a=b"])
    def test_that_are_no_base64_keep_nobody_out(self, store: Store, data: str) -> None:
        # the kernel's collector refuses these, but a journal may come from elsewhere
        with store.journal("r1") as journal:
            journal.write(run_started())
            journal.write(self.observed(Output(kind="display", data={"image/png": data})))
            journal.write(run_finished())
        assert store.rows("SELECT count(*) AS n FROM observations") == [{"n": 1}]

    def test_of_other_kinds_stay_where_they_are(self) -> None:
        rows = Rows()
        bundle = {"image/svg+xml": "<svg/>", "image/png": {"not": "text"}}
        rows.add({"run_id": "r", "seq": 0, "at": "2026-01-01T00:00:00Z", **as_json(self.observed(Output(kind="display", data=bundle)))})
        assert rows.artifacts == {}
        assert rows.inserts["observations"][0]["outputs"][0]["data"] == bundle


def test_rows_leave_the_event_as_it_is() -> None:
    # what a table needs in columns of its own must not be missing in `events`
    for event in (
        ModelCalled(step=1, prompt=[], text="", finish_reason="stop", usage={"input_tokens": 3}, cost_usd=None, attempts=[], seconds=0),
        run_finished(limit="steps"),
    ):
        rows = Rows()
        rows.add(as_json(event))
        assert rows.inserts["events"][0]["data"] == body(event)
