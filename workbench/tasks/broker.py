"""The broker: a process that holds a task's tools or environment, out of the agent's reach, and calls them for it.

Gold answers are reachable as Python objects by code that runs beside them. So the agent's kernel holds functions that
only ask; the asking goes over the kernel's own channel for questions, to here, and on to a sandbox of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import SandboxError, TaskError
from workbench.kernels import runtime, walls
from workbench.kernels.environments import Environment
from workbench.kernels.process import WalledProcess
from workbench.kernels.view import INSIDE, Mount, View
from workbench.tasks.folder import TaskFolder
from workbench.tasks.staging import Prepared, limits_of

_MOST_QUESTION = 2**20
_START_SECONDS = 120.0
_LAST_WORDS_SECONDS = 2.0


class NotANumber(ValueError):
    """What JSON has no number for."""


def _no_number(name: str) -> None:
    raise NotANumber(name)


@dataclass
class Episode:
    """What an agent asked of a task's tools or environment, and what it was told.

    Attributes
    ----------
    calls : list of dict
        Each with ``tool``, ``args``, ``kwargs``, and ``result`` or ``error``.
    queries : int
        How many were counted against the budget.
    """

    calls: list[dict[str, Any]] = field(default_factory=list)
    queries: int = 0


class Broker:
    """Tools of a task, in a sandbox of their own.

    Parameters
    ----------
    folder : TaskFolder
        The task; its interaction names the tools or the environment.
    prepared : Prepared
        Its hidden folder is shown to the tools, read-only.
    environment : Environment
        Whose Python they run with.
    variant : mapping of str to str
        The value of each axis of the prompt, for tools that ask for it.
    walled : bool
        False only under sandbox ``none``.
    """

    def __init__(
        self, folder: TaskFolder, prepared: Prepared, environment: Environment, variant: Mapping[str, str], *, walled: bool = True
    ) -> None:
        self.episode = Episode()
        self.tools: list[dict[str, str]] = []
        """Name, signature and documentation of each."""
        self.failure: SandboxError | None = None
        """Why the tools stopped answering, which is nobody's score."""
        self._task, self._prepared, self._environment, self._walled = folder.task, prepared, environment, walled
        self._variant = dict(variant)
        self._process: WalledProcess | None = None
        self._scratch: Path | None = None
        self._one_at_a_time = asyncio.Lock()

    async def start(self) -> None:
        """Start the process and learn which tools it has.

        Raises
        ------
        TaskError
            If the task's tools cannot be loaded.
        SandboxError
            If the sandbox does not start.
        """
        interaction, limits = self._task.interaction, limits_of(self._task, self._environment)
        entry = interaction.tools or interaction.environment
        self._scratch = runtime.folder(f"k-{secrets.token_hex(4)}")
        view = View(self._environment, [Mount(self._prepared.hidden, "/grading/hidden")])
        arguments = ["/grading/hidden", str(entry), json.dumps(self._variant)]
        enclosure = await asyncio.to_thread(
            walls.enclose, INSIDE / "broker.py", arguments, view, limits, self._scratch, walled=self._walled
        )
        self._process = WalledProcess(enclosure, limits, listens=True)
        try:
            await self._process.start()
            async with asyncio.timeout(_START_SECONDS):
                said = json.loads(await self._process.stdout.readline() or "null")
        except (TimeoutError, ValueError):
            said = None
        if not isinstance(said, dict) or "tools" not in said:
            reason = said["failed"].strip().splitlines()[-1] if isinstance(said, dict) else await self._last_words()
            await self.close()
            raise TaskError(f"the tools of task {self._task.id} cannot be loaded: {reason}", hint=f"{entry} is in its hidden folder")
        self.tools = said["tools"]

    @property
    def setup(self) -> str:
        """The code that gives the agent functions which ask."""
        return f"__import__('workbench_tools').install({self.tools!r})"

    def described(self) -> str:
        """Return what the agent is told of its functions."""
        budget = self._task.interaction.max_queries
        limit = f" You may call them {budget} times in all." if budget is not None else ""
        listed = "\n\n".join(f"{tool['name']}{tool['signature']}\n    " + tool["doc"].replace("\n", "\n    ") for tool in self.tools)
        return f"These functions are there in your Python session; nothing needs to be imported for them.{limit}\n\n```\n{listed}\n```"

    async def answer(self, question: str) -> str:
        """Answer what the agent's code asks; what makes no sense is an error it is told."""
        async with self._one_at_a_time:
            try:
                call = self._parsed(question)
            except ValueError as error:
                return json.dumps({"error": str(error)})
            budget = self._task.interaction.max_queries
            if budget is not None and self.episode.queries >= budget:
                return json.dumps({"error": f"the budget of {budget} calls is used up"})
            self.episode.queries += 1
            try:
                answer = await self._ask(call)
            except SandboxError as error:
                self.failure = error
                return json.dumps({"error": "the functions are gone"})
            self.episode.calls.append({**call, **answer})
            return json.dumps(answer)

    def _parsed(self, question: str) -> dict[str, Any]:
        if len(question) > _MOST_QUESTION:
            raise ValueError("the arguments are too large")
        try:
            call = json.loads(question, parse_constant=_no_number)
        except NotANumber as error:
            raise ValueError(f"{error} is not a number that can be sent") from None
        except (ValueError, RecursionError):
            raise ValueError("nobody is here to answer input(); call the task's functions instead") from None
        match call:
            case {"tool": str(name), "args": list(args), "kwargs": dict(kwargs)} if name in {tool["name"] for tool in self.tools}:
                return {"tool": name, "args": args, "kwargs": kwargs}
        raise ValueError("there is no such function")

    async def _ask(self, call: dict[str, Any]) -> dict[str, Any]:
        assert self._process is not None, "the broker is not started"
        try:
            self._process.stdin.write(json.dumps(call).encode() + b"\n")
            await self._process.stdin.drain()
            async with asyncio.timeout(self._task.environment.cell_seconds):
                answer = json.loads(await self._process.stdout.readline())
        except (TimeoutError, OSError, ValueError):
            raise SandboxError(f"the tools of task {self._task.id} do not answer: {await self._last_words()}") from None
        assert isinstance(answer, dict)
        return answer

    async def _last_words(self) -> str:
        assert self._process is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._process.wait()
        return "they are silent" if self._process.returncode is None else self._process.why_dead()

    async def close(self) -> None:
        """Kill the process; safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            await process.kill()
        if self._scratch is not None:
            await asyncio.to_thread(shutil.rmtree, self._scratch, True)
