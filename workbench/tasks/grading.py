"""Grading: a fresh sandbox, a frozen submission, and a verdict on a channel that printing cannot reach.

A grader is a function ``grade(submission: Path, hidden: Path) -> dict`` in the task's hidden folder. ``submission``
holds the submitted files at their workspace-relative paths. The result is
``{"metrics": {name: number, ...}, "invalid": None or a reason, "details": {...}}``. A grader that must run submitted
code does so with ``workbench_grading.run_submitted``, which confines it further.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import shutil
import time
from collections.abc import Mapping
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
from workbench.tasks import submission
from workbench.tasks.folder import TaskFolder
from workbench.tasks.metrics import Metric
from workbench.tasks.staging import Prepared, limits_of
from workbench.tasks.submission import Frozen

_MOST_DETAILS = 64 * 1024
_MOST_REASON = 4000


class Report(BaseModel):
    """What a grader returns."""

    model_config = ConfigDict(extra="forbid")

    metrics: dict[str, float] = Field(default_factory=dict)
    invalid: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)


async def grade(folder: TaskFolder, prepared: Prepared, frozen: Frozen, environment: Environment, *, walled: bool = True) -> Scored:
    """Return the verdict on ``frozen``; ``walled`` is False only under sandbox ``none``.

    Raises
    ------
    GraderError
        If the grader crashes, takes too long or answers nonsense. That is never a score.
    """
    started = time.monotonic()
    report = Report(invalid=frozen.invalid) if frozen.invalid else await _ask(folder, prepared, frozen, environment, walled)
    metrics = [score(metric, report, prepared.baselines) for metric in folder.task.metrics]
    success = next(metric.success for metric in metrics if metric.primary)
    assert success is not None, "a primary metric has a success rule"
    return Scored(
        metrics=metrics,
        success=success,
        invalid=report.invalid,
        grader_hash=prepared.grader_hash,
        details=report.details,
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
                report = Report(invalid=frozen.invalid) if frozen.invalid else await _ask(folder, prepared, frozen, environment, walled)
            finally:
                await asyncio.to_thread(shutil.rmtree, scratch, True)
            made = kept.with_suffix(".new")
            made.write_text(json.dumps({} if report.invalid else {metric.name: report.metrics.get(metric.name) for metric in wanted}))
            made.rename(kept)
    return replace(prepared, baselines=json.loads(kept.read_text()))


def score(metric: Metric, report: Report, measured: Mapping[str, float] = MappingProxyType({})) -> MetricValue:
    """Return one metric of a report by the task's own rules, with the baselines that were measured here.

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


async def _ask(folder: TaskFolder, prepared: Prepared, frozen: Frozen, environment: Environment, walled: bool) -> Report:
    task = folder.task
    limits = limits_of(task, environment)
    scratch = runtime.folder(f"g-{secrets.token_hex(4)}")
    walls.let_read(frozen.root)
    try:
        mounts = [Mount(prepared.hidden, "/grading/hidden"), Mount(frozen.root, "/grading/submission")]
        view = View(environment, mounts)
        how = task.grader.model_dump_json(include={"kind", "entry", "options"})
        arguments = ["/grading/hidden", "/grading/submission", how]
        enclosure = await asyncio.to_thread(walls.enclose, INSIDE / "grade.py", arguments, view, limits, scratch, walled=walled)
        process = WalledProcess(enclosure, limits)
        try:
            await process.start()
            async with asyncio.timeout(task.grader.timeout):
                line = await process.stdout.readline()
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


def _parse(task: str, line: bytes, process: WalledProcess) -> Report:
    if not line:
        raise GraderError(f"the grader of {task} died: {process.why_dead()}")
    try:
        answer = json.loads(line)
    except ValueError:
        raise GraderError(f"the grader of {task} died in the middle of its answer: {process.why_dead()}") from None
    if "error" in answer:
        raise GraderError(f"the grader of {task} failed: {answer['error'].strip().splitlines()[-1][:1000]}", hint=answer["error"][-1500:])
    try:
        report = Report.model_validate(answer["report"])
    except ValidationError as error:
        raise GraderError(f"the grader of {task} answered nonsense: {str(error)[:1000]}") from None
    if report.invalid is not None:
        report.invalid = report.invalid[:_MOST_REASON]
    if len(json.dumps(report.details)) > _MOST_DETAILS:
        report.details = {"left_out": "details of more than 64 KiB"}
    try:
        report.model_dump_json()
    except PydanticSerializationError as error:
        # nested too deeply for any reader, or half a surrogate pair
        report.details = {"left_out": f"details that cannot be written down: {error}"}
    return report
