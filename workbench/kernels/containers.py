"""A container that lives as long as this process holds it, and the programs that run in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from workbench.errors import SandboxError
from workbench.kernels import docker_engine, runtime
from workbench.kernels.docker_engine import Engine, asked
from workbench.kernels.view import PROGRAMS

STDOUT = 1
_QUIET_SECONDS = 20.0
_MOST_ANSWER = 4096
# the shell waits for a first line: what a program writes before we listen could be lost
_AFTER_US = 'read -r _ && exec "$@"'

Hear = Callable[[int, bytes], Awaitable[None]]


class Stream:
    """Both ends of the pipes of a program in a container, on a connection the engine has given over.

    Parameters
    ----------
    connection : object
        What docker-py returns for ``socket=True``.
    hear : callable
        Called on this loop with the number of each stream and what came on it; what comes next waits for it.
    """

    def __init__(self, connection: Any, hear: Hear) -> None:
        self._connection = connection
        # unlike its wrapper, this takes no part in what docker-py buffers
        self._socket: socket.socket = getattr(connection, "_sock", connection)
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        # a thread of its own, not one of the loop's few: it reads for as long as the program runs
        threading.Thread(target=self._read, name="workbench-docker", daemon=True).start()

    def _read(self) -> None:
        from docker.utils.socket import frames_iter

        with contextlib.suppress(Exception):
            # whatever ends it, a broken frame or a loop that is closed, there is nobody left to tell but who waits
            for number, data in frames_iter(self._connection, tty=False):
                asyncio.run_coroutine_threadsafe(self._pass_on(number, data), self._loop).result()
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._over.set)

    async def _pass_on(self, number: int, data: bytes) -> None:
        await self._hear(number, data)

    async def send(self, data: bytes) -> None:
        """Write to standard input, all of it."""
        await asyncio.to_thread(self._socket.sendall, data)

    async def over(self) -> None:
        """Wait until the program has closed its output, or the connection is gone."""
        await self._over.wait()

    def close(self) -> None:
        """Hang up: the program's standard input ends."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._connection.close()


@dataclass(frozen=True)
class Program:
    """A program that runs in a container."""

    stream: Stream
    engine: Engine
    name: str

    async def wait(self) -> int | None:
        """Wait until it ends and return its exit code; None where the container is gone."""
        await self.stream.over()
        self.stream.close()
        pause = 0.01
        try:
            with asked("learn how a program in a container ended"):
                while (found := await asyncio.to_thread(self.engine.client.api.exec_inspect, self.name))["Running"]:
                    # most have ended with their output; one that only closed it may go on for long
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, 1)
        except SandboxError:
            return None
        code: int | None = found["ExitCode"]
        return code


@dataclass
class Container:
    """A container whose first process is ``inside/hold.py``; it ends when this process does.

    Guarantees: when this process is gone, so is the container, and all that ran in it; when :meth:`quiet` has returned,
    nothing runs in it but its first process; when :meth:`remove` has, it is gone.
    """

    engine: Engine
    name: str
    python: str
    namespace: str = ""
    """Of its processes, as ``/proc/PID/ns/pid`` names it."""
    _held: Stream = field(init=False, repr=False)
    _answers: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue, repr=False)
    _heard: bytes = b""
    _complaint: str = ""

    @classmethod
    async def start(cls, engine: Engine, image: str, python: str, *arguments: str, **options: Any) -> Container:
        """Start a container; where that fails nothing stays.

        Parameters
        ----------
        python : str
            The interpreter in the image.
        arguments
            For ``inside/hold.py``.
        options
            Those of docker-py, as :func:`workbench.kernels.docker_walls.options` makes them.

        Raises
        ------
        SandboxError
            If the engine cannot.
        """
        container = cls(engine, f"workbench-{runtime.mine().name}-{secrets.token_hex(4)}", python)
        # what a thread has begun goes on, whoever has stopped to wait for it
        work = asyncio.ensure_future(asyncio.to_thread(container._create, image, arguments, options))
        try:
            with asked(f"start a container from the image {image}"):
                connection = await asyncio.shield(work)
            container._held = Stream(connection, container._listen)
            if (first := await container._answer()) is None:
                raise SandboxError(f"the container ended at once: {container._complaint[-600:] or 'it said nothing'}")
            container.namespace = str(first["namespace"])
        except BaseException:
            with contextlib.suppress(Exception):
                (await work).close()
            await container.remove()
            raise
        return container

    def processes(self) -> list[int]:
        """Return what runs in it, where it runs on this machine and this user may know; the first process may be missing."""
        found = []
        for pid in psutil.pids():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/ns/pid") == self.namespace:  # noqa: PTH115 - of a name that is no path
                    found.append(pid)
        return found

    def _create(self, image: str, arguments: Sequence[str], options: dict[str, Any]) -> Any:
        api = self.engine.client.api
        argv = [self.python, "-I", str(PROGRAMS / "hold.py"), *arguments]
        self.engine.client.containers.create(image, [], name=self.name, entrypoint=argv, stdin_open=True, **options)
        connection = api.attach_socket(self.name, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        try:
            api.start(self.name)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _listen(self, number: int, data: bytes) -> None:
        if number == STDOUT:
            *lines, self._heard = (self._heard + data).split(b"\n")
            for line in lines:
                self._answers.put_nowait(json.loads(line[:_MOST_ANSWER]))
        else:
            self._complaint = (self._complaint + data.decode(errors="replace"))[-_MOST_ANSWER:]

    async def _answer(self) -> dict[str, Any] | None:
        """Return what the first process says next; None where it is dead or deaf."""
        answer = asyncio.ensure_future(self._answers.get())
        over = asyncio.ensure_future(self._held.over())
        try:
            await asyncio.wait({answer, over}, timeout=_QUIET_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() else None
        finally:
            answer.cancel()
            over.cancel()

    async def run(self, argv: Sequence[str], hear: Hear, *, environ: Mapping[str, str] | None = None, listens: bool = True) -> Program:
        """Start a program beside the first process.

        Parameters
        ----------
        hear : callable
            Told what it writes, as for :class:`Stream`.
        listens : bool
            Whether it reads what is sent to its standard input.

        Raises
        ------
        SandboxError
            If the engine cannot.
        """
        with asked("start a program in a container"):
            name, connection = await asyncio.to_thread(self._exec, argv, dict(environ or {}), listens)
            stream = Stream(connection, hear)
            await stream.send(b"\n")
        return Program(stream, self.engine, name)

    def _exec(self, argv: Sequence[str], environ: dict[str, str], listens: bool) -> tuple[str, Any]:
        api = self.engine.client.api
        script = _AFTER_US if listens else f"{_AFTER_US} </dev/null"
        name = api.exec_create(self.name, ["/bin/sh", "-c", script, "sh", *argv], stdin=True, environment=environ)["Id"]
        return name, api.exec_start(name, socket=True)

    async def quiet(self) -> int | None:
        """Kill everything in it but its first process; return how often memory ran out in its life, or None where it has ended."""
        with contextlib.suppress(OSError):
            await self._held.send(b"quiet\n")
            if (answer := await self._answer()) is not None:
                return int(answer["out_of_memory"])
        # an engine that cannot be asked any more is told of when the container is removed for good
        with contextlib.suppress(SandboxError):
            await self.remove()
        return None

    async def remove(self) -> None:
        """Kill it with all that runs in it, and return once it is gone; safe to call twice."""
        if hasattr(self, "_held"):
            self._held.close()
        with asked(f"remove the container {self.name}"):
            await asyncio.shield(asyncio.to_thread(docker_engine.discard, self.engine, self.name))
