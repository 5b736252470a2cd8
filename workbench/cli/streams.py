"""Standard output and standard error: whoever reads them may stop at any time, and they may lead to a disk that is full."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TextIO

_GONE = (errno.EPIPE, errno.ECONNRESET, errno.EIO)
"""What is said of a pipe, a socket and a terminal that nobody reads any more."""


def make_lasting() -> None:
    """Let writing succeed from now on, whatever becomes of the streams; :func:`lost` says what of it was in vain."""
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)


def lost() -> str:
    """Return why a part of the result could not be written although somebody waits for it; empty where nothing is missing."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _Lasting) else ""


def _lasting(stream: TextIO | None) -> TextIO:
    if stream is None:
        # closed from the start; no other file may get its number, or what is printed would be written there
        return open(os.devnull, "w")  # noqa: PTH123 - for as long as the process lives
    raw = io.BufferedWriter(_Lasting(stream.fileno(), "w", closefd=False))  # type: ignore[type-var]
    return io.TextIOWrapper(
        raw, encoding=stream.encoding, errors="backslashreplace", line_buffering=stream.isatty() or stream is sys.stderr
    )


class _Lasting(io.FileIO):
    failure = ""
    """Why something could not be written, where the reader is still there."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            # a pipe that another program has made one that does not block takes nothing while it is full
            while (written := super().write(data)) is None:
                select.select([], [self], [])
            return written
        except OSError as error:
            if error.errno not in _GONE:
                self.failure = self.failure or error.strerror or str(error)
            return len(data)
