"""A kernel and its branches as one family: the keeper they share, the line to it, and how the end of each is heard."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import psutil

from workbench.errors import SandboxError
from workbench.kernels import image as images
from workbench.kernels.image import Image
from workbench.kernels.network import Gate

if TYPE_CHECKING:
    from workbench.kernels.forked import ForkedProcess

REPORT_SECONDS = 30.0
_CREDENTIALS = struct.Struct("3i")


class Wire:
    """One end of a SEQPACKET socket; at the other is a process behind the walls."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket = end
        self._messages: asyncio.Queue[tuple[dict[str, Any], int, list[int]]] = asyncio.Queue()
        asyncio.get_running_loop().add_reader(end.fileno(), self._read)

    @property
    def peer(self) -> int:
        """The number of the process that connected."""
        return int(_CREDENTIALS.unpack(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0])

    def _read(self) -> None:
        descriptors: list[int] = []
        pid = 0
        try:
            data, attached, _, _ = self._socket.recvmsg(65536, socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(16))
        except BlockingIOError:
            return
        except OSError:
            data, attached = b"", []
        for level, kind, value in attached:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                pid = _CREDENTIALS.unpack(value)[0]
            elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors = list(struct.unpack(f"{len(value) // 4}i", value))
        message: dict[str, Any] = {"closed": True}
        if data:
            with contextlib.suppress(ValueError):
                message = json.loads(data)
        else:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._messages.put_nowait((message, pid, descriptors))

    async def receive(self) -> tuple[dict[str, Any], int, list[int]]:
        """Return the next message, the number of the process that sent it, and the descriptors that came with it."""
        return await self._messages.get()

    def send(self, **message: Any) -> None:
        """Send a message; a process that is gone hears nothing."""
        with contextlib.suppress(OSError):
            self._socket.send(json.dumps(message).encode())

    def send_descriptor(self, descriptor: int) -> None:
        """Send a descriptor."""
        with contextlib.suppress(OSError):
            socket.send_fds(self._socket, [b"{}"], [descriptor])

    def close(self) -> None:
        """Hang up."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()


class Ending:
    """Hears of the end of a process that is not this one's child."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.over = asyncio.Event()
        self._descriptor = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._descriptor, self._hear)

    def _hear(self) -> None:
        self.close()
        self.over.set()

    def kill(self) -> None:
        """Kill it; its number cannot have been given to another."""
        if self._descriptor >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def close(self) -> None:
        """Stop listening."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


class Family:
    """A kernel and its branches: they share process, network and IPC namespaces, and a keeper with which all of them die."""

    def __init__(self, image: Image, wire: Wire, keeper: Ending) -> None:
        self.image, self.keeper = image, keeper
        self.members: list[ForkedProcess] = []
        self.first: ForkedProcess | None = None
        """The one whose control group holds the keeper too."""
        self.gate: Gate | None = None
        """Their way to the hosts they may reach."""
        self._wire = wire
        self._asking = asyncio.Lock()
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while "closed" not in (message := (await self._wire.receive())[0]):
            if "exited" in message:
                for member in self.members:
                    if member.number == message["number"]:
                        member.ended(message["exited"])
            else:
                self._answers.put_nowait(message)

    async def ask(self, **question: Any) -> dict[str, Any]:
        """Ask the keeper for something and return its answer.

        Raises
        ------
        SandboxError
            If it cannot do it, or does not answer.
        """
        async with self._asking:
            self._wire.send(**question)
            try:
                async with asyncio.timeout(REPORT_SECONDS):
                    answer = await self._answers.get()
            except TimeoutError:
                raise SandboxError("the keeper of the kernel does not answer") from None
        if "failed" in answer:
            raise SandboxError(f"the kernel's keeper: {answer['failed']}")
        return answer

    @contextlib.asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        """Stop every process of the family but the keeper, and let them go on afterwards."""
        await self.ask(hold=True)
        try:
            yield
        finally:
            await self.ask(hold=False)

    def below(self) -> list[psutil.Process]:
        """Return every process of the family but the keeper."""
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self.keeper.pid).children(recursive=True)
        return []

    async def leave(self, member: ForkedProcess) -> None:
        """Take a member out; with the last one the keeper goes, and everything that is left with it."""
        if member in self.members:
            self.members.remove(member)
        if self.members or self.keeper.over.is_set():
            return
        self.keeper.kill()
        # the first process of a namespace is dead only when everything in it is
        await self.keeper.over.wait()
        self._listening.cancel()
        self._wire.close()
        if self.gate is not None:
            await self.gate.close()
        await asyncio.to_thread(images.give_back, self.image)
