"""Functions of others that only listen: whatever they raise, what they listen to goes on."""

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
    """Calls a function until it fails; then warns, once, and calls it no more.

    Parameters
    ----------
    function : callable
        Takes one argument.
    """

    def __init__(self, function: Callable[[T], object]) -> None:
        self._function: Callable[[T], object] | None = function

    def __call__(self, heard: T) -> None:
        """Tell the function, unless it has failed before."""
        if self._function is None:
            return
        try:
            self._function(heard)
        except BaseException as error:
            if is_interrupt(error):
                raise
            self._function = None
            # where warnings are errors, this one must not end the run either
            with contextlib.suppress(UserWarning):
                warnings.warn(shown(f"a listener failed and hears no more: {classify(error).message}"), stacklevel=3)
