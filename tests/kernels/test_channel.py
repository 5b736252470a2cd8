"""The line to a kernel, tried on a kernel of zmq's own sockets that misbehaves as real ones have been seen to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.asyncio
from jupyter_client.session import Session

from workbench.kernels import channel
from workbench.kernels.channel import Channel


class Manager:
    """What a Channel asks of its kernel manager, for a kernel that nobody launched."""

    iopub_port, shell_port, control_port = 1, 2, 3

    def __init__(self, folder: Path) -> None:
        self.ip = str(folder / "kernel")
        self.session = Session(key=b"key")

    async def is_alive(self) -> bool:
        return True


async def kernel_that_misses_a_subscription(manager: Manager, context: zmq.asyncio.Context) -> list[bytes]:
    """Serve until asked for the kernel's information; return the events on iopub, of which the first is not answered."""
    sockets = {}
    for name, kind in (("iopub", zmq.XPUB), ("shell", zmq.ROUTER), ("control", zmq.ROUTER)):
        sockets[name] = context.socket(kind)
        sockets[name].bind(f"ipc://{manager.ip}-{getattr(manager, f'{name}_port')}")
    session = Session(key=manager.session.key)
    events = [await sockets["iopub"].recv()]
    while (event := await sockets["iopub"].recv()) != b"\x01":
        events.append(event)
    events.append(event)
    await sockets["iopub"].send_multipart(session.serialize(session.msg("iopub_welcome", {"subscription": ""})))
    identities, parts = session.feed_identities(await sockets["shell"].recv_multipart())
    request: dict[str, Any] = session.deserialize(parts)
    reply = session.msg("kernel_info_reply", {"status": "ok"}, parent=request)
    await sockets["shell"].send_multipart([*identities, *session.serialize(reply)])
    return events


async def test_a_kernel_that_missed_the_subscription_is_subscribed_to_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "_WELCOME_SECONDS", 0.05)
    line = Channel("unused", {})
    manager = Manager(tmp_path)
    monkeypatch.setattr(line, "_manager", manager)
    with zmq.asyncio.Context() as context:
        context.linger = 0
        kernel = asyncio.create_task(kernel_that_misses_a_subscription(manager, context))
        await line.connect()
        assert (await kernel)[:3] == [b"\x01", b"\x00", b"\x01"]
        await line._hang_up()
        context.destroy(linger=0)
