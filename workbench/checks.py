"""Whether a task is one: solvable, not for nothing, by no trick, and graded alike each time."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench import blocking, runner
from workbench.errors import classify
from workbench.events import Event, MetricValue, Observed, SubmissionFrozen
from workbench.kernels import runtime, trees
from workbench.kernels.environments import Environment
from workbench.listener import Listener
from workbench.models.resolve import resolve_judge
from workbench.models.scripted import ALONE, OF_PROGRAMS, Scripted
from workbench.result import RunResult
from workbench.storage.store import Store
from workbench.tasks import grading, staging, submission
from workbench.tasks.folder import TaskFolder, copy_tree
from workbench.tasks.metrics import Metric
from workbench.tasks.sandboxes import Sandboxes
from workbench.tasks.staging import Prepared

GRADINGS = 3
"""How often a submission is graded to see that the verdict is the same."""
_SEARCH_SECONDS = 300
_SMALLEST = 24
"""Bytes of a hidden file below which anything may have the same content by chance."""

_SYSTEM = ("bin", "dev", "etc", "lib", "lib32", "lib64", "proc", "sbin", "sys", "usr")
"""Where nothing of a task can be, and very much else is."""
_FIND = """
import hashlib
import itertools
import json
import os
import sys

open(MARKER, "w").write(MARKER)
found, seen, wanted, sizes = [], set(), set(DIGESTS), set(SIZES)
tops = ("/", "/grading", "/hidden", "/home", "/opt", "/root", "/run", "/srv", "/task", "/tmp", "/var", sys.prefix, os.getcwd(), "..")
for root, folders, files in itertools.chain.from_iterable(map(os.walk, tops)):
    if root == "/":
        folders[:] = [name for name in folders if name not in SYSTEM]
    if root in seen:
        folders[:], files = [], []
    seen.add(root)
    for name in files:
        path = os.path.join(root, name)
        try:
            if not os.path.islink(path) and os.path.getsize(path) in sizes:
                digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
                if digest in wanted:
                    found.append([digest, path])
        except OSError:
            pass
print(MARKER + json.dumps({"found": found[:20], "looked_at": len(seen)}))
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes
    ----------
    name : str
        What it is.
    ok : bool
        Whether the task is as it should be.
    said : str
        What was seen.
    """

    name: str
    ok: bool
    said: str


@dataclass
class TaskCheck:
    """What was found out about a task."""

    task: str
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether all of it is as it should be."""
        return all(finding.ok for finding in self.findings)


_SHOWN = 200
"""How many characters of an error are repeated."""


@dataclass
class _Played:
    """A run and what was recorded of it."""

    result: RunResult
    frozen: SubmissionFrozen | None
    observed: str
    failed: str
    """The first error that its code raised, if any."""

    def words(self, ok: bool) -> str:
        """Return how it went; if that is not as it should be, also which run it was and what went wrong in it."""
        said = _words(self.result)
        if ok:
            return said
        return f"{said} (workbench runs show {self.result.run_id}{': ' if self.failed else ''}{self.failed})"


