"""Requests to the E2B service other than kernels: who owns a sandbox, which have lost their owner, what errors mean."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import psutil

from workbench.errors import SandboxError, WorkbenchError

_OWNER, _PID, _STARTED = "workbench-owner", "workbench-pid", "workbench-started"


@functools.cache
def machine() -> str:
    """Return what tells this machine from others, without telling who it is."""
    parts = [socket.gethostname()]
    for file in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        with contextlib.suppress(OSError):
            parts.append(Path(file).read_text().strip())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def labels(environment: str) -> dict[str, str]:
    """Return the metadata of a sandbox that this process owns."""
    own = psutil.Process()
    return {"workbench": environment, _OWNER: machine(), _PID: str(own.pid), _STARTED: f"{own.create_time():.2f}"}


def orphaned(metadata: dict[str, str]) -> bool:
    """Say whether the process that owns a sandbox with this metadata was one of this machine and is gone.

    Examples
    --------
    >>> orphaned(labels("python-min"))
    False
    >>> orphaned({**labels("python-min"), "workbench-started": "0.00"})
    True
    """
    if metadata.get(_OWNER) != machine():
        return False
    try:
        process = psutil.Process(int(metadata[_PID]))
        return process.status() == psutil.STATUS_ZOMBIE or f"{process.create_time():.2f}" != metadata.get(_STARTED)
    except (psutil.NoSuchProcess, KeyError, ValueError):
        return True
    except psutil.Error:
        return False


async def sweep() -> list[str]:
    """Kill the sandboxes whose owner died on this machine, and return their names.

    Raises
    ------
    SandboxError
        If the service cannot be asked.
    """
    from e2b import AsyncSandbox, SandboxQuery

    killed: list[str] = []
    async with asked("look for sandboxes that nobody owns"):
        pages = AsyncSandbox.list(query=SandboxQuery(metadata={_OWNER: machine()}))
        while pages.has_next:
            found = [each.sandbox_id for each in await pages.next_items() if orphaned(each.metadata)]
            killed += [sandbox_id for sandbox_id in found if await AsyncSandbox.kill(sandbox_id)]
    return killed


@contextlib.asynccontextmanager
async def asked(what: str) -> AsyncIterator[None]:
    """Turn whatever goes wrong while the service is asked to do ``what`` into one paragraph with a remedy."""
    try:
        import e2b
        import httpx
    except ImportError:
        raise SandboxError(f"cannot {what}: the e2b package is not installed", hint="pip install 'codeact-workbench[e2b]'") from None
    if not os.environ.get("E2B_API_KEY"):
        raise SandboxError(
            f"cannot {what}: E2B_API_KEY is not set", hint="make a key at https://e2b.dev/dashboard and export it, or use another sandbox"
        )
    try:
        yield
    except WorkbenchError:
        raise
    except e2b.AuthenticationException as error:
        raise SandboxError(f"cannot {what}: E2B does not accept the key in E2B_API_KEY: {_short(error)}", hint="check the key") from None
    except e2b.RateLimitException as error:
        raise SandboxError(f"cannot {what}: {_short(error)}", hint="run fewer kernels at once, or wait") from None
    except (httpx.HTTPError, e2b.SandboxUnreachableException) as error:
        hint = "check the network, and E2B_DOMAIN where it is set"
        raise SandboxError(f"cannot {what}: E2B cannot be reached: {_short(error)}", hint=hint) from None
    except (e2b.SandboxNotFoundException, e2b.TimeoutException) as error:
        raise SandboxError(f"cannot {what}: {_short(error)}", hint="the sandbox may have reached its timeout; start another") from None
    except Exception as error:
        # the SDK raises plain exceptions too, and those of the libraries below it
        said = f"{type(error).__name__}: {_short(error)}"
        raise SandboxError(f"cannot {what}: {said}", hint="https://status.e2b.dev says how the service is") from error


def _short(error: Exception) -> str:
    r"""Return what an error says in one line that is not too long.

    Examples
    --------
    >>> _short(ValueError("one\ntwo"))
    'one two'
    """
    return " ".join(str(error).split())[:300]
