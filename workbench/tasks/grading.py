"""Grading: a fresh sandbox, a frozen submission, and a verdict on a channel that printing cannot reach.

A grader is a function ``grade(submission: Path, hidden: Path) -> dict`` in the task's hidden folder. ``submission``
holds the submitted files at their workspace-relative paths. The result is
``{"metrics": {name: number, ...}, "invalid": None or a reason, "details": {...}}``. A grader that must run submitted
code does so with ``workbench_grading.run_submitted``, which confines it further. One that asks a judge does so on the
same channel, before its verdict.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from filelock import AsyncFileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError

from workbench.errors import GraderError, SandboxError
from workbench.events import MetricValue, Scored
from workbench.kernels import runtime, walls
from workbench.kernels.environments import Environment
from workbench.kernels.process import WalledProcess
from workbench.kernels.view import INSIDE, Mount, View
from workbench.models.base import Model
from workbench.tasks import submission
from workbench.tasks.folder import TaskFolder
from workbench.tasks.judging import Judge
from workbench.tasks.metrics import Metric
from workbench.tasks.staging import Prepared, limits_of
from workbench.tasks.submission import Frozen

_MOST_DETAILS = 64 * 1024
_MOST_REASON = 4000
_ASKS = b'{"ask":'
"""How a line begins that is a question to the judge."""


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
        What was handed in.
    environment : Environment
        Where the grader runs.
    judge : callable, optional
        Makes who answers what the grader asks. Without one, metrics that a judge gives have no value.
    walled : bool
        False only under sandbox ``none``.

    Raises
    ------
    GraderError
        If the grader crashes, takes too long or answers nonsense. That is never a score.
    """
    started = time.monotonic()
    asked = Judge(judge()) if judge is not None else None
    answer = await _ask(folder, prepared, frozen, environment, asked, walled)
    report = answer.report
    metrics = [score(metric, report, prepared.baselines, judged=asked is not None) for metric in folder.task.metrics]
    success = next(metric.success for metric in metrics if metric.primary)
    assert success is not None, "a primary metric has a success rule"
    return Scored(
        metrics=metrics,
        success=success,
        invalid=report.invalid,
        grader_hash=prepared.grader_hash,
        details=report.details,
        judgements=asked.read(answer.scores) if asked is not None else [],
        seconds=time.monotonic() - started,
    )


async def measure(folder: TaskFolder, prepared: Prepared, environment: Environment, *, walled: bool = True) -> Prepared:
    """Return ``prepared`` with what the untouched workspace scores, where the task wants that to be measured; once a machine.

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
                await asyncio.to_thread(shutil.rmtree, scratch, True)
            made = kept.with_suffix(".new")
            made.write_text(json.dumps({} if report.invalid else {metric.name: report.metrics.get(metric.name) for metric in wanted}))
            made.rename(kept)
    return replace(prepared, baselines=json.loads(kept.read_text()))


def score(metric: Metric, report: Report, measured: Mapping[str, float] = MappingProxyType({}), *, judged: bool = True) -> MetricValue:
    """Return one metric of a report by the task's own rules, with the baselines that were measured here.

    Where there is no judge (``judged`` is False), a metric that one gives has no value.

    Raises
    ------
    GraderError
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
        raise GraderError(
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
    scratch = runtime.folder(f"g-{secrets.token_hex(4)}")
    walls.let_read(frozen.root)
    try:
        shown = {"hidden": prepared.hidden, "submission": frozen.root, "untouched": prepared.workspace}
        mounts = [Mount(folder, f"/grading/{name}") for name, folder in shown.items()]
        rooms = [Mount(scratch / f"room-{number}", path, writable=True) for number, path in enumerate(task.grader.folders)]
        for room in rooms:
            room.host.mkdir()
        view = View(environment, [*mounts, *rooms])
        how = json.dumps({**task.grader.model_dump(include={"kind", "entry", "options"}), "judge": judge is not None})
        arguments = [*(mount.inside for mount in mounts), how]
        enclosure = await asyncio.to_thread(walls.enclose, INSIDE / "grade.py", arguments, view, limits, scratch, walled=walled)
        if enclosure.uid is not None:
            for room in rooms:
                os.chown(room.host, enclosure.uid, enclosure.uid)
        process = WalledProcess(enclosure, limits, watched=[room.host for room in rooms], listens=judge is not None)
        try:
            await process.start()
            line = await _listen(process, task.grader.timeout, judge)
        except TimeoutError:
            raise GraderError(f"the grader of {task.id} took longer than {task.grader.timeout:g} s") from None
        except ValueError:
            raise GraderError(f"the grader of {task.id} answered more than can be read") from None
        except SandboxError as error:
            raise GraderError(f"the grader's sandbox: {error.message}", hint=error.hint) from None
        finally:
            await process.kill()
        return _parse(task.id, line, process)
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, True)


async def _listen(process: WalledProcess, seconds: float, judge: Judge | None) -> bytes:
    """Return the grader's last line; until then the judge answers what it asks, in time that is not the grader's."""
    left = seconds
    while True:
        began = time.monotonic()
        async with asyncio.timeout(left):
            line = await process.stdout.readline()
        left -= time.monotonic() - began
        if judge is None or not line.startswith(_ASKS):
            return line
        reply = await judge.answer(json.loads(line)["ask"])
        # a grader that has died meanwhile has no last line, which says so
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps({"reply": reply}).encode() + b"\n")
            await process.stdin.drain()


def _parse(task: str, line: bytes, process: WalledProcess) -> _Answer:
    if not line:
        raise GraderError(f"the grader of {task} died: {process.why_dead()}")
    try:
        said = json.loads(line)
    except ValueError:
        raise GraderError(f"the grader of {task} died in the middle of its answer: {process.why_dead()}") from None
    if "error" in said:
        raise GraderError(f"the grader of {task} failed: {said['error'].strip().splitlines()[-1][:1000]}", hint=said["error"][-1500:])
    try:
        answer = _Answer.model_validate(said)
    except ValidationError as error:
        raise GraderError(f"the grader of {task} answered nonsense: {str(error)[:1000]}") from None
    report = answer.report
    if report.invalid is not None:
        report.invalid = report.invalid[:_MOST_REASON]
    if len(json.dumps(report.details)) > _MOST_DETAILS:
        report.details = {"left_out": "details of more than 64 KiB"}
    try:
        report.model_dump_json()
    except PydanticSerializationError as error:
        # nested too deeply for any reader, or half a surrogate pair
        report.details = {"left_out": f"details that cannot be written down: {error}"}
    return answer
