"""Standard output and standard error: whoever reads them may stop at any time, which is no reason for a command to fail."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO

_GONE = (errno.EPIPE, errno.ECONNRESET, errno.EIO)
"""What is said of a pipe, a socket and a terminal that nobody reads any more."""


def make_lasting() -> None:
    """Let writing succeed from now on where a stream is closed, or will be."""
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)


def _lasting(stream: TextIO | None) -> TextIO:
    if stream is None:
        # closed from the start; no other file may get its number, or what is printed would be written there
        return open(os.devnull, "w")  # noqa: PTH123 - for as long as the process lives
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:
        # somebody's own, who called the command line as a function
        return stream
    raw = io.BufferedWriter(_Lasting(descriptor, "w", closefd=False))  # type: ignore[type-var]
    return io.TextIOWrapper(raw, encoding=stream.encoding, errors=stream.errors, line_buffering=stream.isatty() or stream is sys.stderr)


class _Lasting(io.FileIO):
    def write(self, data: bytes) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            return len(data)
