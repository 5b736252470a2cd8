"""The broker: a process that holds a task's tools or environment, out of the agent's reach, and calls them for it.

Gold answers are reachable as Python objects by code that runs beside them. So the agent's kernel holds functions that
only ask; the asking goes over the kernel's own channel for questions, to here, and on to a sandbox of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import TaskError
from workbench.events import Event, Noticed, ToolCalled
from workbench.kernels import runtime, walls
from workbench.kernels.environments import Environment
from workbench.kernels.process import WalledProcess
from workbench.kernels.view import INSIDE, Mount, View
from workbench.tasks import bounded_json
from workbench.tasks.folder import TaskFolder
from workbench.tasks.staging import Prepared, limits_of

_MOST_QUESTION = 2**20
_MOST_ANSWER = 2**22 + 2**10
_MOST_KEPT = 2**27
_VALUE_BYTES = 64
"""Approximate memory of one value, in addition to its text."""
_LONGEST_NUMBER = 18
"""Maximum number of digits of a question's number."""
_START_SECONDS = 120.0
_LAST_WORDS_SECONDS = 2.0


@dataclass
class Episode:
    """What an agent asked a task's tools or environment, and what it was told.

    Attributes
    ----------
    calls : list of dict
        Each with ``tool``, ``args``, ``kwargs``, and ``result`` or ``error``; in the order they were made.
    queries : int
        How many calls were counted against the budget.
    ended : str or None
        Why the tools ended during the last call, after which no more calls were possible.
    """

    calls: list[dict[str, Any]] = field(default_factory=list)
    queries: int = 0
    ended: str | None = None


