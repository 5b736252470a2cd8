"""Grading: a fresh sandbox, a frozen submission, and a verdict on a channel that printing cannot reach.

A grader is a function ``grade(submission: Path, hidden: Path) -> dict`` in the task's hidden folder. ``submission``
holds the submitted files at their workspace-relative paths. The result is
``{"metrics": {name: number, ...}, "invalid": None or a reason, "details": {...}}``. A grader that must run submitted
code does so with ``workbench_grading.run_submitted``, which has the host make a sandbox for it. Requests for that, and
for a judge's replies, are sent on the same channel, before the verdict.

A submission can make its grading fail. So a grading that fails is repeated, and if it fails again, a control is graded:
if the grader can grade the control, the submission is invalid.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from filelock import AsyncFileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError

from workbench.errors import GraderError, SandboxError
from workbench.events import Judgement, MetricValue, Scored
from workbench.kernels import runtime, walls
from workbench.kernels.environments import Environment
from workbench.kernels.process import WalledProcess, counts_cpu
from workbench.kernels.view import INSIDE, Mount, View
from workbench.models.base import Model
from workbench.tasks import submission
from workbench.tasks.folder import TaskFolder
from workbench.tasks.judging import Judge, Refused
from workbench.tasks.metrics import Metric
from workbench.tasks.sandboxes import INSIDE_GRADER, Sandboxes
from workbench.tasks.staging import Prepared, limits_of
from workbench.tasks.submission import Frozen
from workbench.text import storable

_MOST_DETAILS = 64 * 1024
_MOST_REASON = 4000
_ASKS = ("ask", "start", "tell", "end")
"""The keys of lines that request something from the host: a judge's reply, or a sandbox."""


class Ungraded(GraderError):
    """The grading process crashed, timed out or returned an invalid result; the submission may have caused that."""


class Report(BaseModel):
    """What a grader returns."""

    model_config = ConfigDict(extra="forbid")

    metrics: dict[str, float] = Field(default_factory=dict)
    invalid: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)


class _Answer(BaseModel):
    """A grader's last line: its report, and what it has read from each reply of the judge."""

    report: Report
    scores: list[dict[str, float] | None] = Field(default_factory=list)


@dataclass
class _Grading:
    """Successive gradings of one task with one judge."""

    folder: TaskFolder
    prepared: Prepared
    environment: Environment
    judge: Callable[[], Model] | None
    walled: bool

    def __post_init__(self) -> None:
        self.judgements: list[Judgement] = []
        """Every reply of the judge so far."""

    async def verdict(self, frozen: Frozen) -> tuple[Report, list[MetricValue]]:
        """Grade a submission once.

        Raises
        ------
        Ungraded
            If the grading process fails.
        GraderError
            If this machine or the judge fails.
        """
        judge = Judge(self.judge()) if self.judge is not None else None
        scores: list[dict[str, float] | None] = []
        try:
            answer = await _ask(self.folder, self.prepared, frozen, self.environment, judge, self.walled)
            scores = answer.scores
        finally:
            if judge is not None:
                self.judgements += judge.read(scores)
        metrics = self.folder.task.metrics
        return answer.report, [score(metric, answer.report, self.prepared.baselines, judged=judge is not None) for metric in metrics]

    async def fails_control(self, *, judged: bool) -> str | None:
        """Return why the grader cannot grade a control submission, or None; with ``judged``, the judge must have replied."""
        before = len(self.judgements)
        declared = self.folder.task.submission
        assert declared is not None
        scratch = runtime.folder(f"c-{secrets.token_hex(4)}")
        try:
            await self.verdict(await asyncio.to_thread(submission.control, declared, self.prepared.workspace, scratch))
        except GraderError as error:
            return error.message
        finally:
            await asyncio.to_thread(runtime.remove, scratch)
        return "the judge was not asked about it" if judged and len(self.judgements) == before else None


