"""Every backend there is, ready for the conformance suite and the red team; one that cannot be tried says so loudly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.kernels.session import Sandbox

from ..conftest import require_walls

BACKENDS = ("local", "none")
"""Names of the backends; each is a parameter of the suites."""


@contextmanager
def backend(name: str) -> Iterator[Sandbox]:
    """Make backend ``name`` usable and return its sandbox; skips where this machine cannot."""
    if name == "local":
        require_walls("bubblewrap")
        yield "local"
    else:
        yield "none"
