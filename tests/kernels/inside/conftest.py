"""What graders may import, imported here."""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from workbench.kernels.view import INSIDE

_PR_GET_CHILD_SUBREAPER = 37


@pytest.fixture(autouse=True)
def _no_adoption() -> Iterator[None]:
    """A test runner that has become the parent of everybody's orphans would never bury them."""
    adopts = ctypes.c_int()
    yield
    ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(adopts), 0, 0, 0)
    assert not adopts.value


@pytest.fixture(scope="session")
def inside() -> Iterator[Callable[[str], ModuleType]]:
    """Import a module that runs behind the walls: ``inside("workbench_grading.kinds.mcq_")``."""
    sys.path.insert(0, str(INSIDE))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(INSIDE))
        for name in [name for name in sys.modules if name.split(".")[0] == "workbench_grading"]:
            del sys.modules[name]
