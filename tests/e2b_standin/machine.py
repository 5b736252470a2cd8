"""A sandbox of the stand-in: one bubblewrap with a file system of its own, entered anew for each command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from workbench.kernels.environments import Environment
from workbench.kernels.view import masked

ENVIRONMENT = "/opt/environment"
_USERS = "root:x:0:0::/root:/bin/bash\nuser:x:1000:1000::/home/user:/bin/bash\n"


class Gone(Exception):
    """The machine is paused or dead."""


class Command:
    """A process that runs in a machine, and who listens to it."""

    def __init__(self, process: asyncio.subprocess.Process, config: object) -> None:
        self.process = process
        self.config = config
        self.listeners: list[asyncio.Queue[tuple[str, bytes] | None]] = []
        self.ended = asyncio.create_task(self._pump())

    async def _pump(self) -> int:
        assert self.process.stdout is not None and self.process.stderr is not None
        await asyncio.gather(self._hear("stdout", self.process.stdout), self._hear("stderr", self.process.stderr))
        code = await self.process.wait()
        await self._tell(None)
        return code

    async def _hear(self, name: str, stream: asyncio.StreamReader) -> None:
        while data := await stream.read(2**15):
            await self._tell((name, data))

    async def _tell(self, event: tuple[str, bytes] | None) -> None:
        for listener in list(self.listeners):
            await listener.put(event)

    @contextlib.contextmanager
    def listening(self):
        """Hear the output from now on; what nobody hears is lost, and who does not read holds it up, as in the service."""
        queue: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue(4)
        if self.ended.done():
            queue.put_nowait(None)
        self.listeners.append(queue)
        try:
            yield queue
        finally:
            self.listeners.remove(queue)
            while not queue.empty():
                queue.get_nowait()

    def signal(self, number: int) -> None:
        """Send a signal to the command itself, which ``nsenter`` waits for."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children():
                child.send_signal(number)


