"""What an action did, as the kernel showed it: Jupyter MIME bundles, bounded, and what changed in the namespace."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

ObservationStatus = Literal["ok", "error", "timeout", "interrupted", "died", "flooded"]


class Output(BaseModel):
    """One output of a cell."""

    kind: Literal["stdout", "stderr", "result", "display"]
    data: dict[str, Any]
    """A MIME bundle: text under text types, base64 under binary ones."""

    @property
    def text(self) -> str:
        """The plain text of this output, empty where it has none."""
        return str(self.data.get("text/plain", ""))


class PythonError(BaseModel):
    """An exception the action raised."""

    name: str
    value: str
    traceback: str
    """Without ANSI colours."""


class NamespaceChange(BaseModel):
    """A variable that an action made, changed or deleted."""

    name: str
    change: Literal["new", "changed", "deleted"]
    summary: str = ""
    """Type and shape, for example ``DataFrame 442 x 11``."""


class Observation(BaseModel):
    """Everything one action showed."""

    status: ObservationStatus
    outputs: list[Output] = Field(default_factory=list)
    error: PythonError | None = None
    namespace: list[NamespaceChange] = Field(default_factory=list)
    seconds: float = 0.0
    dropped_bytes: int = 0
    """Output beyond the kernel's output limit, counted but not kept."""
    note: str = ""
    """What the sandbox did about it: which limit was hit, whether the kernel's memory was lost, what is not shown and why."""
    state_lost: bool = False
    """True where the kernel died: its variables are gone."""
