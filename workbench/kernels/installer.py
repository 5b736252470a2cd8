"""uv, the installer workbench depends on: how it is called, and what it says when it fails."""

from __future__ import annotations

import os
import subprocess

from workbench import blocking
from workbench.errors import SandboxError
from workbench.kernels import authorities


def uv(*arguments: str) -> None:
    """Run ``uv``.

    Raises
    ------
    SandboxError
        If it fails; the message holds its last lines.
    """
    done = run(*arguments)
    if done.returncode:
        raise SandboxError(
            f"uv {' '.join(arguments[:2])} failed: {last_words(done)}", hint="check the network and the package index, then try again"
        )


def run(*arguments: str, cwd: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``uv`` and return how it ended, whatever that was."""
    from uv import find_uv_bin

    # a virtual environment that happens to be active must not change what is built
    environ = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH")}
    if (named := authorities.named()) is not None:
        # the only variable for it that uv knows
        environ["SSL_CERT_FILE"] = named
    return blocking.run([find_uv_bin(), *arguments], cwd=cwd, env=environ)


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    r"""Return the end of what ``uv`` said about its failure, in one line.

    Examples
    --------
    >>> last_words(subprocess.CompletedProcess([], 1, "", "error: No solution found\n  cause: Because numpy was not found"))
    'error: No solution found cause: Because numpy was not found'
    """
    return " ".join(line.strip() for line in done.stderr.strip().splitlines()[-4:])