class _Check:
    """One task under examination."""

    def __init__(self, folder: TaskFolder, store: Store, sandbox: str) -> None:
        self.folder, self.store, self.sandbox = folder, store, sandbox
        self.found = TaskCheck(folder.task.id)

    def note(self, name: str, ok: bool, said: str) -> None:
        self.found.findings.append(Finding(name, ok, said))

    async def play(self, model: str | Scripted) -> _Played:
        frozen: list[SubmissionFrozen] = []
        observed: list[str] = []
        failed: list[str] = []

        def listen(event: Event) -> None:
            if isinstance(event, SubmissionFrozen):
                frozen.append(event)
            elif isinstance(event, Observed):
                observed.extend(output.text for output in event.observation.outputs)
                if (error := event.observation.error) is not None:
                    failed.append(f"{error.name}: {error.value[:_SHOWN]}")

        result = await runner.run_async(self.folder, model=model, sandbox=self.sandbox, store=self.store, on_event=listen)
        return _Played(result, frozen[0] if frozen else None, "\n".join(observed), failed[0] if failed else "")

    async def run(self) -> None:
        self.instructions()
        oracle = await self.oracle()
        nop = await self.fails("nop")
        if self.folder.task.recipe is not None:
            await self.baseline(oracle, nop)
        declared = self.folder.task.submission
        assert declared is not None
        program = declared.kind == "tree" or (declared.path or "").endswith(".py")
        for trick in ("cheat", *(f"cheat:{name}" for name in (*ALONE, *(OF_PROGRAMS if program else ())))):
            await self.fails(trick)
        for shortcut in self.folder.shortcuts():
            await self.fails(shortcut)
        await self.control()
        await self.gradings(oracle)
        await self.hidden()

    def instructions(self) -> None:
        """Each variant has an instruction, and each says what to submit."""
        declared = self.folder.task.submission
        assert declared is not None
        wanted = declared.path if declared.path is not None else "answer" if declared.kind in ("answer", "episode") else ""
        silent = [
            ", ".join(f"{axis}={value}" for axis, value in variant.items()) or "the instruction"
            for variant in self.folder.task.variants
            if wanted.casefold() not in self.folder.instruction(variant).casefold()
        ]
        said = f"{'; '.join(silent)}: {wanted!r} is not mentioned" if silent else f"{len(self.folder.task.variants)} of them"
        self.note("instructions", not silent, said)

    async def oracle(self) -> _Played:
        played = await self.play("oracle")
        result = played.result
        self.note("oracle", result.success is True, played.words(result.success is True))
        limits = self.folder.task.interaction
        said = f"{result.steps} of {limits.max_steps} steps, {result.seconds:.1f} of {limits.max_seconds:g} s"
        self.note("limits", result.limit is None, said)
        return played

    async def fails(self, model: str | Scripted) -> _Played:
        """A model that does not do the task is graded, and does not solve it."""
        played = await self.play(model)
        error = played.result.error
        ok = played.result.success is False and (error is None or error.kind == "limit")
        self.note(played.result.model, ok, played.words(ok))
        return played

    async def baseline(self, oracle: _Played, nop: _Played) -> None:
        played = await self.play("baseline")
        worst = -math.inf
        scores = [None if each.result.invalid else each.result.score for each in (nop, played, oracle)]
        values = [worst if score is None or score.value is None else score.value * self._sign for score in scores]
        ok = values[0] < values[1] < values[2] and not played.result.success
        said = f"{_words(nop.result)} < {played.words(ok)} < {_words(oracle.result)}"
        self.note("baseline", ok, said)

    @property
    def _sign(self) -> int:
        return 1 if self.folder.task.primary.direction == "max" else -1

    async def control(self) -> None:
        """The grader can grade a submission without any work in it, so that one that makes it fail is invalid."""
        environment, prepared = await self.measured()
        why = await grading.fails_control(self.folder, prepared, environment, walled=self.sandbox != "none")
        self.note("control", why is None, why or "graded")

    async def gradings(self, oracle: _Played) -> None:
        """The same submission is graded alike each time."""
        if oracle.frozen is None or oracle.result.error is not None:
            self.note("same grade", False, "nothing was handed in by the oracle")
            return
        verdicts = [{metric.metric: metric.value for metric in oracle.result.metrics}]
        async with self.thawed(oracle.frozen) as grade:
            verdicts += [{metric.metric: metric.value for metric in await grade()} for _ in range(GRADINGS - 1)]
        # how far a judge agrees with itself is on the record, and is no fault of the task
        programs = [metric for metric in self.folder.task.metrics if metric.by == "program"]
        other = [metric.name for metric in programs if not alike(metric, [verdict[metric.name] for verdict in verdicts])]
        said = "; ".join(f"{name}: {', '.join(str(verdict[name]) for verdict in verdicts)}" for name in other)
        self.note("same grade", not other, said or f"{GRADINGS} gradings")

    async def ready(self) -> tuple[Environment, Prepared]:
        """Return the task as it is prepared on this machine."""
        environment = await blocking.call(staging.environment_of, self.folder)
        return environment, await staging.prepare(self.folder, environment, walled=self.sandbox != "none")

    async def measured(self) -> tuple[Environment, Prepared]:
        """Return the same with the scores of the untouched workspace."""
        environment, prepared = await self.ready()
        return environment, await grading.measure(self.folder, prepared, environment, walled=self.sandbox != "none")

    @asynccontextmanager
    async def thawed(self, frozen: SubmissionFrozen) -> AsyncIterator[Callable[[], Any]]:
        """Yield a function that grades a submission of the record again."""
        folder, declared, walled = self.folder, self.folder.task.submission, self.sandbox != "none"
        assert declared is not None
        environment, prepared = await self.measured()
        judge = resolve_judge(None)
        scratch = runtime.folder(f"t-{secrets.token_hex(4)}")
        try:
            archive = await asyncio.to_thread(self.store.artifact, frozen.artifact) if frozen.artifact else None
            again = await asyncio.to_thread(submission.thaw, archive, prepared.workspace, declared, frozen.deleted, scratch)

            async def grade() -> list[MetricValue]:
                return (await grading.grade(folder, prepared, again, environment, judge=judge, walled=walled)).metrics

            yield grade
        finally:
            await asyncio.to_thread(runtime.remove, scratch)

    async def hidden(self) -> None:
        """No hidden file is found by its content, neither in the agent's kernel nor where submitted code runs."""
        environment, prepared = await self.ready()
        shown = await asyncio.to_thread(_digests, prepared.workspace)
        hidden = await asyncio.to_thread(_digests, prepared.hidden)
        # a grader may well have the program that the agent starts from; data of both are a leak
        wanted = {digest: path for digest, path in hidden.items() if not (path.suffix == ".py" and digest in shown)}
        for name in self.folder.task.environment.hide:
            wanted |= await asyncio.to_thread(_data, environment.site_packages / name)
        for part in ("solution", "shortcuts"):
            if (self.folder.root / part).is_dir():
                wanted |= await asyncio.to_thread(_digests, self.folder.root / part)
        marker = secrets.token_hex(8)
        # a file that the search makes itself and must find, or it has proved nothing
        control = hashlib.sha256(marker.encode()).hexdigest()
        sizes = sorted({len(marker), *(path.stat().st_size for path in wanted.values())})
        search = f"SYSTEM = {_SYSTEM!r}\nDIGESTS, SIZES, MARKER = {sorted({control, *wanted})!r}, {sizes!r}, {marker!r}\n{_FIND}"
        played = await self.play(Scripted("find", [search]))
        self.note_search("hidden", played.observed, wanted, marker, control)
        if grading.runs_apart(walled=self.sandbox != "none"):
            printed = await self.submitted(search, environment, prepared)
            self.note_search("hidden from submissions", printed, wanted, marker, control)

    async def submitted(self, code: str, environment: Environment, prepared: Prepared) -> str:
        """Run code in the way a grader of this task runs submitted code; return what it printed."""
        task = self.folder.task
        sandboxes = Sandboxes(environment, staging.limits_of(task, environment), task.environment.hide)
        try:
            await asyncio.to_thread(copy_tree, prepared.workspace, sandboxes.lent.host / "0")
            await sandboxes.answer({"start": "0", "at": "/grading/submission", "code": code})
            ended = await sandboxes.answer({"end": "0", "seconds": _SEARCH_SECONDS})
            return f"{ended['stdout']}\n{ended['stderr']}"
        finally:
            await sandboxes.close()

    def note_search(self, name: str, printed: str, wanted: dict[str, Path], marker: str, control: str) -> None:
        """Note what a search has found."""
        line = next((line for line in printed.splitlines() if line.startswith(marker)), None)
        if line is None:
            self.note(name, False, f"the search did not end: {printed[-200:]}")
            return
        said = json.loads(line.removeprefix(marker))
        found = [f"{wanted[digest].name} is at {path}" for digest, path in said["found"] if digest != control]
        if all(digest != control for digest, _ in said["found"]):
            found.append("the search did not even find a file of its own")
        self.note(name, not found, "; ".join(found) or f"none of {len(wanted)} files in {said['looked_at']} folders")


