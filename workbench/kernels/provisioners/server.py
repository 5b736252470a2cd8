"""How a person at a browser hears why their kernel did not start."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from workbench.errors import WorkbenchError


@contextlib.contextmanager
def told(manager: Any) -> Iterator[None]:
    """Make Jupyter Server show the text of our errors.

    Of any exception but its own kind it shows no more than "Unhandled error". Where ``manager`` is not one of the
    server's the error stays as it is.
    """
    try:
        yield
    except WorkbenchError as error:
        server = sys.modules.get("jupyter_server.services.kernels.kernelmanager")
        if server is None or not isinstance(manager, server.ServerKernelManager):
            raise
        from tornado.web import HTTPError

        raise HTTPError(500, str(error)) from error
