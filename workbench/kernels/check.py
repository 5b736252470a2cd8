"""Trying the walls: what this machine's sandbox refuses, found out by attempting it rather than by believing it."""

from __future__ import annotations

import json
import os
import secrets
import socket

from pydantic import BaseModel

from workbench.errors import SandboxError
from workbench.kernels import runtime
from workbench.kernels.environments import Environment
from workbench.kernels.session import KernelSession
from workbench.kernels.view import INSIDE

_PROBE = INSIDE / "probe.py"


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
    """Start a kernel as a run would, and let it try to escape.

    Raises
    ------
    SandboxError
        If no kernel can be walled here.
    """
    scratch, workspace = (runtime.folder(f"{kind}-{secrets.token_hex(4)}") for kind in "dw")
    secret = scratch / "secret"
    secret.write_text("not for agents")
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            arguments = ["probe.py", str(secret), str(os.getpid()), str(server.getsockname()[1])]
            async with KernelSession(environment, workspace) as kernel:
                observation = await kernel.execute(f"import sys\nsys.argv = {arguments!r}\n{_PROBE.read_text()}", timeout=30)
                walls, missing = kernel.walls, kernel.missing
    finally:
        for folder in (scratch, workspace):
            runtime.remove(folder)
    said = "".join(output.text for output in observation.outputs if output.kind == "stdout")
    try:
        answers = json.loads(said)
    except ValueError:
        raise SandboxError(
            f"the kernel that was to try its walls ended in {observation.status}: {observation.note or said[-300:]}"
        ) from None
    attempts = [Attempt(what=what, refused=answer != "done", answer=answer) for what, answer in answers.items()]
    return WallCheck(walls=walls, missing=missing, attempts=attempts)