class Broker:
    """Tools of a task, in a sandbox of their own.

    Parameters
    ----------
    folder : TaskFolder
        The task; its interaction names the tools or the environment.
    prepared : Prepared
        Its hidden folder is visible to the tools, read-only.
    environment : Environment
        The environment whose Python they run with.
    variant : mapping of str to str
        The value of each axis of the prompt, for tools that have a parameter for it.
    emit : callable
        Takes an event for each call.
    walled : bool
        False only under sandbox ``none``.
    """

    def __init__(
        self,
        folder: TaskFolder,
        prepared: Prepared,
        environment: Environment,
        variant: Mapping[str, str],
        *,
        emit: Callable[[Event], None],
        walled: bool = True,
    ) -> None:
        self.episode = Episode()
        self.tools: list[dict[str, str]] = []
        """Name, signature and documentation of each."""
        self.failure: Exception | None = None
        """An error that was not caused by the agent, so that the run gets no score."""
        self._emit = emit
        self._task, self._prepared, self._environment, self._walled = folder.task, prepared, environment, walled
        self._variant = dict(variant)
        self._process: WalledProcess | None = None
        self._scratch: Path | None = None
        self._one_at_a_time = asyncio.Lock()
        self._asked: set[asyncio.Task[str]] = set()
        self._last = ("", "")
        """Number and answer of the last question that was answered."""
        self._kept = 0
        self._over = False

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
        mounts = [Mount(self._prepared.hidden, "/grading/hidden")]
        view = View(self._environment, mounts, hide=self._task.environment.hide)
        arguments = ["/grading/hidden", str(entry), json.dumps(self._variant)]
        enclosure = await asyncio.to_thread(
            walls.enclose, INSIDE / "broker.py", arguments, view, limits, self._scratch, walled=self._walled
        )
        self._process = WalledProcess(enclosure, limits, listens=True)
        await self._process.start()
        said: object = None
        with contextlib.suppress(TimeoutError, ValueError):
            async with asyncio.timeout(_START_SECONDS):
                said, _ = bounded_json.parse((await self._process.stdout.readline()).strip(), _MOST_ANSWER)
        match said:
            case {"tools": list(tools)} if all(_describes_a_tool(tool) for tool in tools):
                self.tools = tools
                return
            case {"failed": str(trace)} if trace.strip():
                reason = trace.strip().splitlines()[-1]
            case _:
                reason = await self._last_words()
        await self.close()
        raise TaskError(f"the tools of task {self._task.id} cannot be loaded: {reason}", hint=f"{entry} is in its hidden folder")

    @property
    def setup(self) -> str:
        """The code that gives the agent functions which ask."""
        return f"__import__('workbench_tools').install({self.tools!r})"

    def described(self) -> str:
        """Return what the agent is told about its functions."""
        budget = self._task.interaction.max_queries
        limit = f" You may call them {budget} times in all." if budget is not None else ""
        listed = "\n\n".join(f"{tool['name']}{tool['signature']}\n    " + tool["doc"].replace("\n", "\n    ") for tool in self.tools)
        return f"These functions are there in your Python session; nothing needs to be imported for them.{limit}\n\n```\n{listed}\n```"

    async def answer(self, question: str) -> str:
        """Answer a question from the agent's code; if it is invalid, the answer is an error.

        A question is ``NUMBER JSON``, and so is its answer. The number alone asks for the last answer again. A call
        that has begun continues, and is recorded, even if its answer is no longer awaited.
        """
        asked = asyncio.create_task(self._answer(question))
        self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)
        return await asyncio.shield(asked)

    async def settle(self) -> None:
        """Wait for the current call, up to its timeout, and let no other begin."""
        self._over = True
        await asyncio.gather(*self._asked, return_exceptions=True)

    async def _answer(self, question: str) -> str:
        number, _, call = question.partition(" ")
        if not (number.isascii() and number.isdigit() and len(number) <= _LONGEST_NUMBER):
            return json.dumps({"error": "nobody is here to answer input(); call the task's functions instead"})
        async with self._one_at_a_time:
            if number != self._last[0] or call:
                try:
                    answer = await self._made(call)
                except Exception as error:
                    # for example, the record cannot be written; the agent's code must not wait forever
                    self.failure = error
                    answer = {"error": "the functions are gone"}
                self._last = number, json.dumps(answer)
            return " ".join(self._last)

    async def _made(self, text: str) -> dict[str, Any]:
        """Make a call, if possible, and record it."""
        budget = self._task.interaction.max_queries
        try:
            call, values = self._parsed(text)
        except ValueError as error:
            return {"error": str(error)}
        if self._over:
            return {"error": "the run is over"}
        if self.failure is not None or self.episode.ended is not None:
            return {"error": "the functions are gone"}
        if budget is not None and self.episode.queries >= budget:
            return {"error": f"the budget of {budget} calls is used up"}
        if self._kept > _MOST_KEPT:
            return {"error": "the calls made so far are as many and as large as can be recorded"}
        self._kept += len(text) + _VALUE_BYTES * values
        self.episode.queries += 1
        began = time.monotonic()
        answer: dict[str, Any] = {"error": "the run was stopped before there was an answer"}
        try:
            answer = await self._ask(call)
        finally:
            if self.failure is None:
                self.episode.calls.append({**call, **answer})
                self._emit(ToolCalled(**call, **answer, seconds=time.monotonic() - began))
        return answer

    def _parsed(self, text: str) -> tuple[dict[str, Any], int]:
        try:
            call, values = bounded_json.parse(text, _MOST_QUESTION)
        except bounded_json.Refused as error:
            raise ValueError(f"the call cannot be sent: it {error}") from None
        match call:
            case {"tool": str(name), "args": list(args), "kwargs": dict(kwargs)} if name in {tool["name"] for tool in self.tools}:
                return {"tool": name, "args": args, "kwargs": kwargs}, values
        raise ValueError("there is no such function")

    async def _ask(self, call: dict[str, Any]) -> dict[str, Any]:
        """Send a call to the tools and return their answer; without one they are killed, which the agent has caused."""
        process, number, seconds = self._process, self.episode.queries, self._task.environment.cell_seconds
        assert process is not None, "the broker is not started"
        if number == 1 and process.returncode is not None:
            self.failure = TaskError(f"the tools of task {self._task.id} ended before the first call: {process.why_dead()}")
            return {"error": "the functions are gone"}
        line = b""
        try:
            async with asyncio.timeout(seconds):
                process.stdin.write(f"{number} {json.dumps(call)}\n".encode())
                await process.stdin.drain()
                line = await process.stdout.readline()
        except TimeoutError:
            return await self._end(f"there was no answer within {seconds:g} s")
        except ValueError:
            return await self._end("they answered a line that is too long to be read")
        except OSError:
            # if the tools have closed one pipe, they write nothing to the other either
            pass
        if not line.endswith(b"\n"):
            return await self._end(await self._last_words())
        answered, _, text = line.strip().partition(b" ")
        if answered != str(number).encode():
            return await self._end("they answered something that is no answer to this call")
        try:
            answer, values = bounded_json.parse(text, _MOST_ANSWER)
        except bounded_json.Refused as error:
            return {"error": f"the result cannot be sent: it {error}"}
        self._kept += len(text) + _VALUE_BYTES * values
        match answer:
            case {"result": result}:
                return {"result": result}
            case {"error": str(said)}:
                return {"error": said}
        return await self._end("they answered something that is neither a result nor an error")

    async def _end(self, reason: str) -> dict[str, Any]:
        """Kill the tools for good; return what the agent is told, without the tools' own output."""
        assert self._process is not None
        self.episode.ended = reason
        await self._process.kill()
        ended = f"the task's functions ended during call {self.episode.queries}: {reason}; what was asked until then is graded"
        self._emit(Noticed(kind="tools", message=ended))
        return {"error": "the functions ended during this call and are gone"}

    async def _last_words(self) -> str:
        assert self._process is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._process.wait()
        return "they are silent" if self._process.returncode is None else self._process.why_dead()

    async def close(self) -> None:
        """Kill the process and record the current call as stopped; safe to call twice."""
        self._over = True
        for asked in list(self._asked):
            asked.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)
        process, self._process = self._process, None
        if process is not None:
            await process.kill()
        if self._scratch is not None:
            await asyncio.to_thread(runtime.remove, self._scratch)


def _describes_a_tool(said: object) -> bool:
    match said:
        case {"name": str(name), "signature": str(), "doc": str()}:
            return name.isidentifier()
    return False
