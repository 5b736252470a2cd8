"""How hostile programs are tried as submitted code and as callers of a task's functions, and when one has got through."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from workbench.events import Event
from workbench.kernels import runtime
from workbench.kernels.process import counts_cpu
from workbench.tasks.broker import Broker
from workbench.tasks.folder import TaskFolder
from workbench.tasks.sandboxes import Sandboxes
from workbench.tasks.staging import Prepared

from ..tools import eventually, text_of, told
from .arena import LIMITS, Arena
from .attack import Attack
from .prelude import PRELUDE

PLACE = "/grading/submission"
HIDDEN = "IPython/lib"
"""A package of the environment, as a task hides one."""

TASK = {
    "task.toml": """
schema = 1
id = "data-science/adder"
family = "data-science"
suite = "red-team"
licence = "CC0-1.0"
source = "made by the red team"
summary = "Adds."
[environment]
name = "python-min"
memory = "512M"
[interaction]
mode = "environment"
environment = "lab.py:Lab"
[submission]
kind = "episode"
[[metric]]
name = "m"
primary = true
range = [0, 1]
invalid = 0
success = {rule = "eq", value = 1}
""",
    "instruction.md": "Add.",
    "hidden/lab.py": "class Lab:\n    def add(self, x, y):\n        return x + y\n",
    "hidden/grader.py": "def grade(submission, hidden):\n    return {'metrics': {'m': 0.0}}\n",
}
"""A task whose function's answers can be told apart."""


@asynccontextmanager
async def grading(arena: Arena) -> AsyncIterator[Sandboxes]:
    """Sandboxes for submitted code, of which other submitted code has one already; at the end nothing is left of any."""
    before = set(runtime.mine().iterdir())
    made = Sandboxes(arena.environment, LIMITS, [HIDDEN])
    try:
        await start(made, "1", f"secret = {arena.host.canary!r}\nopen('/tmp/secret', 'w').write(secret)\nprint('up', flush=True)\ninput()")
        assert await made.answer({"tell": "1", "line": "", "seconds": 100, "most": 100}) == {"line": "up\n"}
        yield made
    finally:
        await made.close()
    assert set(runtime.mine().iterdir()) == before


async def start(made: Sandboxes, name: str, code: str) -> None:
    """Have code run as it is when it was submitted."""
    (made.lent.host / name).mkdir()
    assert await made.answer({"start": name, "at": PLACE, "code": code}) == {"started": name}


async def begun(made: Sandboxes, arena: Arena, attack: Attack, before: str = "") -> None:
    """Have a program run; it is told what it goes for."""
    hides = next(arena.environment.prefix.glob(f"lib/python3*/site-packages/{HIDDEN}"))
    assert next(hides.iterdir())
    facts = {**arena.host.facts, "hides": str(hides), "hides_module": HIDDEN.replace("/", ".")}
    await start(made, "0", PRELUDE % json.dumps(facts) + before + attack.code)


async def looked_around(arena: Arena, attack: Attack) -> None:
    """Every try of submitted code has to fail."""
    async with grading(arena) as made:
        await begun(made, arena, attack)
        found = await made.answer({"end": "0", "seconds": attack.timeout})
    said = found["stdout"]
    assert found["returncode"] == 0 and "refused" in said, found
    assert arena.host.canary not in said + found["stderr"]
    through = [line[:200] for line in said.splitlines() if line.startswith(("THROUGH", "BROKEN"))]
    assert not through, f"{len(through)} got through: {through[:12]}"


async def counted(arena: Arena, attack: Attack) -> None:
    """A second of work is counted, wherever it is hidden; or nothing is, and the task is not scored."""
    async with grading(arena) as made:
        await begun(made, arena, attack)
        found = await made.answer({"end": "0", "seconds": attack.timeout})
    assert found["returncode"] == 0, found
    assert found["cpu_seconds"] >= 1 if counts_cpu() else found["cpu_seconds"] is None


async def ended(arena: Arena, attack: Attack) -> None:
    """It is ended after its time with everything that it has started, and its folders are removed."""
    marker = f"graded-{os.urandom(4).hex()}"
    async with grading(arena) as made:
        # a program's name is that of its children too
        await begun(made, arena, attack, f"call(libc.prctl, 15, {marker.encode()!r})\n")
        assert await eventually(lambda: _named(marker))
        found = await made.answer({"end": "0", "seconds": 2})
        assert found["returncode"] == -9, found
        assert not _named(marker)


def _named(marker: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["name", "status"]) if process.info["name"] == marker]


async def called(arena: Arena, attack: Attack) -> None:
    """Whatever was asked, and however: each call that was made is in the record with its own answer, and so is the next."""
    events: list[Event] = []
    place = await asyncio.to_thread(runtime.folder, f"t-{os.urandom(4).hex()}")
    try:
        broker = Broker(_task(place), Prepared(place, place / "hidden", ""), arena.environment, {}, emit=events.append)
        await broker.start()
        try:
            async with arena.fresh() as session:
                await session.answer_with(broker.answer, broker.setup)
                observation = await session.execute(arena.prelude() + attack.code)
                assert observation.status == "ok", told(observation)
                honest = await session.execute("add(20, 22), add(y=1, x=2)")
                assert text_of(honest, "result") == "(42, 3)", f"{told(observation)} || {told(honest)}"
            await broker.settle()
        finally:
            await broker.close()
    finally:
        await asyncio.to_thread(runtime.remove, place)
    assert broker.failure is None and broker.episode.ended is None
    assert len(events) == len(broker.episode.calls) == broker.episode.queries
    for call in broker.episode.calls:
        assert call["tool"] == "add"
        if "result" in call:
            assert call["result"] == sum([*call["args"], *call["kwargs"].values()]), call
        else:
            assert re.search("add|type|operand", call["error"]), call


def _task(place: Path) -> TaskFolder:
    for name, text in TASK.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)
    return TaskFolder.load(place)
