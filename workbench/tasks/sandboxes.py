"""The sandboxes in which submitted code runs during grading: a new one each time, with nothing but the submission."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import secrets
import signal
import stat
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from workbench.errors import GraderError, SandboxError
from workbench.kernels import runtime, walls
from workbench.kernels.environments import Environment
from workbench.kernels.limits import Limits
from workbench.kernels.process import WalledProcess, counts_cpu
from workbench.kernels.view import INSIDE, Mount, View

INSIDE_GRADER = "/grading/submitted"
"""Where a grader puts the files to be run."""
_MOST_OUTPUT = 2**20
_CHUNK = 2**16
_FILTERED = ("x86_64", "aarch64")
"""Architectures for which ``inside/system_calls.py`` has a table."""


def can_time() -> bool:
    """Say whether the processor time of submitted code can be measured here, even if the code tries to hide it.

    Either a control group measures it, or the code is confined and can start no processes, so that its own time is the
    total.
    """
    kind = walls.protection().kind
    if kind == "bubblewrap" and counts_cpu():
        return True
    try:
        import sandlock

        confines = sandlock.landlock_abi_version() >= sandlock.min_landlock_abi()
    except (ImportError, OSError):
        return False
    return confines and kind != "sandlock" and platform.machine() in _FILTERED


class Sandboxes:
    """Runs submitted code at a grader's request.

    The grader says where its copy of the files is, and is told how the code ended. Nothing that the grader says is
    trusted: the copy is moved to a place where the grader cannot replace it, and is mounted at the path that the grader
    requests only inside a sandbox, where that path can do no harm.

    Parameters
    ----------
    environment : Environment
        The environment whose Python runs the code.
    limits : Limits
        Of each sandbox.
    hide : sequence of str
        Folders of the environment's site-packages that are hidden from submitted code.
    """

    def __init__(self, environment: Environment, limits: Limits, hide: list[str]) -> None:
        self._environment, self._limits, self._hide = environment, limits, hide
        self._root = runtime.folder(f"s-{secrets.token_hex(4)}")
        self._exchange = self._root / "exchange"
        self._exchange.mkdir()
        self.lent = Mount(self._exchange, INSIDE_GRADER, writable=True)
        """The mount in the grader's sandbox for its copies."""
        self._running: dict[str, WalledProcess] = {}

    async def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Start a sandbox, pass a line to one, or end one.

        Raises
        ------
        GraderError
            If the request is none of these.
        """
        match asked:
            case {"start": str(name), "at": str(at), "code": str(code)} if name.isdecimal() and name not in self._running:
                return await self._start(name, at, code)
            case {"tell": str(name), "line": str(line), "seconds": int() | float() as seconds, "most": int(most)} if name in self._running:
                return await _tell(self._running[name], line, seconds, most)
            case {"end": str(name), "seconds": int() | float() as seconds} if name in self._running:
                return await self._end(name, seconds)
        raise GraderError(f"the grader asked the host for nonsense: {str(asked)[:300]}")

    async def _start(self, name: str, at: str, code: str) -> dict[str, Any]:
        path, folder = PurePosixPath(at), self._root / f"files-{name}"
        if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2 or "\0" in at:
            raise GraderError(f"the grader wants submitted code to run in {at[:300]!r}, which is not an absolute path")
        try:
            (self._exchange / name).rename(folder)
        except OSError as error:
            raise GraderError(f"what the grader wants to run is not there: {error.strerror}") from None
        # from here on, the grader can change only the content
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise GraderError("what the grader wants to run is not a folder")
        scratch = self._root / f"walls-{name}"
        scratch.mkdir()
        try:
            view = View(self._environment, [Mount(folder, at)], hide=self._hide)
            enclosure = await asyncio.to_thread(walls.enclose, INSIDE / "submitted.py", [at], view, self._limits, scratch)
            self._running[name] = process = WalledProcess(enclosure, self._limits, listens=True)
            await process.start()
        except SandboxError as error:
            return {"refused": str(error)}
        source = code.encode(errors="surrogatepass")
        with contextlib.suppress(ConnectionError):
            process.stdin.write(b"%d\n" % len(source) + source)
            await process.stdin.drain()
        return {"started": name}

    async def _end(self, name: str, seconds: float) -> dict[str, Any]:
        """Wait until the code has ended, at most until its timeout; return how it ended and what it printed."""
        process = self._running[name]
        process.stdin.close()
        output = bytearray()
        late = False
        try:
            async with asyncio.timeout(seconds):
                while chunk := await process.stdout.read(_CHUNK):
                    output += chunk[: _MOST_OUTPUT - len(output)]
                await process.wait()
        except TimeoutError:
            late = True
        await process.kill()
        del self._running[name]
        await asyncio.to_thread(runtime.remove, self._root / f"files-{name}")
        why = f"\nit was killed: {process.breach}" if process.breach else ""
        return {
            "returncode": -signal.SIGKILL if late else _returncode(process.returncode or 0),
            "stdout": output.decode(errors="replace"),
            "stderr": process.log + why,
            "cpu_seconds": process.cpu_seconds,
        }

    async def close(self) -> None:
        """End all remaining sandboxes, and remove their files."""
        for process in self._running.values():
            await process.kill()
        self._running.clear()
        await asyncio.to_thread(runtime.remove, self._root)


async def _tell(process: WalledProcess, line: str, seconds: float, most: int) -> dict[str, Any]:
    """Write a line to submitted code and return its answer line; one that is too long is read and discarded."""
    said, size = bytearray(), 0
    try:
        async with asyncio.timeout(max(seconds, 0)):
            process.stdin.write(line.encode())
            await process.stdin.drain()
            while not said.endswith(b"\n"):
                part = await process.stdout.read(_CHUNK)
                if not part:
                    return {"failed": "its process ended"}
                said += part
                size += len(part)
                if size > most:
                    del said[:-1]
    except TimeoutError:
        return {"failed": "it took too long"}
    except ConnectionError:
        return {"failed": "its process ended"}
    if size > most:
        return {"failed": f"it returned more than {most} bytes"}
    return {"line": said.decode(errors="replace")}


def _returncode(code: int) -> int:
    """Return an exit code in Python's form, while bubblewrap uses that of a shell: 128 plus the signal's number.

    Examples
    --------
    >>> _returncode(139), _returncode(3), _returncode(200)
    (-11, 3, 200)
    """
    with contextlib.suppress(ValueError):
        return -signal.Signals(code - 128)
    return code