async def grade(
    folder: TaskFolder,
    prepared: Prepared,
    frozen: Frozen,
    environment: Environment,
    *,
    judge: Callable[[], Model] | None = None,
    walled: bool = True,
) -> Scored:
    """Return the verdict on ``frozen``.

    Parameters
    ----------
    folder, prepared
        The task.
    frozen : Frozen
        The submission.
    environment : Environment
        Where the grader runs.
    judge : callable, optional
        Makes the model that answers the grader's questions. Without one, metrics that a judge gives have no value.
    walled : bool
        False only under sandbox ``none``.

    Raises
    ------
    GraderError
        If the grader crashes, exceeds its timeout or returns an invalid result, for an untouched submission too; or if
        this machine or the judge fails. That never counts as a score.
    """
    started = time.monotonic()
    grading = _Grading(folder, prepared, environment, judge, walled)
    verdicts: list[tuple[Report, list[MetricValue]]] = []
    failures: list[Ungraded | Refused] = []
    # after a failed grading there are two more, and the worse counts: making a grading fail gives no second chance
    while len(failures) < 2 and len(verdicts) <= len(failures):
        try:
            verdicts.append(await grading.verdict(frozen))
        except (Ungraded, Refused) as error:
            failures.append(error)
    if len(failures) < 2:
        report, metrics = min(verdicts, key=lambda verdict: _rank(folder.task.primary, verdict[1]))
    elif await grading.fails_control(judged=bool(grading.judgements) or isinstance(failures[-1], Refused)) is None:
        reason = f"it makes the grader fail, which grades an untouched submission: {failures[-1].message}"
        report = Report(invalid=reason[:_MOST_REASON])
        metrics = [score(metric, report) for metric in folder.task.metrics]
    else:
        raise failures[-1]
    if failures:
        report.details["failed_gradings"] = [failure.message for failure in failures]
    success = next(metric.success for metric in metrics if metric.primary)
    assert success is not None, "a primary metric has a success rule"
    return Scored(
        metrics=metrics,
        success=success,
        invalid=report.invalid,
        grader_hash=prepared.grader_hash,
        details=report.details,
        judgements=grading.judgements,
        seconds=time.monotonic() - started,
    )


async def fails_control(folder: TaskFolder, prepared: Prepared, environment: Environment, *, walled: bool = True) -> str | None:
    """Return why the grader cannot grade a submission without any work in it, or None if it can.

    If it cannot, a submission that makes it fail is not counted instead of being invalid.
    """
    return await _Grading(folder, prepared, environment, None, walled).fails_control(judged=False)


def _rank(primary: Metric, metrics: list[MetricValue]) -> tuple[bool, float]:
    """Return a key that sorts the worse of two verdicts first."""
    found = next(metric for metric in metrics if metric.primary)
    value = -math.inf if found.value is None else found.value * (1 if primary.direction == "max" else -1)
    return bool(found.success), value


def runs_apart(*, walled: bool) -> bool:
    """Say whether submitted code gets its own sandboxes; otherwise it is confined inside the grader's, if possible."""
    return walled and walls.protection().kind == "bubblewrap"


async def measure(folder: TaskFolder, prepared: Prepared, environment: Environment, *, walled: bool = True) -> Prepared:
    """Return ``prepared`` with the scores of the untouched workspace, if the task wants those; once per machine.

    Raises
    ------
    GraderError
        If the grader does not grade it.
    """
    wanted = [metric for metric in folder.task.metrics if metric.baseline is not None and metric.baseline.measure]
    declared = folder.task.submission
    if not wanted or declared is None:
        return prepared
    kept = prepared.hidden.with_name("baselines.json")
    async with AsyncFileLock(f"{kept}.lock", run_in_executor=False):
        if not kept.exists():
            scratch = runtime.folder(f"b-{secrets.token_hex(4)}")
            try:
                frozen = await asyncio.to_thread(submission.freeze, declared, prepared.workspace, None, scratch, prepared.workspace)
                report = (await _ask(folder, prepared, frozen, environment, None, walled)).report
            finally:
                await asyncio.to_thread(runtime.remove, scratch)
            made = kept.with_suffix(".new")
            made.write_text(json.dumps({} if report.invalid else {metric.name: report.metrics.get(metric.name) for metric in wanted}))
            made.rename(kept)
    return replace(prepared, baselines=json.loads(kept.read_text()))


def score(metric: Metric, report: Report, measured: Mapping[str, float] = MappingProxyType({}), *, judged: bool = True) -> MetricValue:
    """Return one metric of a report by the task's own rules, with the baselines that were measured here.

    If there is no judge (``judged`` is False), a metric that a judge gives has no value.

    Raises
    ------
    Ungraded
        If the report lacks the metric or its value is out of range.
    """
    if report.invalid is not None:
        worst = metric.invalid if metric.invalid is not None and math.isfinite(metric.invalid) else None
        return MetricValue(
            metric=metric.name, primary=metric.primary, value=worst, normalised=None, success=False if metric.success else None
        )
    value = report.metrics.get(metric.name)
    if value is None and metric.by == "judge" and not judged:
        return MetricValue(metric=metric.name, primary=metric.primary, value=None, normalised=None, success=None)
    low, high = metric.range
    if value is None or not math.isfinite(value) or not low <= value <= high:
        raise Ungraded(
            f"the grader gave {metric.name} = {value}, not a number from {low} to {high}", hint="the task's grader is at fault, not the run"
        )
    return MetricValue(
        metric=metric.name,
        primary=metric.primary,
        value=value,
        normalised=metric.normalised(value, measured),
        success=metric.succeeds(value, measured),
    )


