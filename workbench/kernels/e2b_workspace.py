"""The files of an E2B sandbox: the workspace and the kernel's programs go in, the workspace comes back."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from workbench.errors import SandboxError, UsageError
from workbench.kernels import archive, e2b_service, files, templates
from workbench.kernels.files import Entry
from workbench.kernels.view import APP, INSIDE, PROGRAMS, WORKSPACE

if TYPE_CHECKING:
    from e2b import AsyncSandbox

SOCKETS = "/run/workbench"
"""Where kernels may have folders for their sockets."""
USER, UID = "agent", 0x40000000
"""Who runs the kernel: nobody the template knows, so that no right of the template's users is the agent's."""
_ARCHIVE = "/run/workbench.tar"
_SECONDS = 600
_PAUSES = (0.2, 2.0)
"""Seconds before a command is run again."""
_FURNISH = f"""set -e
mkdir -p {WORKSPACE} {PROGRAMS} {SOCKETS}
ln -sfn {WORKSPACE} {APP}
grep -q '^{USER}:' /etc/passwd || echo '{USER}:x:{UID}:{UID}::/tmp:/bin/sh' >> /etc/passwd
grep -q '^{USER}:' /etc/group || echo '{USER}:x:{UID}:' >> /etc/group
chown {UID}:{UID} {WORKSPACE}
"""


class RemoteWorkspace:
    """The workspace in one sandbox.

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
            {"path": f"{PROGRAMS}/{path.relative_to(INSIDE)}", "data": await asyncio.to_thread(path.read_bytes)}
            for path in INSIDE.rglob("*.py")
        ]
        async with e2b_service.asked("upload the kernel's programs to an E2B sandbox", self._sandbox):
            await self._sandbox.files.write_files(programs, user="root")
            site = f"{templates.PREFIX}/lib/python3*/site-packages"
            remove = "".join(f"rm -rf {site}/{shlex.quote(name)}\n" for name in hide)
            await self._run(_FURNISH + remove, "root")
        await self.upload(workspace)

    async def upload(self, workspace: Path) -> None:
        """Add the files of ``workspace``, which become the kernel's."""
        async with e2b_service.asked("upload the workspace to an E2B sandbox", self._sandbox):
            with tempfile.TemporaryFile() as packed:
                await asyncio.to_thread(archive.pack, workspace, packed)
                packed.seek(0)
                await self._sandbox.files.write(_ARCHIVE, packed, user="root")
            # by the kernel's user, who may have put links where the files go
            await self._run(f"tar -xf {_ARCHIVE} -C {WORKSPACE}", USER)
            await self._sandbox.files.remove(_ARCHIVE, user="root")

    async def collect(self, workspace: Path, *, most: int) -> None:
        """Replace the files of ``workspace`` by the sandbox's, as :func:`workbench.kernels.archive.unpack` does."""
        async with e2b_service.asked("bring back the workspace from an E2B sandbox", self._sandbox):
            pack = f"tar -cSf {_ARCHIVE} --one-file-system -C {WORKSPACE} ."
            await self._run(pack, "root")
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

    async def _run(self, command: str, user: str) -> None:
        """Run a command that does no harm twice: it is run again when the connection broke and nobody knows how it ended."""
        from e2b import CommandExitException

        for pause in (*_PAUSES, None):
            try:
                await self._sandbox.commands.run(command, user=user, cwd="/", timeout=_SECONDS)
                return
            except CommandExitException:
                raise
            except Exception:
                if pause is None or await e2b_service.gone(self._sandbox):
                    raise
                await asyncio.sleep(pause)

    async def put(self, path: str, data: bytes) -> None:
        """Write a file, with the folders above it; a link in its place is replaced."""
        parts = files.parts(path)
        source = f"{SOCKETS}/{secrets.token_hex(8)}"
        async with e2b_service.asked(f"write {path!r} in an E2B sandbox", self._sandbox):
            await self._sandbox.files.write(source, data, user="root")
        await self._reach(path, "written", do="put", parts=parts, source=source)

    async def get(self, path: str, *, most: int) -> bytes:
        """Return a regular file of at most ``most`` bytes."""
        data = base64.b64decode(await self._reach(path, "read", do="get", parts=files.parts(path), most=most))
        if len(data) > most:
            raise UsageError(f"{path!r} in the workspace has more than {most} bytes", hint="ask for more with most=")
        return data

    async def entries(self, path: str) -> list[Entry]:
        """Return what is in a folder, sorted by name."""
        # the service's own listing leaves out what is neither file, folder nor link, and fails on names that are no text;
        # pydantic's parser of JSON refuses such names too
        found = await self._reach(path, "listed", do="list", parts=files.parts(path))
        return TypeAdapter(list[Entry]).validate_python(found)

    async def _reach(self, path: str, done: str, **request: Any) -> Any:
        """Do something to a file inside, where no link leads out and no rights but the kernel's count."""
        asked = json.dumps({**request, "workspace": WORKSPACE, "uid": UID})
        program = [f"{templates.PREFIX}/bin/python", "-I", f"{PROGRAMS}/reach.py", asked]
        async with e2b_service.asked(f"reach {path!r} in an E2B sandbox", self._sandbox):
            said = await self._sandbox.commands.run(shlex.join(program), user="root", cwd="/", timeout=_SECONDS)
            answer = json.loads(said.stdout)
        if "error" in answer:
            raise UsageError(f"{path!r} in the workspace cannot be {done}: {answer['error']}")
        return answer["answer"]
