"""Requests to the E2B service other than kernels: who owns a sandbox, which have lost their owner, what errors mean."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import html
import os
import re
import socket
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from workbench.errors import SandboxError, WorkbenchError
from workbench.text import plain, shorten

if TYPE_CHECKING:
    import httpx
    from e2b import AsyncSandbox

_MOST, _MOST_READ, _LOOK_SECONDS = 600, 20_000, 10.0
GONE_HINT = (
    "its files and variables are lost: start another; E2B ends a sandbox that is not renewed for five minutes, "
    "and one that reaches the longest time of your account"
)
ADDRESS_HINT = "check E2B_API_URL and E2B_DOMAIN where they are set, and whether a proxy answers in E2B's place"
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


async def gone(sandbox: AsyncSandbox) -> str:
    """Return that a sandbox has ended, in words; empty where it has not, or where the service cannot tell."""
    from e2b import SandboxNotFoundException

    try:
        await sandbox.get_info(request_timeout=_LOOK_SECONDS)
    except SandboxNotFoundException:
        return f"the E2B sandbox is gone: {sandbox.sandbox_id} reached its timeout or was killed"
    except Exception:
        return ""
    return ""


@contextlib.asynccontextmanager
async def asked(what: str, sandbox: AsyncSandbox | None = None) -> AsyncIterator[None]:
    """Turn whatever goes wrong while the service is asked to do ``what`` into one paragraph with a remedy.

    Where a sandbox is named and has ended meanwhile, that is what went wrong, however it showed.
    """
    try:
        import e2b
        import httpx
        from connectrpc.errors import ConnectError
        from e2b.exceptions import SandboxNotRunningException, ServiceBusyException
    except ImportError:
        raise SandboxError(f"cannot {what}: the e2b package is not installed", hint="pip install 'codeact-workbench[e2b]'") from None
    if not os.environ.get("E2B_API_KEY"):
        raise SandboxError(
            f"cannot {what}: E2B_API_KEY is not set", hint="make a key at https://e2b.dev/dashboard and export it, or use another sandbox"
        )
    try:
        try:
            yield
        except WorkbenchError:
            raise
        except Exception:
            if sandbox is not None and (ended := await gone(sandbox)):
                raise SandboxError(f"cannot {what}: {ended}", hint=GONE_HINT) from None
            raise
    except WorkbenchError:
        raise
    except e2b.AuthenticationException as error:
        raise SandboxError(f"cannot {what}: E2B does not accept the key in E2B_API_KEY: {_short(error)}", hint="check the key") from None
    except (e2b.RateLimitException, ServiceBusyException) as error:
        raise SandboxError(f"cannot {what}: {_short(error)}", hint="run fewer kernels at once, or wait") from None
    except (e2b.SandboxNotFoundException, SandboxNotRunningException) as error:
        raise SandboxError(f"cannot {what}: the E2B sandbox is gone: {_short(error)}", hint=GONE_HINT) from None
    except (httpx.TimeoutException, TimeoutError) as error:
        hint = "check the network, and https://status.e2b.dev"
        raise SandboxError(f"cannot {what}: E2B did not answer in time: {_short(error)}", hint=hint) from None
    except (httpx.HTTPError, e2b.SandboxUnreachableException, ConnectError, OSError) as error:
        hint = "check the network, and E2B_DOMAIN where it is set"
        raise SandboxError(f"cannot {what}: E2B cannot be reached: {_short(error)}", hint=hint) from None
    except e2b.TimeoutException as error:
        raise SandboxError(f"cannot {what}: {_short(error)}", hint="the sandbox may have reached its timeout; start another") from None
    except Exception as error:
        if (answer := _unread(error)) is not None:
            asked_for = f"{answer.request.method} {answer.request.url.copy_with(query=None)}"
            said = f"{asked_for} was answered with status {answer.status_code} and {clean(answer.text) or 'an empty body'}"
            raise SandboxError(f"cannot {what}: {said}, which is not an answer of E2B's", hint=ADDRESS_HINT) from None
        if "Body of the request is None" in str(error):
            # the SDK's words for an answer with a status that it does not expect there
            said = f"{e2b.ConnectionConfig().api_url} gave an answer that the SDK does not know"
            raise SandboxError(f"cannot {what}: {said}", hint=ADDRESS_HINT) from None
        # the SDK raises plain exceptions too, and those of the libraries below it
        said = f"{type(error).__name__}: {_short(error)}"
        raise SandboxError(f"cannot {what}: {said}", hint="https://status.e2b.dev says how the service is") from error


def _unread(error: Exception) -> httpx.Response | None:
    """Return the answer that the SDK could not read, if that is what this error is about; there is no other trace of it."""
    import httpx

    if not isinstance(error, ValueError | KeyError | TypeError | AttributeError):
        return None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, httpx.Response):
                return value
    return None


def _short(error: BaseException) -> str:
    """Return what an error says, or what it is where it says nothing."""
    return clean(str(error)) or type(error).__name__


def clean(said: str) -> str:
    r"""Return what a server or a library said in one line: the text of a page without its marks, and the start of what is long.

    Examples
    --------
    >>> clean("502: b'<html><head><title>502 Bad Gateway</title></head>\n<body>nginx</body></html>'")
    '502: 502 Bad Gateway nginx'
    >>> clean("one\ntwo")
    'one two'
    """
    # the SDK shows an answer that it does not know as Python shows bytes
    said = re.sub(r"""\bb(['"])(.*)\1""", lambda match: re.sub(r"(\\[nrt])+", " ", match[2]), said[:_MOST_READ], flags=re.DOTALL)
    if re.search(r"<(!doctype|html|head|body|title|h1|p)\b", said, re.IGNORECASE):
        said = re.sub(r"<(script|style)\b.*?</\1>|<!--.*?-->|<[^>]*>", " ", said, flags=re.DOTALL | re.IGNORECASE)
        said = html.unescape(said)
    return shorten(" ".join(plain(said).split()), _MOST)
