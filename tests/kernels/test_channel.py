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


async def kernel_that_misses_what_comes_first(manager: Manager, context: zmq.asyncio.Context) -> list[bytes]:
    """Serve until asked for the kernel's information; of subscriptions and requests, the first is not answered."""
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
    await sockets["shell"].recv_multipart()
    identities, parts = session.feed_identities(await sockets["shell"].recv_multipart())
    request: dict[str, Any] = session.deserialize(parts)
    reply = session.msg("kernel_info_reply", {"status": "ok"}, parent=request)
    await sockets["shell"].send_multipart([*identities, *session.serialize(reply)])
    return events


async def test_a_kernel_that_missed_what_came_first_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "_AGAIN_SECONDS", 0.05)
    line = Channel("unused", {})
    manager = Manager(tmp_path)
    monkeypatch.setattr(line, "_manager", manager)
    with zmq.asyncio.Context() as context:
        context.linger = 0
        kernel = asyncio.create_task(kernel_that_misses_what_comes_first(manager, context))
        await line.connect()
        assert (await kernel)[:3] == [b"\x01", b"\x00", b"\x01"]
        assert line.awaited == "its first reply"
        await line._hang_up()
        context.destroy(linger=0)


async def test_an_answer_that_comes_late_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Channel("unused", {})
    asked: list[str] = []
    again = asyncio.Event()

    async def send(name: str, kind: str, content: dict[str, Any]) -> str:
        asked.append(f"{kind} {len(asked)}")
        if len(asked) == 2:
            again.set()
        return asked[-1]

    async def message(name: str) -> dict[str, Any]:
        # the first is only answered once it has been asked again
        await again.wait()
        return {"parent_header": {"msg_id": asked[0]}}

    async def welcome() -> None:
        return None

    monkeypatch.setattr(channel, "_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(line, "_send", send)
    monkeypatch.setattr(line, "_message", message)
    monkeypatch.setattr(line, "_welcome", welcome)
    await line._ready()
    assert asked == ["kernel_info_request 0", "kernel_info_request 1"]
