"""Functions of others that only listen: whatever they raise, the work that they listen to continues."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Generic, TypeVar

from workbench.cancellation import is_interrupt
from workbench.errors import classify
from workbench.text import shown

T = TypeVar("T")


class Listener(Generic[T]):
    """Calls a function until it fails; then warns once, and does not call it again.

    Parameters
    ----------
    function : callable
        Takes one argument.
    """

    def __init__(self, function: Callable[[T], object]) -> None:
        self._function: Callable[[T], object] | None = function

    def __call__(self, heard: T) -> None:
        """Call the function, unless it has failed before."""
        if self._function is None:
            return
        try:
            self._function(heard)
        except BaseException as error:
            if is_interrupt(error):
                raise
            self._function = None
            # if warnings are turned into errors, this one must not end the run either
            with contextlib.suppress(UserWarning):
                warnings.warn(shown(f"a listener failed and hears no more: {classify(error).message}"), stacklevel=3)
