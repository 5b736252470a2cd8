"""Trying the walls: what this machine's sandbox refuses, found out by attempting it rather than by believing it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import socket

from pydantic import BaseModel

from workbench.kernels import runtime, walls
from workbench.kernels.environments import Environment
from workbench.kernels.limits import Limits
from workbench.kernels.process import WalledProcess
from workbench.kernels.view import INSIDE, View


class Attempt(BaseModel):
    """Something an agent must not be able to do."""

    what: str
    refused: bool
    answer: str
    """What the system said."""


class WallCheck(BaseModel):
    """What stands on this machine, and what it refused."""

    walls: list[str]
    missing: list[str]
    attempts: list[Attempt]


async def check(environment: Environment) -> WallCheck:
    """Start a process behind the walls that tries to get out.

    Raises
    ------
    SandboxError
        If no process can be walled here.
    """
    scratch = runtime.folder(f"d-{secrets.token_hex(4)}")
    secret = scratch / "secret"
    secret.write_text("not for agents")
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = [str(secret), str(os.getpid()), str(server.getsockname()[1])]
        limits = Limits()
        try:
            enclosure = await asyncio.to_thread(walls.enclose, INSIDE / "probe.py", arguments, View(environment), limits, scratch)
            process = WalledProcess(enclosure, limits)
            try:
                await process.start()
                line = await asyncio.wait_for(process.stdout.readline(), 30)
            finally:
                await process.kill()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    attempts = [Attempt(what=what, refused=answer != "done", answer=answer) for what, answer in json.loads(line).items()]
    return WallCheck(walls=process.walls, missing=process.missing, attempts=attempts)
