"""The files of a container that no folder of this machine can be mounted in: the workspace goes in and comes back."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter

from workbench.errors import SandboxError, UsageError
from workbench.kernels import archive, files
from workbench.kernels.containers import STDOUT, Container
from workbench.kernels.docker_walls import extra
from workbench.kernels.files import Entry
from workbench.kernels.view import PROGRAMS, WORKSPACE

_SECONDS = 600.0
_PIECE = 2**20
_ANSWER_BYTES = 2 * files.MOST
_MOST_COMPLAINT = 2000
# it stops by itself: not every connection can tell that nothing more is coming
_FIRST = 'size=$1; shift; head -c "$size" | "$@"'
# what the agent has hidden from itself is shown again
_PACK = f'chmod -R u+rwX "{WORKSPACE}"; exec tar -cSf - --one-file-system -C "{WORKSPACE}" .'


class ContainerWorkspace:
    """The workspace in one container.

    Parameters
    ----------
    container : Container
        Its own user may write the workspace.
    """

    def __init__(self, container: Container) -> None:
        self._container = container

    async def lay(self, workspace: Path) -> None:
        """Bring in the files of ``workspace``."""
        with tempfile.TemporaryFile() as packed:
            await asyncio.to_thread(archive.pack, workspace, packed)
            unpack = ["tar", "-xf", "-", "-C", WORKSPACE, "--no-same-owner"]
            await self._run(unpack, io.BytesIO(), 0, given=packed)

    async def collect(self, workspace: Path, *, most: int) -> None:
        """Replace the files of ``workspace`` by the container's, as :func:`workbench.kernels.archive.unpack` does.

        All that fits into a workspace in memory of ``most`` bytes comes back, unless it was full of holes.
        """
        with tempfile.TemporaryFile() as packed:
            # names and padding come on top of what is in the files, which is counted when it is unpacked
            await self._run(["/bin/sh", "-c", _PACK], packed, 2 * most + 2**20)
            packed.seek(0)
            await asyncio.to_thread(archive.unpack, packed, workspace, most=most + extra(most))

    async def put(self, path: str, data: bytes) -> None:
        """Write a file, with the folders above it; a link in its place is replaced."""
        await self._reach(path, "written", given=io.BytesIO(data), do="put", source=None)

    async def get(self, path: str, *, most: int) -> bytes:
        """Return a regular file of at most ``most`` bytes."""
        data = base64.b64decode(await self._reach(path, "read", do="get", most=most))
        if len(data) > most:
            raise UsageError(f"{path!r} in the workspace has more than {most} bytes", hint="ask for more with most=")
        return data

    async def entries(self, path: str) -> list[Entry]:
        """Return what is in a folder, sorted by name."""
        # pydantic's own parser of JSON refuses names that are no text
        return TypeAdapter(list[Entry]).validate_python(await self._reach(path, "listed", do="list"))

    async def _reach(self, path: str, done: str, given: IO[bytes] | None = None, **request: Any) -> Any:
        """Do something to a file inside, where no link leads out and no rights but the kernel's count."""
        asked = json.dumps({**request, "parts": files.parts(path), "workspace": WORKSPACE, "uid": None})
        said = io.BytesIO()
        most = max(_ANSWER_BYTES, 2 * request.get("most", 0))
        await self._run([self._container.python, "-I", str(PROGRAMS / "reach.py"), asked], said, most, given=given)
        answer = json.loads(said.getvalue())
        if "error" in answer:
            raise UsageError(f"{path!r} in the workspace cannot be {done}: {answer['error']}")
        return answer["answer"]

    async def _run(self, argv: Sequence[str], into: IO[bytes], most: int, *, given: IO[bytes] | None = None) -> None:
        """Run a program to its end and write what it says to ``into``, at most ``most`` bytes of it."""
        complaint, room = bytearray(), most

        async def hear(number: int, data: bytes) -> None:
            nonlocal room
            if number != STDOUT:
                complaint.extend(data)
                del complaint[:-_MOST_COMPLAINT]
            elif (room := room - len(data)) >= 0:
                await asyncio.to_thread(into.write, data)
            else:
                program.stream.close()

        if given is not None:
            size = given.seek(0, io.SEEK_END)
            given.seek(0)
            argv = ["/bin/sh", "-c", _FIRST, "sh", str(size), *argv]
        program = await self._container.run(argv, hear, listens=given is not None)
        try:
            async with asyncio.timeout(_SECONDS):
                while given is not None and (piece := await asyncio.to_thread(given.read, _PIECE)):
                    await program.stream.send(piece)
                code = await program.wait()
        except (TimeoutError, OSError) as error:
            raise SandboxError(f"the files of a container cannot be reached: {type(error).__name__}: {error}") from None
        finally:
            program.stream.close()
        if room < 0:
            raise SandboxError(f"the sandbox's workspace holds more than {most} bytes", hint="raise the limit of the workspace")
        if code != 0:
            why = complaint.decode(errors="replace").strip() or f"exit code {code}"
            raise SandboxError(f"the files of a container cannot be reached: {why}", hint="its kernel may have used up its memory")
