"""A recorded run, read back from the store: its row, and its events as they were emitted."""

from __future__ import annotations

import base64
import json
from datetime import UTC
from typing import Any

from workbench.errors import StoreError
from workbench.events import EVENT, Event
from workbench.storage.store import Store


def find(store: Store, run_id: str) -> dict[str, Any]:
    """Return the row of the one run whose id is ``run_id`` or begins with it.

    Raises
    ------
    StoreError
        If no run, or more than one, begins with ``run_id``.
    """
    found = store.rows("SELECT * FROM runs WHERE starts_with(run_id, ?) ORDER BY run_id", [run_id])
    if len(found) != 1:
        what = "no run" if not found else f"{len(found)} runs"
        raise StoreError(f"{what} in {store.path} with an id that begins with {run_id!r}", hint="workbench runs list shows the newest")
    return found[0]


def events(store: Store, run_id: str, kinds: list[str]) -> list[Event]:
    """Return the events of ``kinds`` of a run in order, with their pictures.

    Parameters
    ----------
    kinds : list of str
        Their names, for example ``model_called``.
    """
    query = "SELECT seq, recorded_at, event, data FROM events WHERE run_id = ? AND list_contains(?, event) ORDER BY seq"
    rows = store.rows(query, [run_id, kinds])
    found = [
        {
            **json.loads(row["data"]),
            "run_id": run_id,
            "seq": row["seq"],
            "at": row["recorded_at"].replace(tzinfo=UTC),
            "event": row["event"],
        }
        for row in rows
    ]
    _attach(store, [output["data"] for event in found for output in event.get("observation", {}).get("outputs", [])])
    return [EVENT.validate_python(event) for event in found]


def _attach(store: Store, bundles: list[dict[str, Any]]) -> None:
    """Put the pictures that the store keeps as artifacts back into their bundles."""
    places = [
        (bundle, mime, value["artifact"])
        for bundle in bundles
        for mime, value in bundle.items()
        if mime in ("image/png", "image/jpeg") and isinstance(value, dict) and "artifact" in value
    ]
    if places:
        names = sorted({name for _, _, name in places})
        kept = store.rows("SELECT sha256, data FROM artifacts WHERE list_contains(?, sha256)", [names])
        pictures = {row["sha256"]: base64.b64encode(row["data"]).decode() for row in kept}
        for bundle, mime, name in places:
            bundle[mime] = pictures[name]
