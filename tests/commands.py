"""The command line, in processes of their own that have already imported what they need."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["workbench.cli.app", "workbench.cli.errors", "workbench.runner", "duckdb"])


def workbench(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run ``workbench`` with these arguments and environment variables.

    Each command is a fork of a process that has imported workbench and run nothing: importing takes longer than most
    commands do. Commands that get signals, or whose streams are closed, are started with ``python -m workbench`` instead.
    """
    argv = ["workbench", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdout", "stderr")]
        process = _PROCESSES.Process(target=_command, args=(argv, {**os.environ, **environ}, str(Path.cwd()), streams))
        process.start()
        process.join()
        output, errors = (stream.read_text(encoding="utf-8") for stream in streams)
    assert process.exitcode is not None
    return subprocess.CompletedProcess(argv, process.exitcode, output, errors)


def _command(argv: list[str], environ: dict[str, str], folder: str, streams: list[Path]) -> None:
    for descriptor, stream in enumerate(streams, 1):
        opened = os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.argv = argv
    # found once in a process, and here by the one that this is a fork of
    tempfile.tempdir = None

    from workbench.cli import main

    main()
