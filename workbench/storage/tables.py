"""From events to rows: what each event says in which table."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]


class Rows:
    """Rows for the tables, taken from events in order.

    Attributes
    ----------
    inserts : dict of str to list of dict
        New rows a table.
    updates : list of (str, dict)
        Columns to set in ``runs``, by run.
    artifacts : dict of str to (str, bytes)
        Media type and content by SHA-256.
    blobs : list of (str, str)
        SHA-256 and media type of artifacts that lie beside the journal.
    """

    def __init__(self) -> None:
        self.inserts: dict[str, list[Row]] = {}
        self.updates: list[tuple[str, Row]] = []
        self.artifacts: dict[str, tuple[str, bytes]] = {}
        self.blobs: list[tuple[str, str]] = []

    def add(self, event: Row) -> None:
        """Add one event, as parsed from JSON.

        Raises
        ------
        LookupError, TypeError, ValueError, AttributeError
            If it does not have the form of its kind; then nothing of it is added.
        """
        one = Rows()
        one._take(event)
        for table, rows in one.inserts.items():
            self.inserts.setdefault(table, []).extend(rows)
        self.updates += one.updates
        self.artifacts |= one.artifacts
        self.blobs += one.blobs

    def add_untyped(self, event: Row) -> None:
        """Add one event to the table of all events only, because it does not fit into its own."""
        fields = {key: value for key, value in event.items() if key not in ("run_id", "seq", "at", "event")}
        self._insert("events", run_id=event["run_id"], seq=event["seq"], recorded_at=event["at"], event=event["event"], data=fields)

    def _take(self, event: Row) -> None:
        kind = event["event"]
        if kind == "observed":
            outputs = [self._detach(output) for output in event["observation"]["outputs"]]
            event = {**event, "observation": {**event["observation"], "outputs": outputs}}
        if kind in _OF_A_STEP:
            # journals from before there were branches do not say it
            event = {"inherited": False, **event}
        self.add_untyped(event)
        fields = self.inserts["events"][-1]["data"]
        if (handler := _HANDLERS.get(kind)) is not None:
            # handlers take out what has a column of its own
            handler(self, event["run_id"], event["at"], dict(fields))

    def _insert(self, table: str, **row: Any) -> None:
        self.inserts.setdefault(table, []).append(row)

    def _detach(self, output: Row) -> Row:
        data = {}
        for mime, value in output["data"].items():
            if mime in ("image/png", "image/jpeg") and isinstance(value, str) and (content := _decoded(value)) is not None:
                name = hashlib.sha256(content).hexdigest()
                self.artifacts[name] = (mime, content)
                data[mime] = {"artifact": name, "size": len(content)}
            else:
                data[mime] = value
        return {**output, "data": data}

    def run_started(self, run_id: str, at: str, data: Row) -> None:
        """A run's row, still without its end."""
        self._insert("runs", run_id=run_id, started_at=at, status="running", **data)

    def branched(self, run_id: str, _at: str, data: Row) -> None:
        """How a branch was made, set in its run's row."""
        steps = sorted({diverged["step"] for diverged in data["diverged"]})
        self.updates.append((run_id, {"branched_by": data["branched_by"], "diverged_steps": steps}))

    def kernel_started(self, run_id: str, _at: str, data: Row) -> None:
        """The walls of the last kernel are the run's."""
        self.updates.append(
            (run_id, {"environment_hash": data["environment_hash"], "walls": data["walls"], "missing_walls": data["missing"]})
        )

    def model_called(self, run_id: str, at: str, data: Row) -> None:
        """A reply and what it cost."""
        usage, failure = data.pop("usage"), data.pop("failure")
        self._insert("model_calls", run_id=run_id, recorded_at=at, **data, **usage, error_message=failure and failure["message"])

    def action_taken(self, run_id: str, at: str, data: Row) -> None:
        """A code cell."""
        self._insert("actions", run_id=run_id, recorded_at=at, position=data.pop("index"), **data)

    def observed(self, run_id: str, _at: str, data: Row) -> None:
        """What a cell showed."""
        observation = dict(data["observation"])
        error = observation.pop("error") or {}
        self._insert(
            "observations",
            run_id=run_id,
            step=data["step"],
            inherited=data["inherited"],
            position=data["index"],
            error_name=error.get("name"),
            error_value=error.get("value"),
            traceback=error.get("traceback"),
            **observation,
        )

    def step_finished(self, run_id: str, at: str, data: Row) -> None:
        """A step's row exists once the step is complete."""
        self._insert("steps", run_id=run_id, finished_at=at, **data)

    def submission_frozen(self, _run_id: str, _at: str, data: Row) -> None:
        """The submission itself is an artifact."""
        if data["artifact"]:
            self.blobs.append((data["artifact"], "application/x-tar"))

    def scored(self, run_id: str, at: str, data: Row) -> None:
        """A row a metric, and one a reply of a judge."""
        for metric in data["metrics"]:
            row = {
                "metric": metric["metric"],
                "is_primary": metric["primary"],
                **{key: metric[key] for key in ("value", "normalised", "success")},
            }
            shared = {key: data[key] for key in ("invalid", "grader_hash", "details")}
            self._insert("scores", run_id=run_id, recorded_at=at, **row, **shared)
        # journals from before there were judges do not say it
        for position, judgement in enumerate(data.get("judgements", [])):
            own = {key: value for key, value in judgement.items() if key != "usage"}
            self._insert("judgements", run_id=run_id, position=position, recorded_at=at, **own, **judgement["usage"])

    def run_finished(self, run_id: str, at: str, data: Row) -> None:
        """The end of a run, set in its row."""
        error = data.pop("error") or {}
        data["limit_reached"] = data.pop("limit")
        self.updates.append(
            (run_id, {"finished_at": at, **data, **{f"error_{key}": error.get(key) for key in ("kind", "message", "hint")}})
        )


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text)
    except ValueError:
        return None


_OF_A_STEP = ("model_called", "action_taken", "observed", "step_finished")
_HANDLERS: dict[str, Callable[[Rows, str, str, Row], None]] = {
    "run_started": Rows.run_started,
    "branched": Rows.branched,
    "kernel_started": Rows.kernel_started,
    "model_called": Rows.model_called,
    "action_taken": Rows.action_taken,
    "observed": Rows.observed,
    "step_finished": Rows.step_finished,
    "submission_frozen": Rows.submission_frozen,
    "scored": Rows.scored,
    "run_finished": Rows.run_finished,
}