async def check(folder: TaskFolder, *, store: Store, sandbox: str = "local") -> TaskCheck:
    """Prove a task: play the oracle, nop, baseline and every trick at it, and look at how it is graded.

    Parameters
    ----------
    folder : TaskFolder
        The task.
    store : Store
        Where the runs are recorded.
    sandbox : str
        As for :func:`workbench.run`.

    Returns
    -------
    TaskCheck
        What was found; an error of any kind is a finding too.
    """
    started = time.monotonic()
    checking = _Check(folder, store, sandbox)
    try:
        if folder.task.submission is None:
            checking.note("submission", False, "nothing is handed in, so nothing can be graded")
        else:
            await checking.run()
    except Exception as error:
        # a task that cannot be checked is one that failed
        checking.note("error", False, str(classify(error)))
    checking.found.seconds = time.monotonic() - started
    return checking.found


async def check_all(
    folders: Sequence[TaskFolder],
    *,
    store: Store,
    sandbox: str = "local",
    jobs: int = 2,
    on_check: Callable[[TaskCheck], None] | None = None,
) -> list[TaskCheck]:
    """Check several tasks, ``jobs`` at once; ``on_check`` is called with each as it is done."""
    gate, listener = asyncio.Semaphore(jobs), None if on_check is None else Listener(on_check)

    async def one(folder: TaskFolder) -> TaskCheck:
        async with gate:
            found = await check(folder, store=store, sandbox=sandbox)
        if listener is not None:
            listener(found)
        return found

    # unlike gather, a cancelled group waits until each run has been recorded
    async with asyncio.TaskGroup() as group:
        checking = [group.create_task(one(folder)) for folder in folders]
    return [each.result() for each in checking]


def alike(metric: Metric, values: list[float | None]) -> bool:
    """Say whether several gradings gave the same, but for the noise that a metric admits.

    Examples
    --------
    >>> alike(Metric(name="seconds", noise=0.1), [1.0, 1.05]), alike(Metric(name="rmse"), [1.0, 1.05])
    (True, False)
    """
    first, *rest = values
    if first is None:
        return all(value is None for value in rest)
    return all(value is not None and math.isclose(first, value, rel_tol=metric.noise, abs_tol=0.0) for value in rest)


def _digests(root: Path) -> dict[str, Path]:
    paths = (root.joinpath(*folder.parts, entry.name) for folder in trees.walk(root) for entry in folder.entries)
    files = (path for path in paths if path.is_file() and not path.is_symlink() and path.stat().st_size >= _SMALLEST)
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in files}


def _data(root: Path) -> dict[str, Path]:
    """Return the data files of a folder that a task hides; programs and licences may exist elsewhere too."""
    return {digest: path for digest, path in _digests(root).items() if not path.suffix.startswith(".py") and path.stem.upper() != "LICENSE"}


def _words(result: RunResult) -> str:
    if result.error is not None:
        return f"{result.status}: {result.error.kind}: {result.error.message}"
    if result.invalid:
        return f"invalid: {result.invalid[:200]}"
    score = result.score
    return "no value" if score is None or score.value is None else f"{score.metric} = {score.value:.4g}"
