"""The files of an E2B sandbox: the workspace and the kernel's programs go in, the workspace comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from workbench.errors import SandboxError, UsageError
from workbench.kernels import archive, e2b_service, files, templates, walls
from workbench.kernels.files import Entry

if TYPE_CHECKING:
    from e2b import AsyncSandbox

PROGRAMS = "/opt/workbench"
"""Where the programs of ``inside/`` are."""
SOCKETS = "/run/workbench"
"""Where kernels may have folders for their sockets."""
USER, UID = "agent", 0x40000000
"""Who runs the kernel: nobody the template knows, so that no right of the template's users is the agent's."""
_ARCHIVE = "/run/workbench.tar"
_SECONDS = 600
_FURNISH = f"""set -e
mkdir -p {walls.WORKSPACE} {PROGRAMS} {SOCKETS}
grep -q '^{USER}:' /etc/passwd || echo '{USER}:x:{UID}:{UID}::/tmp:/bin/sh' >> /etc/passwd
grep -q '^{USER}:' /etc/group || echo '{USER}:x:{UID}:' >> /etc/group
tar -xf {_ARCHIVE} -C {walls.WORKSPACE} --no-same-owner
rm {_ARCHIVE}
chown -hR {UID}:{UID} {walls.WORKSPACE}
"""


class RemoteWorkspace:
    """The workspace in one sandbox.

    What touches a single file runs as the kernel's own user: wherever a link leads, the kernel could have gone.

    Parameters
    ----------
    sandbox : e2b.AsyncSandbox
        A sandbox of a template that :mod:`workbench.kernels.templates` built.
    """

    def __init__(self, sandbox: AsyncSandbox) -> None:
        self._sandbox = sandbox

    async def furnish(self, workspace: Path, hide: Sequence[str]) -> None:
        """Bring in the kernel's programs, a user for it and the files of ``workspace``; take away the packages to ``hide``."""
        programs: list[Any] = [
            {"path": f"{PROGRAMS}/{path.name}", "data": await asyncio.to_thread(path.read_bytes)} for path in walls.INSIDE.glob("*.py")
        ]
        async with e2b_service.asked("upload the workspace to an E2B sandbox"):
            await self._sandbox.files.write_files(programs, user="root")
            with tempfile.TemporaryFile() as packed:
                await asyncio.to_thread(archive.pack, workspace, packed)
                packed.seek(0)
                await self._sandbox.files.write(_ARCHIVE, packed, user="root")
            site = f"{templates.PREFIX}/lib/python3*/site-packages"
            remove = "".join(f"rm -rf {site}/{shlex.quote(name)}\n" for name in hide)
            await self._sandbox.commands.run(_FURNISH + remove, user="root", cwd="/", timeout=_SECONDS)

    async def collect(self, workspace: Path, *, most: int) -> None:
        """Replace the files of ``workspace`` by the sandbox's, as :func:`workbench.kernels.archive.unpack` does."""
        async with e2b_service.asked("bring back the workspace from an E2B sandbox"):
            pack = f"tar -cSf {_ARCHIVE} --one-file-system -C {walls.WORKSPACE} ."
            await self._sandbox.commands.run(pack, user="root", cwd="/", timeout=_SECONDS)
            with tempfile.TemporaryFile() as packed:
                # names and padding come on top of what is in the files, which is counted when it is unpacked
                room = 2 * most + 2**20
                async with await self._sandbox.files.read(_ARCHIVE, format="stream", user="root") as stream:
                    async for piece in stream:
                        room -= len(piece)
                        if room < 0:
                            raise SandboxError(f"the sandbox's workspace holds more than {most} bytes")
                        packed.write(piece)
                packed.seek(0)
                await asyncio.to_thread(archive.unpack, packed, workspace, most=most)

    async def put(self, path: str, data: bytes) -> None:
        """Write a file, with the folders above it."""
        where = _inside(path)
        async with _reached(path, "written"):
            await self._sandbox.files.write(where, data, user=USER)

    async def get(self, path: str, *, most: int) -> bytes:
        """Return a regular file of at most ``most`` bytes."""
        where = _inside(path)
        async with _reached(path, "read"):
            from e2b import FileType

            if (await self._sandbox.files.get_info(where, user=USER)).type is not FileType.FILE:
                raise UsageError(f"{path!r} in the workspace is not a regular file")
            data = bytearray()
            async with await self._sandbox.files.read(where, format="stream", user=USER) as stream:
                async for piece in stream:
                    data += piece
                    if len(data) > most:
                        raise UsageError(f"{path!r} in the workspace has more than {most} bytes", hint="ask for more with most=")
        return bytes(data)

    async def entries(self, path: str) -> list[Entry]:
        """Return what is in a folder, sorted by name; no part of ``path`` may be a link."""
        # the service's own listing leaves out what is neither file, folder nor link, and fails on names that are no text
        listing = [f"{templates.PREFIX}/bin/python", "-I", f"{PROGRAMS}/entries.py", walls.WORKSPACE, *files.parts(path)]
        async with _reached(path, "listed"):
            done = await self._sandbox.commands.run(shlex.join(listing), user=USER, cwd="/")
            # pydantic's own parser refuses such names too
            return TypeAdapter(list[Entry]).validate_python(json.loads(done.stdout))


def _inside(path: str) -> str:
    return "/".join((walls.WORKSPACE, *files.parts(path)))


@contextlib.asynccontextmanager
async def _reached(path: str, done: str) -> AsyncIterator[None]:
    """Tell a file that is not there from a service that is not."""
    async with e2b_service.asked("reach the files of an E2B sandbox"):
        from e2b import CommandExitException, SandboxException, TimeoutException

        try:
            yield
        except TimeoutException:
            raise
        except SandboxException as error:
            said = error.stderr.strip() if isinstance(error, CommandExitException) else str(error)
            raise UsageError(f"{path!r} in the workspace cannot be {done}: {said}"[:400]) from None