async def _ask(
    folder: TaskFolder, prepared: Prepared, frozen: Frozen, environment: Environment, judge: Judge | None, walled: bool
) -> _Answer:
    if frozen.invalid:
        return _Answer(report=Report(invalid=frozen.invalid))
    task = folder.task
    limits = limits_of(task, environment)
    hide = task.environment.hide
    walls.let_read(frozen.root)
    scratch = runtime.folder(f"g-{secrets.token_hex(4)}")
    sandboxes = Sandboxes(environment, limits, hide)
    try:
        shown = {"hidden": prepared.hidden, "submission": frozen.root, "untouched": prepared.workspace}
        mounts = [Mount(folder, f"/grading/{name}") for name, folder in shown.items()]
        rooms = [Mount(scratch / f"room-{number}", path, writable=True) for number, path in enumerate(task.grader.folders)]
        for room in rooms:
            room.host.mkdir()
        rooms.append(sandboxes.lent)
        view = View(environment, [*mounts, *rooms], hide=hide)
        host = {"judges": judge is not None, "sandboxes": INSIDE_GRADER if runs_apart(walled=walled) else "", "counts": counts_cpu()}
        declared = task.submission
        parsed = declared.path if declared is not None and declared.kind == "json" else None
        how = json.dumps({**task.grader.model_dump(include={"kind", "entry", "options"}), "json": parsed, "host": host})
        arguments = [*(mount.inside for mount in mounts), how]
        enclosure = await asyncio.to_thread(walls.enclose, INSIDE / "grade.py", arguments, view, limits, scratch, walled=walled)
        if enclosure.uid is not None:
            for room in rooms:
                os.chown(room.host, enclosure.uid, enclosure.uid)
        process = WalledProcess(enclosure, limits, watched=[room.host for room in rooms], listens=True)
        try:
            await process.start()
            said = await _listen(process, task.grader.timeout, judge, sandboxes)
        except TimeoutError:
            raise Ungraded(f"the grader of {task.id} took longer than {task.grader.timeout:g} s") from None
        except SandboxError as error:
            raise GraderError(f"the grader's sandbox: {error.message}", hint=error.hint) from None
        except _Nonsense as error:
            raise Ungraded(f"the grader of {task.id} {error}") from None
        finally:
            await process.kill()
        if said is None:
            raise Ungraded(f"the grader of {task.id} died: {process.why_dead()}")
        return _parse(task.id, said)
    finally:
        await sandboxes.close()
        await asyncio.to_thread(runtime.remove, scratch)


class _Nonsense(Exception):
    """An invalid line from a grader."""


async def _listen(process: WalledProcess, seconds: float, judge: Judge | None, sandboxes: Sandboxes) -> dict[str, Any] | None:
    """Return the grader's last line, or None if it dies first; until then fulfil its requests.

    The judge's time does not count against the grader's timeout; that of submitted code does.
    """
    left = seconds
    while True:
        began = time.monotonic()
        async with asyncio.timeout(left):
            said = _read(await _line(process))
            asks = said is not None and next(iter(said), None) in _ASKS
            if said is None or not asks:
                return said
            answer = {} if "ask" in said else await sandboxes.answer(said)
        left -= time.monotonic() - began
        if "ask" in said:
            if judge is None:
                raise _Nonsense("asked for a judge's reply, where there is no judge")
            answer = {"reply": await judge.answer(said["ask"])}
        # if the grader has died meanwhile, reading its next line will show that
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps(answer).encode() + b"\n")
            await process.stdin.drain()


async def _line(process: WalledProcess) -> bytes:
    try:
        return await process.stdout.readline()
    except ValueError:
        raise _Nonsense("answered more than can be read") from None


def _read(line: bytes) -> dict[str, Any] | None:
    if not line:
        return None
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        raise _Nonsense("ended in the middle of its answer, or answered nonsense") from None
    if not isinstance(said, dict):
        raise _Nonsense(f"answered nonsense: {str(said)[:300]}")
    return said


def _parse(task: str, said: dict[str, Any]) -> _Answer:
    if "error" in said:
        error = storable(str(said["error"])).strip()
        # a shortage on this machine is not the submission's fault
        kind = GraderError if said.get("here") else Ungraded
        raise kind(f"the grader of {task} failed: {(error.splitlines() or ['no reason'])[-1][:1000]}", hint=error[-1500:])
    try:
        answer = _Answer.model_validate(said)
    except ValidationError as error:
        raise Ungraded(f"the grader of {task} answered nonsense: {str(error)[:1000]}") from None
    report = answer.report
    if report.invalid is not None:
        report.invalid = storable(report.invalid[:_MOST_REASON])
    try:
        report.model_dump_json()
        if len(json.dumps(report.details)) > _MOST_DETAILS:
            report.details = {"left_out": "details of more than 64 KiB"}
    except (PydanticSerializationError, RecursionError) as error:
        # nested too deeply for any reader, or half a surrogate pair
        report.details = {"left_out": f"details that cannot be written down: {error}"}
    return answer
