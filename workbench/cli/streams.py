"""Standard output and standard error: their readers may go away at any time, and their disk may be full."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TextIO

_GONE = (errno.EPIPE, errno.ECONNRESET, errno.EIO)
"""The errors of a pipe, a socket and a terminal that nobody reads any more."""


def make_lasting() -> None:
    """From now on, let writing to the streams succeed; :func:`lost` says what could not be written."""
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)


def lost() -> str:
    """Return why part of the output could not be written although its reader is still there; empty if all was written."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _Lasting) else ""


def _lasting(stream: TextIO | None) -> TextIO:
    if stream is None:
        # closed from the start; no other file may get its number, or printed text would be written to that file
        return open(os.devnull, "w")  # noqa: PTH123 - for as long as the process lives
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:
        # replaced by a program that calls the command line as a function
        return stream
    raw = io.BufferedWriter(_Lasting(descriptor, "w", closefd=False))  # type: ignore[type-var]
    return io.TextIOWrapper(
        raw, encoding=stream.encoding, errors="backslashreplace", line_buffering=stream.isatty() or stream is sys.stderr
    )


class _Lasting(io.FileIO):
    failure = ""
    """Why something could not be written although its reader is still there."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            # another program may have made the pipe non-blocking, which accepts nothing while it is full
            while (written := super().write(data)) is None:
                select.select([], [self], [])
            return written
        except OSError as error:
            if error.errno not in _GONE:
                self.failure = self.failure or error.strerror or str(error)
            return len(data)
