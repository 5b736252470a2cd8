"""E2B as a kernel provisioner: a microVM of the kernel's own at the E2B service, reached through the stdio bridge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shlex
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitlets import Instance, Int, Unicode

from workbench.errors import SandboxError, UsageError
from workbench.kernels import archive, e2b_service, files, templates, walls
from workbench.kernels.bridge import Bridge, Exit, words
from workbench.kernels.files import Entry, Kind
from workbench.kernels.provisioners.base import SandboxProvisioner

if TYPE_CHECKING:
    from e2b import AsyncCommandHandle, AsyncSandbox

_PROGRAMS = "/opt/workbench"
_SOCKETS = "/run/workbench"
_ARCHIVE = "/run/workbench.tar"
_USER, _UID = "agent", 0x40000000
_READY_SECONDS, _KILL_SECONDS, _TIMEOUT = 60.0, 20.0, 300
_PIECE = 2**20
_MOST_COMPLAINT = 4000
_FURNISH = f"""set -e
mkdir -p {walls.WORKSPACE} {_PROGRAMS} {_SOCKETS}
grep -q '^{_USER}:' /etc/passwd || echo '{_USER}:x:{_UID}:{_UID}::/tmp:/bin/sh' >> /etc/passwd
grep -q '^{_USER}:' /etc/group || echo '{_USER}:x:{_UID}:' >> /etc/group
tar -xf {_ARCHIVE} -C {walls.WORKSPACE} --no-same-owner
rm {_ARCHIVE}
chown -hR {_UID}:{_UID} {walls.WORKSPACE}
"""


@dataclass(frozen=True)
class Running:
    """A kernel that runs in a sandbox of the service, whoever listens to it now.

    Attributes
    ----------
    sandbox_id : str
        The service's name of the sandbox.
    pid : int
        The far end of the bridge in it.
    key : bytes
        What the kernel's messages are signed with.
    walls, missing : tuple of str
        What stands around it and what does not.
    """

    sandbox_id: str
    pid: int
    key: bytes
    walls: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class E2BProvisioner(SandboxProvisioner):
    """A kernel in a sandbox of the E2B service.

    The key is read from ``E2B_API_KEY``. The workspace is uploaded at the launch and comes back with :meth:`collect`.
    The service ends the sandbox by itself ``timeout`` seconds after this process has stopped asking it not to.
    """

    template = Unicode("")
    """Name of the template; by default the one that is built from :attr:`environment`."""
    timeout = Int(_TIMEOUT)
    """Seconds the sandbox outlives this process; put off while it lives."""
    running = Instance(Running, allow_none=True)
    """A kernel to take over instead of starting one."""

    _sandbox: AsyncSandbox | None = None
    _handle: AsyncCommandHandle[None] | None = None
    _bridge: Bridge | None = None
    _complaint = ""
    """The end of what the far end of the bridge itself had to say."""
    _paused = False
    _swept = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def has_process(self) -> bool:
        """Whether a kernel was launched and not cleaned up."""
        return self._bridge is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Prepare the connection; a kernel that is taken over keeps its key."""
        if self.running is not None:
            self.parent.session.key = self.running.key
        return await super().pre_launch(**kwargs)

    async def launch(self) -> None:
        """Make the sandbox with the workspace in it, or take over a running one, and start the kernel."""
        self._refuse_what_cannot_be()
        if self.running is not None and self._sandbox is None:
            await self._take_over(self.running)
            return
        if self._sandbox is None:
            self._sandbox = await self._create()
            self._tasks.append(asyncio.create_task(self._stay_alive()))
            await self._furnish()
        await self._start_kernel()

    def _refuse_what_cannot_be(self) -> None:
        if self.policy.gpu:
            raise UsageError("an E2B sandbox has no GPU", hint="use sandbox local, or a policy without gpu")
        if self.policy.grants:
            named = ", ".join(str(grant.host) for grant in self.policy.grants)
            raise UsageError(f"{named}: an E2B sandbox cannot see folders of this machine", hint="put the files into the workspace")

    async def _create(self) -> AsyncSandbox:
        template = self.template or templates.name(self.environment)
        async with e2b_service.asked(f"start a sandbox from the template {template}"):
            from e2b import ALL_TRAFFIC, AsyncSandbox

            if not E2BProvisioner._swept:
                E2BProvisioner._swept = True
                await e2b_service.sweep()
            allowed: dict[str, Any] = {"allow_internet_access": False}
            if self.policy.network:
                allowed = {"network": {"allow_out": list(self.policy.network), "deny_out": [ALL_TRAFFIC]}}
            labels = e2b_service.labels(self.environment.name)
            try:
                return await AsyncSandbox.create(template, timeout=self.timeout, metadata=labels, **allowed)
            except Exception as error:
                if getattr(error, "status_code", None) == 404:
                    hint = f"workbench environments build {self.environment.name} --backend e2b"
                    raise SandboxError(f"E2B has no template {template}", hint=hint) from None
                raise

    async def _furnish(self) -> None:
        """Bring the workspace and the kernel's programs, and a user for the kernel who is not the service's own."""
        sandbox = self._there()
        async with e2b_service.asked("upload the workspace to an E2B sandbox"):
            programs: list[Any] = [
                {"path": f"{_PROGRAMS}/{path.name}", "data": await asyncio.to_thread(path.read_bytes)} for path in walls.INSIDE.glob("*.py")
            ]
            await sandbox.files.write_files(programs, user="root")
            with tempfile.TemporaryFile() as packed:
                await asyncio.to_thread(archive.pack, self.workspace, packed)
                packed.seek(0)
                await sandbox.files.write(_ARCHIVE, packed, user="root")
            site = f"{templates.PREFIX}/lib/python3*/site-packages"
            hide = "".join(f"rm -rf {site}/{shlex.quote(name)}\n" for name in self.policy.hide)
            await sandbox.commands.run(_FURNISH + hide, user="root", cwd="/", timeout=600)

    async def _start_kernel(self) -> None:
        there = replace(self.environment, prefix=Path(templates.PREFIX))
        # a new one each time: the last kernel may have left anything in its own
        sockets = f"{_SOCKETS}/{secrets.token_hex(4)}"
        config = {
            "uid": _UID,
            "adopts": False,
            "cwd": walls.WORKSPACE,
            "limits": walls.rlimits(self.policy.limits),
            # all of it is the kernel's own; what it may not read belongs to root
            "readable": ["/"],
            "writable": [walls.WORKSPACE, sockets, "/tmp", "/dev/shm", "/dev/null", "/dev/ptmx", "/dev/pts"],  # noqa: S108
            "program": f"{_PROGRAMS}/kernel.py",
            "arguments": [f"{sockets}/kernel.json"],
        }
        python = str(there.python)
        bridge = self._bridge = Bridge(self.parent.get_connection_info(), self._send)
        argv = [python, "-I", f"{_PROGRAMS}/launch.py", json.dumps(config)]
        environ = walls.inside_environ(there, walls.WORKSPACE)
        far = [python, "-I", f"{_PROGRAMS}/bridge.py", bridge.config(argv, environ, sockets, uid=_UID)]
        async with e2b_service.asked("start the kernel in an E2B sandbox"):
            self._handle = await self._there().commands.run(
                f"exec {shlex.join(far)}",
                background=True,
                stdin=True,
                user="root",
                cwd="/",
                timeout=0,
                on_stdout=self._hear,
                on_stderr=self._overhear,
                retain_output=False,
            )
        self._tasks.append(asyncio.create_task(self._watch(bridge, self._handle)))
        ready = await bridge.start(_READY_SECONDS)
        self._say_what_stands(ready.report)

    def _say_what_stands(self, report: str) -> None:
        inner: dict[str, list[str]] = {}
        with contextlib.suppress(ValueError):
            inner = json.loads(report)
        network = f"network: {', '.join(self.policy.network)}" if self.policy.network else "network: none"
        self.walls = ["E2B sandbox: a machine of its own", network, *inner.get("walls", [])]
        self.missing = ["quotas: memory, processors and disk are what the template has", *inner.get("missing", [])]

    async def _take_over(self, running: Running) -> None:
        async with e2b_service.asked(f"connect to the E2B sandbox {running.sandbox_id}"):
            from e2b import AsyncSandbox

            self._sandbox = await AsyncSandbox.connect(running.sandbox_id, timeout=self.timeout)
            self._tasks.append(asyncio.create_task(self._stay_alive()))
            self._bridge = Bridge(self.parent.get_connection_info(), self._send)
            await self._listen_again(running.pid)
        self._bridge.serve()
        self.walls, self.missing = list(running.walls), list(running.missing)

    async def _listen_again(self, pid: int) -> None:
        assert self._bridge is not None
        # a line that was cut off when nobody listened must not spoil the next
        await self._bridge.feed(b"\n")
        self._handle = await self._there().commands.connect(pid, timeout=0, on_stdout=self._hear, retain_output=False)
        self._tasks.append(asyncio.create_task(self._watch(self._bridge, self._handle)))

    def _there(self) -> AsyncSandbox:
        if self._sandbox is None:
            raise SandboxError("there is no E2B sandbox yet, or none any more")
        return self._sandbox

    async def _send(self, data: bytes) -> None:
        assert self._handle is not None
        for start in range(0, len(data), _PIECE):
            await self._handle.send_stdin(data[start : start + _PIECE])

    async def _hear(self, text: str) -> None:
        if self._bridge is not None:
            await self._bridge.feed(text.encode())

    def _overhear(self, text: str) -> None:
        self._complaint = (self._complaint + text)[-_MOST_COMPLAINT:]

    async def _watch(self, bridge: Bridge, handle: AsyncCommandHandle[None]) -> None:
        """Tell the bridge when its far end is gone, however that shows."""
        why = "the bridge in the sandbox ended"
        try:
            await handle.wait()
        except Exception as error:
            # the SDK's and its libraries' errors all mean the same here
            why = self._complaint.strip() or f"{type(error).__name__}: {error}"[:500]
        if not self._paused:
            bridge.lost(why)

    async def _stay_alive(self) -> None:
        """Put off the end of the sandbox for as long as this process lives."""
        while True:
            await asyncio.sleep(self.timeout / 3)
            # should it be gone, the watch hears of it; should the service be busy, there are two more tries
            with contextlib.suppress(Exception):
                if not self._paused:
                    await self._there().set_timeout(self.timeout)

    async def pause(self) -> None:
        """Stop the sandbox and keep it, with the kernel's memory, until :meth:`resume`; it costs no time meanwhile.

        Raises
        ------
        SandboxError
            If the service does not.
        """
        self._paused = True
        try:
            async with e2b_service.asked("pause the E2B sandbox"):
                await self._there().pause()
        except BaseException:
            self._paused = False
            raise

    async def resume(self) -> None:
        """Go on where :meth:`pause` stopped.

        Raises
        ------
        SandboxError
            If the service does not, or the sandbox is gone.
        """
        assert self._handle is not None
        async with e2b_service.asked("resume the E2B sandbox"):
            self._sandbox = await self._there().connect(timeout=self.timeout)
            await self._listen_again(self._handle.pid)
        self._paused = False

    def now_running(self) -> Running:
        """Return what another provisioner needs to take this kernel over."""
        assert self._handle is not None
        key: bytes = self.parent.session.key
        return Running(self._there().sandbox_id, self._handle.pid, key, tuple(self.walls), tuple(self.missing))

    async def fork(self) -> Running:
        """Copy the sandbox with the kernel's memory, and return the copy for another provisioner to take over.

        Raises
        ------
        SandboxError
            If the service cannot; then a branch is made by replay.
        """
        async with e2b_service.asked("fork the E2B sandbox"):
            (copy,) = await self._there().fork(timeout=self.timeout, count=1)
        if isinstance(copy, Exception):
            raise SandboxError(f"E2B did not fork the sandbox: {copy}", hint="make the branch by replay")
        return replace(self.now_running(), sandbox_id=copy.sandbox_id)

    async def disconnect(self) -> Running:
        """Leave the kernel running and stop listening to it; the sandbox ends by itself after ``timeout`` seconds."""
        running, handle, bridge = self.now_running(), self._handle, self._bridge
        assert handle is not None and bridge is not None
        self._paused = True
        await self._stop_tasks()
        await handle.disconnect()
        await bridge.close()
        self._sandbox = self._bridge = None
        return running

    @property
    def _ended(self) -> Exit | None:
        return None if self._bridge is None else self._bridge.exit

    async def poll(self) -> int | None:
        """Return None while the kernel runs."""
        return 0 if self._bridge is None else _code(self._ended)

    async def wait(self) -> int | None:
        """Wait for the kernel to end."""
        return 0 if self._bridge is None else _code(await self._bridge.wait())

    def why_dead(self) -> str:
        """Return why the kernel ended; empty while it lives."""
        return "" if self._ended is None else words(self._ended)

    async def kill(self, restart: bool = False) -> None:  # noqa: ARG002 - the contract of jupyter_client
        """Kill the kernel and all it started; where the sandbox does not answer, kill that."""
        bridge = self._bridge
        if bridge is None:
            return
        if bridge.exit is None and not self._paused:
            await bridge.kill()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(bridge.wait(), _KILL_SECONDS)
        ended = bridge.exit
        await bridge.close()
        if self._sandbox is not None and (ended is None or ended.code is None or ended.left):
            await self._kill_sandbox()

    async def _kill_sandbox(self) -> None:
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            # whether it was there to be killed or had ended by itself; what cannot be reached now ends at its timeout
            with contextlib.suppress(Exception):
                await sandbox.kill()

    async def _stop_tasks(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def cleanup(self, restart: bool = False) -> None:
        """Kill the kernel and, unless another is to be started in it, the sandbox."""
        await super().cleanup(restart)
        if not restart:
            await self._stop_tasks()
            await self._kill_sandbox()
            self._paused = False

    def _path(self, path: str) -> str:
        return "/".join((walls.WORKSPACE, *files.parts(path)))

    async def put(self, path: str, data: bytes) -> None:
        """Write a file of the workspace, as the kernel's own user: where a link leads, the kernel could have gone."""
        where = self._path(path)
        async with self._of_the_workspace(path, "written"):
            await self._there().files.write(where, data, user=_USER)

    async def get(self, path: str, *, most: int = files.MOST) -> bytes:
        """Return a file of the workspace; links are not followed."""
        from e2b import FileType

        where = self._path(path)
        async with self._of_the_workspace(path, "read"):
            if (await self._there().files.get_info(where, user=_USER)).type is not FileType.FILE:
                raise UsageError(f"{path!r} in the workspace is not a regular file")
            data = bytearray()
            async with await self._there().files.read(where, format="stream", user=_USER) as stream:
                async for piece in stream:
                    data += piece
                    if len(data) > most:
                        raise UsageError(f"{path!r} in the workspace has more than {most} bytes", hint="ask for more with most=")
        return bytes(data)

    async def entries(self, path: str = ".") -> list[Entry]:
        """Return what is in a folder of the workspace, sorted by name."""
        from e2b import FileType

        kinds: dict[FileType | None, Kind] = {FileType.FILE: "file", FileType.DIR: "folder", FileType.SYMLINK: "link"}
        where = self._path(path)
        async with self._of_the_workspace(path, "listed"):
            found = await self._there().files.list(where, depth=1, user=_USER)
        entries = [Entry(name=each.name, kind=kinds.get(each.type, "other"), size=0) for each in found]
        sized = [
            entry.model_copy(update={"size": each.size}) if entry.kind == "file" else entry
            for entry, each in zip(entries, found, strict=True)
        ]
        return sorted(sized, key=lambda entry: entry.name)

    @contextlib.asynccontextmanager
    async def _of_the_workspace(self, path: str, done: str) -> Any:
        """Tell a file that is not there from a service that is not."""
        from e2b import FileNotFoundException, InvalidArgumentException, SandboxException, TimeoutException

        async with e2b_service.asked("reach the files of an E2B sandbox"):
            try:
                yield
            except TimeoutException:
                raise
            except (FileNotFoundException, InvalidArgumentException, SandboxException) as error:
                raise UsageError(f"{path!r} in the workspace cannot be {done}: {error}"[:400]) from None

    async def collect(self) -> None:
        """Bring the agent's files back into :attr:`workspace`; what is hostile about them stays behind.

        Raises
        ------
        SandboxError
            If the sandbox is gone, or its files are more than the limits allow; then :attr:`workspace` is as it was.
        """
        most = self.policy.limits.workspace_bytes
        async with e2b_service.asked("bring back the workspace from an E2B sandbox"):
            sandbox = self._there()
            pack = f"tar -cf {_ARCHIVE} --one-file-system -C {walls.WORKSPACE} ."
            await sandbox.commands.run(pack, user="root", cwd="/", timeout=600)
            with tempfile.TemporaryFile() as packed:
                # names and padding come on top of what is in the files, which is counted when it is unpacked
                room = 2 * most + 2**20
                async with await sandbox.files.read(_ARCHIVE, format="stream", user="root") as stream:
                    async for piece in stream:
                        room -= len(piece)
                        if room < 0:
                            raise SandboxError(f"the sandbox's workspace holds more than {most} bytes")
                        packed.write(piece)
                packed.seek(0)
                await asyncio.to_thread(archive.unpack, packed, self.workspace, most=most)


def _code(ended: Exit | None) -> int | None:
    """Return an exit code; 1 where nobody could tell it."""
    return None if ended is None else 1 if ended.code is None else ended.code