class Machine:
    """One sandbox: made, entered, paused, killed."""

    def __init__(
        self, environment: Environment, folder: Path, *, internet: bool, variables: Mapping[str, str], writable: bool = False
    ) -> None:
        self.writable = writable
        self.environment, self.root, self.internet, self.variables = environment, folder / "root", internet, dict(variables)
        self.token = secrets.token_hex(16)
        self.commands: dict[int, Command] = {}
        self.gone = asyncio.Event()
        """Set while nobody can reach it."""
        self._init: int | None = None
        self._bwrap: asyncio.subprocess.Process | None = None
        self._holders: set[int] = set()

    async def start(self) -> None:
        """Make the file system and the namespaces."""
        mounts = self._furnish()
        read, write = os.pipe()
        argv = [shutil.which("bwrap") or "bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        argv += ["--die-with-parent", "--hostname", "e2b", "--clearenv", "--bind", str(self.root), "/", *mounts]
        argv += ["--proc", "/proc", "--dev", "/dev", *([] if self.internet else ["--unshare-net"]), "--info-fd", str(write)]
        self._bwrap = await asyncio.create_subprocess_exec(
            *argv, "--", "/usr/bin/sleep", "infinity", pass_fds=(write,), start_new_session=True
        )
        os.close(write)
        with os.fdopen(read) as info:
            self._init = json.loads(await asyncio.to_thread(info.read))["child-pid"]
        # its first process and the one that waits in it
        while len(self._holders) < 2:
            await asyncio.sleep(0.001)
            self._holders = {process.pid for process in self._everything() if process.name() in ("bwrap", "sleep")}

    def _furnish(self) -> list[str]:
        for folder in ("etc", "home/user", "opt", "root", "run", "tmp", "usr", "var", ENVIRONMENT.lstrip("/"), "dev", "proc"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        self.root.parent.chmod(0o711)
        for folder in (self.root, *(path for path in self.root.iterdir() if path.is_dir())):
            folder.chmod(0o755)
        (self.root / "tmp").chmod(0o1777)
        os.chown(self.root / "home/user", 1000, 1000)
        (self.root / "etc/passwd").write_text(_USERS)
        (self.root / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
        shown = [("/usr", "/usr"), (str(self.environment.base_prefix),) * 2, (str(self.environment.prefix), ENVIRONMENT)]
        for name in ("bin", "sbin", "lib", "lib64"):
            if (link := Path("/", name)).is_symlink():
                (self.root / name).symlink_to(link.readlink())
            elif link.is_dir():
                shown.append((str(link), str(link)))
        shown += [(f"/etc/{name}", f"/etc/{name}") for name in ("ld.so.cache", "alternatives") if Path("/etc", name).exists()]
        mounts: list[str] = []
        for host, inside in shown:
            for above in reversed(Path(inside).parents):
                place = self.root / str(above).lstrip("/")
                if not place.exists():
                    place.mkdir(mode=0o755)
                place.chmod(0o755)
            mounts += ["--bind" if self.writable and inside == ENVIRONMENT else "--ro-bind", host, inside]
        for path in masked(self.environment):
            if not path.is_relative_to(self.environment.prefix):
                mounts += ["--tmpfs", str(path)]
        return mounts

    async def run(
        self, argv: Sequence[str], *, user: str = "user", envs: Mapping[str, str] | None = None, cwd: str | None = None, stdin: bool = False
    ) -> asyncio.subprocess.Process:
        """Start a process in it as one of its users."""
        if self.gone.is_set():
            raise Gone
        uid, home = self._user(user)
        environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": home, "USER": user, **self.variables, **(envs or {})}
        enter = ["nsenter", "--target", str(self._init), "--mount", "--pid", "--ipc", "--uts", "--net"]
        enter += [
            "--setuid",
            str(uid),
            "--setgid",
            str(uid),
            "--",
            "/usr/bin/env",
            "-i",
            *(f"{key}={value}" for key, value in environ.items()),
        ]
        return await asyncio.create_subprocess_exec(
            *enter,
            *("/bin/sh", "-c", 'cd "$0" && exec "$@"', cwd or home, *argv),
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={},
            start_new_session=True,
        )

    def _user(self, name: str) -> tuple[int, str]:
        for line in (self.root / "etc/passwd").read_text().splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return int(fields[2]), fields[5]
        raise LookupError(f"user: unknown user {name}")

    async def output(self, argv: Sequence[str], *, user: str, data: bytes = b"") -> tuple[int, bytes, bytes]:
        """Run a process to its end and return code, output and errors."""
        process = await self.run(argv, user=user, cwd="/", stdin=True)
        out, error = await process.communicate(data)
        assert process.returncode is not None
        return process.returncode, out, error

    def _everything(self) -> list[psutil.Process]:
        found = []
        with contextlib.suppress(OSError):
            space = Path(f"/proc/{self._init}/ns/pid").readlink()
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error, OSError):
                    if Path(f"/proc/{process.pid}/ns/pid").readlink() == space:
                        found.append(process)
        return found

    def processes(self) -> list[psutil.Process]:
        """Everything that was started in it."""
        return [process for process in self._everything() if process.pid not in self._holders]

    def pause(self) -> None:
        """Stop everything where it stands, memory and all; connections break."""
        self.gone.set()
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.suspend()

    def resume(self) -> None:
        """Go on."""
        for command in self.commands.values():
            # nsenter stops itself when what it waits for is stopped
            with contextlib.suppress(ProcessLookupError):
                command.process.send_signal(signal.SIGCONT)
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.resume()
        self.gone.clear()

    async def kill_commands(self) -> None:
        """Kill every command, and wait until whoever listens to one has heard of its end."""
        for command in self.commands.values():
            command.signal(signal.SIGKILL)
            await command.ended
            while command.listeners:
                await asyncio.sleep(0.001)

    async def kill(self) -> None:
        """Kill everything in it; the last thing alive is the first process of its namespace."""
        self.resume()
        self.gone.set()
        if self._init is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._init, signal.SIGKILL)
        if self._bwrap is not None:
            await self._bwrap.wait()
        for command in self.commands.values():
            command.listeners.clear()
            if command.process.stdin is not None:
                command.process.stdin.close()
        await asyncio.gather(*(command.ended for command in self.commands.values()))
        await asyncio.to_thread(shutil.rmtree, self.root.parent, True)
