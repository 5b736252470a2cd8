"""Every backend there is, ready for the conformance suite and the red team; one that cannot be tried says so loudly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from workbench.kernels import image
from workbench.kernels.session import Sandbox

from ..conftest import require_walls

BACKENDS = ("local", "local alone", "none")
"""Names of the backends; each is a parameter of the suites."""


@contextmanager
def backend(name: str) -> Iterator[Sandbox]:
    """Make backend ``name`` usable and return its sandbox; skips where this machine cannot."""
    if name == "local":
        require_walls("bubblewrap")
        yield "local"
    elif name == "local alone":
        # a machine that lets nobody make namespaces within bubblewrap's: each kernel has a bubblewrap of its own
        require_walls("bubblewrap")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(image, "_lacking", image.NoImages("images are not used in this test"))
            yield "local"
    else:
        yield "none"
