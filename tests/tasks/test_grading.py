"""Grading: a verdict that only the grader can give, and a grader at fault is never a zero."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tasks.conftest import ENVIRONMENT, METRIC, SUBMISSION, MakeTask
from workbench.errors import GraderError, SandboxError, classify
from workbench.events import Scored
from workbench.kernels import runtime, walls
from workbench.kernels.environments import Environment
from workbench.kernels.process import WalledProcess, counts_cpu
from workbench.tasks import grading
from workbench.tasks.grading import Report, grade, score
from workbench.tasks.metrics import Metric
from workbench.tasks.staging import Prepared
from workbench.tasks.submission import Frozen

Verdict = Callable[..., Awaitable[Scored]]
Run = Callable[..., Awaitable[dict[str, Any]]]

REPORT = '{"report": {"metrics": {"m": 1.0}, "invalid": null, "details": {}}}'
SAYS = "def grade(submission, hidden):\n    return {}\n"


@pytest.fixture
def verdict(make_task: MakeTask, minimal: Environment, tmp_path: Path) -> Verdict:
    """Grade with a grader's source, on the files that were handed in."""

    async def give(
        grader: str,
        *,
        submitted: dict[str, str] | None = None,
        more: str = "",
        metric: str = METRIC,
        environment: str = ENVIRONMENT,
        submission: str = SUBMISSION,
    ) -> Scored:
        files: dict[str, str | bytes] = {"hidden/grader.py": grader, "hidden/secret.txt": "the answer"}
        folder = make_task(more, metric=metric, environment=environment, submission=submission, files=files)
        frozen = Frozen(tmp_path / "frozen")
        for name, text in (submitted or {"answer.txt": "42"}).items():
            path = frozen.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        before = set(runtime.mine().iterdir())
        try:
            return await grade(folder, Prepared(tmp_path, folder.hidden, "hash"), frozen, minimal)
        finally:
            assert set(runtime.mine().iterdir()) == before

    return give


def metrics(**more: Any) -> str:
    return SAYS.format({"metrics": {"m": 0.0}, "invalid": None, "details": {}, **more})


class TestScore:
    def metric(self, **more: Any) -> Metric:
        return Metric.model_validate({"name": "m", "primary": True, "range": [0, 1], "success": {"rule": "ge", "value": 0.5}, **more})

    @given(value=st.floats(0, 1))
    def test_judges_by_the_tasks_rule(self, value: float) -> None:
        found = score(self.metric(), Report(metrics={"m": value, "other": 7}))
        assert (found.value, found.normalised, found.success, found.primary) == (value, value, value >= 0.5, True)

    @given(value=st.floats().filter(lambda value: not 0 <= value <= 1))
    def test_out_of_range_is_the_graders_fault(self, value: float) -> None:
        with pytest.raises(GraderError, match="not a number from"):
            score(self.metric(), Report(metrics={"m": value}))

    @pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
    def test_that_is_no_number_is_the_graders_fault_in_any_range(self, value: float) -> None:
        with pytest.raises(GraderError):
            score(self.metric(range=[-math.inf, math.inf]), Report(metrics={"m": value}))

    def test_that_is_missing_is_the_graders_fault(self) -> None:
        with pytest.raises(GraderError, match="m = None") as caught:
            score(self.metric(), Report(metrics={"n": 1.0}))
        assert caught.value.hint == "the task's grader is at fault, not the run"

    @pytest.mark.parametrize(("invalid", "value"), [(0, 0.0), (-5, -5.0), (math.inf, None), (None, None)])
    def test_of_an_invalid_submission_is_what_the_task_says(self, invalid: float | None, value: float | None) -> None:
        found = score(self.metric(invalid=invalid), Report(metrics={"m": 1.0}, invalid="empty"))
        assert (found.value, found.normalised, found.success) == (value, None, False)

    def test_without_a_rule_succeeds_nor_fails(self) -> None:
        assert score(self.metric(success=None), Report(metrics={"m": 1.0})).success is None
        assert score(self.metric(success=None), Report(invalid="empty")).success is None


async def test_an_invalid_submission_needs_no_grader(make_task: MakeTask, tmp_path: Path) -> None:
    folder = make_task(files={"hidden/grader.py": "raise SystemExit"})
    frozen = Frozen(tmp_path, invalid="answer.txt does not exist")
    found = await grade(folder, Prepared(tmp_path, folder.hidden, "hash"), frozen, None)  # type: ignore[arg-type]
    assert (found.success, found.invalid, found.metrics[0].value) == (False, "answer.txt does not exist", 0)


@pytest.mark.walls
class TestVerdict:
    @pytest.mark.parametrize(("answer", "solved"), [("42", True), ("41", False)])
    async def test_is_the_graders(self, verdict: Verdict, answer: str, solved: bool) -> None:
        grader = """
def grade(submission, hidden):
    assert (hidden / "secret.txt").read_text() == "the answer"
    right = (submission / "answer.txt").read_text() == "42"
    return {"metrics": {"m": float(right)}, "invalid": None, "details": {"given": (submission / "answer.txt").read_text()}}
"""
        found = await verdict(grader, submitted={"answer.txt": answer})
        assert (found.success, found.metrics[0].value, found.details) == (solved, float(solved), {"given": answer})
        assert (found.grader_hash, found.invalid) == ("hash", None)

    async def test_may_be_that_nothing_could_be_graded(self, verdict: Verdict) -> None:
        found = await verdict(metrics(metrics={}, invalid="not CSV \udcff", details={"kept": True}))
        assert (found.success, found.invalid, found.metrics[0].value) == (False, "not CSV ?", 0)
        assert found.details == {"kept": True}

    async def test_may_come_from_another_entry(self, verdict: Verdict) -> None:
        found = await verdict("def other(submission, hidden): return {'metrics': {'m': 1}}", more="[grader]\nentry = 'grader.py:other'\n")
        assert found.success is True

    async def test_may_look_at_the_untouched_workspace(self, verdict: Verdict, tmp_path: Path) -> None:
        (tmp_path / "start.txt").write_text("as it was")
        walls.let_read(tmp_path)
        grader = (
            "def grade(submission, hidden, untouched):\n"
            "    said = (untouched / 'start.txt').read_text()\n"
            "    return {'metrics': {'m': 1.0}, 'invalid': None, 'details': {'said': said}}\n"
        )
        assert (await verdict(grader)).details == {"said": "as it was"}

    async def test_does_not_come_from_anything_printed(self, verdict: Verdict) -> None:
        forged = f"""
import os, sys
def grade(submission, hidden):
    for _ in range(3):
        print({REPORT!r}, flush=True)
        print({REPORT!r}, file=sys.stderr, flush=True)
        os.write(1, {REPORT.encode()!r} + b"\\n")
        os.write(2, {REPORT.encode()!r} + b"\\n")
    sys.__stdout__.write({REPORT!r} + "\\n"); sys.__stdout__.flush()
    return {{"metrics": {{"m": 0.0}}}}
"""
        found = await verdict(forged)
        assert (found.success, found.metrics[0].value) == (False, 0)

    async def test_does_not_come_from_a_process_the_grader_starts(self, verdict: Verdict) -> None:
        grader = f"""
import subprocess, sys
CODE = '''
import os
written = []
for descriptor in range(0, 256):
    try:
        os.write(descriptor, {REPORT.encode()!r} + b"\\\\n")
    except OSError:
        pass
for pid in {{os.getppid(), 1}}:
    for descriptor in range(0, 64):
        try:
            with open(f"/proc/{{pid}}/fd/{{descriptor}}", "wb", buffering=0) as file:
                file.write({REPORT.encode()!r} + b"\\\\n")
            written.append(descriptor)
        except OSError:
            pass
open("/tmp/written", "w").write(str(written))
'''
def grade(submission, hidden):
    for close in (True, False):
        subprocess.run([sys.executable, "-c", CODE], close_fds=close)
    return {{"metrics": {{"m": 0.0}}, "details": {{"written": open("/tmp/written").read()}}}}
"""
        found = await verdict(grader)
        assert (found.success, found.metrics[0].value, found.details) == (False, 0, {"written": "[]"})

    async def test_does_not_come_from_modules_that_were_handed_in(self, verdict: Verdict) -> None:
        grader = """
import json, csv, decimal
def grade(submission, hidden):
    assert "/usr" in json.__file__ or "lib" in json.__file__, json.__file__
    return {"metrics": {"m": float(str(submission) in " ".join(f"{m.__file__}" for m in (json, csv, decimal)))}}
"""
        forged = "raise SystemExit(print('" + REPORT + "'))"
        names = ("json.py", "csv.py", "decimal.py", "sitecustomize.py", "usercustomize.py", "workbench_grading.py", "grader.py")
        found = await verdict(grader, submitted=dict.fromkeys(names, forged))
        assert found.success is False

    @pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[" + "{}," * 15_000_000 + "{}]"], ids=["empty", "cut off", "deep", "much"])
    async def test_is_invalid_where_json_is_asked_for_and_nothing_is_parsed_outside(
        self, verdict: Verdict, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def parses(said: Any, **_: Any) -> Any:
            assert len(said) < 1000
            return loads(said)

        loads = json.loads
        monkeypatch.setattr(json, "loads", parses)
        found = await verdict(
            SAYS.format({"metrics": {"m": 1.0}}),
            submitted={"out.json": text},
            submission='[submission]\nkind = "json"\npath = "out.json"\n',
            environment=ENVIRONMENT.replace("1G", "512M"),
        )
        assert found.success is False
        assert "is not JSON" in str(found.invalid)

    async def test_keeps_its_details_bounded(self, verdict: Verdict) -> None:
        found = await verdict(metrics(details={"rows": "x" * 100_000}))
        assert found.details == {"left_out": "details of more than 64 KiB"}
        assert found.success is False

    async def test_keeps_its_reason_bounded(self, verdict: Verdict) -> None:
        found = await verdict("def grade(submission, hidden): return {'invalid': 'x' * 3_000_000}")
        assert found.success is False
        assert len(found.invalid or "") < 100_000

    @pytest.mark.parametrize(
        "details",
        [
            "{'name': '\\udcff\\ud800'}",
            "{'\\udcff': 1}",
            "{'x': float('nan')}",
            "{'x': 10**400}",
            "{'x': '\\0'}",
            "nested(400)",
            "nested(900)",
        ],
        ids=["half a pair", "key", "nan", "big", "nul", "nested", "nested deeply"],
    )
    async def test_can_be_written_down_whatever_its_details_are(self, verdict: Verdict, details: str) -> None:
        grader = f"""
def nested(depth):
    return {{"x": nested(depth - 1)}} if depth else {{}}
def grade(submission, hidden):
    return {{"metrics": {{"m": 0.0}}, "details": {details}}}
"""
        found = await verdict(grader)
        assert found.success is False
        assert json.loads(found.model_dump_json())["details"]


FAULTS = {
    "raises": ("def grade(submission, hidden): raise KeyError('no such label')", "failed: KeyError: 'no such label'"),
    "exits": ("import sys\ndef grade(submission, hidden): sys.exit(0)", "failed: SystemExit: 0"),
    "leaves": ("import os\ndef grade(submission, hidden): os._exit(0)", "died: exit code 0"),
    "leaves at import": (f"import os\nprint({REPORT!r}, flush=True)\nos._exit(0)", "died: exit code 0"),
    "killed": ("import os\ndef grade(submission, hidden): os.kill(os.getpid(), 9)", "died: killed by SIGKILL"),
    "crashes": ("import ctypes\ndef grade(submission, hidden): ctypes.string_at(0)", "died: killed by SIGSEGV"),
    "interrupts": ("def grade(submission, hidden): raise KeyboardInterrupt", "failed: KeyboardInterrupt"),
    "no function": ("x = 1", "has no attribute 'grade'"),
    "no python": ("def grade(:", "SyntaxError"),
    "nothing": ("def grade(submission, hidden): pass", "answered nonsense"),
    "a number": ("def grade(submission, hidden): return 1.0", "answered nonsense"),
    "empty": (metrics(metrics={}), "m = None"),
    "only details": (SAYS.format({"details": {}}), "m = None"),
    "other metric": (metrics(metrics={"n": 1.0}), "m = None"),
    "text": (metrics(metrics={"m": "good"}), "answered nonsense"),
    "none": (metrics(metrics={"m": None}), "answered nonsense"),
    "nan": ("def grade(submission, hidden): return {'metrics': {'m': float('nan')}}", "m = nan"),
    "infinite": ("def grade(submission, hidden): return {'metrics': {'m': float('inf')}}", "m = inf"),
    "too much": (metrics(metrics={"m": 1.5}), "m = 1.5, not a number from 0.0 to 1.0"),
    "extra": (metrics(success=True), "answered nonsense"),
    "no json": ("def grade(submission, hidden): return {'metrics': {'m': {1, 2}}}", "not JSON serializable"),
    "itself": ("def grade(submission, hidden):\n    x = {}\n    x['details'] = x\n    return x", "Circular reference"),
    "deep": ("def grade(submission, hidden):\n    x = {}\n    for _ in range(99999): x = {'x': x}\n    return x", "RecursionError"),
    "huge": ("def grade(submission, hidden): return {'metrics': {'m': 1}, 'details': {'x': 'y' * 2**25}}", "more than can be read"),
    "writes into hidden": ("def grade(submission, hidden): (hidden / 'x').touch()", "Read-only file system"),
    "strange words": ("def grade(submission, hidden): raise ValueError('\\ud800 \\0')", "failed: ValueError"),
}  # fmt: skip


@pytest.mark.walls
class TestFault:
    @pytest.mark.parametrize(("grader", "said"), FAULTS.values(), ids=FAULTS.keys())
    async def test_is_a_grader_error_and_no_score(self, verdict: Verdict, grader: str, said: str) -> None:
        with pytest.raises(GraderError) as caught:
            await verdict(grader)
        assert said in caught.value.message
        failure = classify(caught.value)
        assert failure.kind == "grader"
        assert len(failure.message) < 10_000 and len(failure.hint) < 10_000

    async def test_of_taking_too_long_is_ended(self, verdict: Verdict) -> None:
        grader = "import threading\ndef grade(submission, hidden): threading.Event().wait()"
        with pytest.raises(GraderError, match=r"data-science/made took longer than 0\.5 s"):
            await verdict(grader, more="[grader]\ntimeout = 0.5\n")

    async def test_of_taking_all_memory_is_named(self, verdict: Verdict) -> None:
        grader = "def grade(submission, hidden): return {'metrics': {'m': float(len(bytearray(2**34)) > 0)}}"
        with pytest.raises(GraderError, match=r"MemoryError|memory limit"):
            await verdict(grader)

    async def test_of_being_cancelled_leaves_nothing(self, verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
        started: list[WalledProcess] = []
        begun = asyncio.Event()

        class Process(WalledProcess):
            async def start(self) -> None:
                await super().start()
                started.append(self)
                begun.set()

        monkeypatch.setattr(grading, "WalledProcess", Process)
        task = asyncio.create_task(verdict("import threading\ndef grade(submission, hidden): threading.Event().wait()"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert started[0].returncode is not None


SPOILT = """
from pathlib import Path
def grade(submission, hidden):
    text = (submission / "answer.txt").read_text()
    if "spoil" in text:
        {harm}
    return {{"metrics": {{"m": float(text == "42")}}, "details": {{"seen": text}}}}
"""
HARMS = {
    "raises": ("raise KeyError('spoilt')", "failed: KeyError: 'spoilt'"),
    "recursion": ("x = []; [x := [x] for _ in range(10**5)]; repr(x)", "RecursionError"),
    "memory": ("bytearray(2**40)", "failed: MemoryError"),
    "killed": ("import os; os.kill(os.getpid(), 9)", "died: killed by SIGKILL"),
    "time": ("import threading; threading.Event().wait()", "took longer than 3 s"),
    "nonsense": ("return {'metrics': 'all'}", "answered nonsense"),
    "out of range": ("return {'metrics': {'m': 7}}", "m = 7.0, not a number from 0.0 to 1.0"),
    "nan": ("return {'metrics': {'m': float('nan')}}", "m = nan"),
    "too much": ("return {'metrics': {'m': 1}, 'details': {'x': 'y' * 2**25}}", "more than can be read"),
}  # fmt: skip


@pytest.mark.walls
class TestWhoseFault:
    @pytest.mark.parametrize(("harm", "said"), HARMS.values(), ids=HARMS.keys())
    async def test_a_submission_that_brings_the_grader_down_is_invalid(self, verdict: Verdict, harm: str, said: str) -> None:
        found = await verdict(SPOILT.format(harm=harm), submitted={"answer.txt": "spoil"}, more="[grader]\ntimeout = 3\n")
        assert (found.success, found.metrics[0].value) == (False, 0.0)
        assert said in (found.invalid or "")
        assert [said in failure for failure in found.details["failed_gradings"]] == [True, True]

    async def test_a_submission_that_nobody_has_tampered_with_is_not_blamed(self, verdict: Verdict) -> None:
        # nobody is told apart by a grader that cannot grade anything
        with pytest.raises(GraderError, match="no such label"):
            await verdict("def grade(submission, hidden): raise KeyError('no such label')", submitted={"answer.txt": "42"})

    @pytest.mark.parametrize(("answers", "solved"), [("42 42", True), ("42 41", False), ("41 42", False)])
    async def test_after_a_grading_that_failed_the_worse_of_two_counts(
        self, verdict: Verdict, monkeypatch: pytest.MonkeyPatch, answers: str, solved: bool
    ) -> None:
        left: list[Any] = [grading.Ungraded("died"), *answers.split()]

        async def ask(*_: object) -> grading._Answer:
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return grading._Answer(report=Report(metrics={"m": float(answer == "42")}))

        monkeypatch.setattr(grading, "_ask", ask)
        found = await verdict(SAYS)
        assert (found.success, found.invalid, left) == (solved, None, [])
        assert found.details == {"failed_gradings": ["died"]}

    async def test_where_submitted_code_cannot_be_confined_it_is_not_the_submissions(
        self, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        enclose = walls.enclose

        def refuse(program: Path, *given: Any, **more: Any) -> walls.Enclosure:
            if program.name == "submitted.py":
                raise SandboxError("no walls today")
            return enclose(program, *given, **more)

        monkeypatch.setattr(walls, "enclose", refuse)
        with pytest.raises(GraderError, match="submitted code cannot be run here: no walls today"):
            await verdict(RUNS.format(code="pass", timeout=5, beside=False))


RUNS = """
import json, os
from pathlib import Path
from workbench_grading import run_submitted
from workbench_grading.host import host
if {beside}:
    host().sandboxes = ""
CODE = {code!r}
def grade(submission, hidden):
    done = run_submitted(CODE, submission=submission, timeout={timeout})
    return {{"metrics": {{"m": 0.0}}, "details": {{"code": done.returncode, "out": done.stdout[-2000:], "err": done.stderr[-2000:],
             "sizes": [len(done.stdout), len(done.stderr)]}}}}
"""

TRIES = """
import json, os, signal, ctypes, glob
from pathlib import Path
done = {}
def attempt(name, function):
    try:
        function()
        done[name] = "done"
    except BaseException as error:
        done[name] = type(error).__name__
parent = os.getppid()
def trace():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, parent, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
attempt("hidden", lambda: Path("/grading/hidden/secret.txt").read_text())
attempt("hidden by root", lambda: Path(f"/proc/{parent}/root/grading/hidden/secret.txt").read_text())
attempt("hidden by list", lambda: os.listdir("/grading/hidden"))
attempt("environment", lambda: Path("/grading/new").touch())
attempt("kill", lambda: os.kill(parent, signal.SIGKILL))
attempt("stop", lambda: os.kill(parent, signal.SIGSTOP))
attempt("everything", lambda: os.kill(-1, signal.SIGKILL))
attempt("trace", trace)
attempt("memory", lambda: open(f"/proc/{parent}/mem", "rb"))
attempt("variables", lambda: open(f"/proc/{parent}/environ", "rb").read())
attempt("channel", lambda: [open(name, "wb") for name in glob.glob(f"/proc/{parent}/fd/*")] or os.listdir(f"/proc/{parent}/fd"))
attempt("submission", lambda: Path("/grading/submission/new").touch())
attempt("overwrite", lambda: Path("/grading/submission/answer.txt").write_text("x"))
attempt("system", lambda: Path("/usr/planted").touch())
attempt("own", lambda: Path("own").write_text(Path("/grading/submission/answer.txt").read_text()))
print(json.dumps(done))
"""


HARD_TO_KILL = {
    "its child traces it": """
import ctypes, os
libc, parent = ctypes.CDLL(None, use_errno=True), os.getpid()
libc.prctl(0x59616d61, ctypes.c_ulong(-1 & 2**64 - 1), 0, 0, 0)
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    # seized, it goes on until it ends; then only its tracer may bury it
    os.write(write, b"y" if libc.ptrace(0x4206, parent, None, None) == 0 else b"n")
    while True:
        libc.pause()
assert os.read(read, 1) == b"y"
print("tried", flush=True)
os._exit(0)
""",
    "sessions of their own": """
import os, threading
for _ in range(20):
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            os.write(write, b"x")
            threading.Event().wait()
        os._exit(0)
    os.read(read, 1)
print("tried", flush=True)
os._exit(0)
""",
    "a fork bomb": """
import os, signal
print("tried", flush=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        os.fork()
        os.setsid()
    except OSError:
        pass
""",
    "folders without end": """
import os
for _ in range(3000):
    os.mkdir("d")
    os.chdir("d")
os.chmod(".", 0)
print("tried", flush=True)
""",
    "its first thread is gone": """
import ctypes, platform, threading
threading.Thread(target=threading.Event().wait).start()
print("tried", flush=True)
ctypes.PyDLL(None).syscall({"x86_64": 60, "aarch64": 93}[platform.machine()], 0)
""",
}


@pytest.mark.walls
class TestRunSubmitted:
    @pytest.fixture(params=[False, True], ids=["in a sandbox of its own", "beside the grader"])
    def run(self, verdict: Verdict, request: pytest.FixtureRequest) -> Run:
        """Run code as submitted code; where there is no bubblewrap that is in a child of the grader's."""

        async def run(code: str, *, timeout: float = 30, **submitted: str) -> dict[str, Any]:
            files = {"answer.txt": "42", **{name.replace("__", ".").replace("_in_", "/"): text for name, text in submitted.items()}}
            return (await verdict(RUNS.format(code=code, timeout=timeout, beside=request.param), submitted=files)).details

        return run

    async def test_imports_from_the_submission_first(self, run: Run) -> None:
        found = await run("import made, sys; print(made.x, __name__, sys.argv)", made__py="x = 'here'")
        assert (found["code"], found["out"].strip()) == (0, "here __main__ ['submitted']")

    async def test_can_reach_neither_the_answers_nor_the_grader(self, run: Run) -> None:
        found = await run(TRIES)
        assert found["code"] == 0, found
        outcome = json.loads(found["out"])
        assert outcome.pop("own") == "done"
        outcome.pop("everything")  # says "done" whether anything was hit or not; that the grader lives to tell is what counts
        assert {name for name, what in outcome.items() if what == "done"} == set()
        assert len(outcome) == 13

    async def test_says_how_it_ended(self, run: Run) -> None:
        found = await run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
        assert (found["code"], found["out"], found["err"].strip()) == (3, "out\n", "err")

    async def test_has_bounded_output(self, run: Run) -> None:
        found = await run("import os\nfor d in (1, 2):\n    for _ in range(40): os.write(d, b'x' * 10**5)")
        assert found["sizes"] == [2**20, 2**14]

    async def test_may_print_what_is_no_text(self, run: Run) -> None:
        found = await run("import os; os.write(1, b'\\xff\\xfe ok')")
        assert found["out"].endswith(" ok")

    async def test_is_killed_after_its_time(self, run: Run) -> None:
        found = await run("import threading; threading.Event().wait()", timeout=0.5)
        assert found["code"] == -9

    async def test_is_not_waited_for_when_it_has_ended_and_its_child_traces_it(self, run: Run, request: pytest.FixtureRequest) -> None:
        found = await run(HARD_TO_KILL["its child traces it"], timeout=120)
        assert found["out"] == "tried\n"
        if "beside" not in request.node.name:
            # and not because its time was up
            assert "kept it from being reaped" in found["err"]

    async def test_has_no_input(self, run: Run) -> None:
        assert (await run("print(repr(input()))"))["err"].rstrip().endswith("EOFError: EOF when reading a line")

    async def test_leaves_no_process_behind(self, verdict: Verdict) -> None:
        # one that is left would take what the next one needs, and see its files
        code = """
import os, sys, threading
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(write, b"x")
        threading.Event().wait()
    os._exit(0)
os.read(read, 1)
"""
        grader = f"""
import os
from workbench_grading import run_submitted
def pids():
    return {{name for name in os.listdir("/proc") if name.isdigit()}}
def grade(submission, hidden):
    before = pids()
    code = run_submitted({code!r}, submission=submission, timeout=20).returncode
    return {{"metrics": {{"m": 0.0}}, "details": {{"code": code, "left": len(pids() - before)}}}}
"""
        found = await verdict(grader)
        assert found.details == {"code": 0, "left": 0}

    async def test_cannot_use_up_what_the_grader_needs(self, verdict: Verdict) -> None:
        # a process of a session of its own takes every place there is, and every one that becomes free
        code = """
import os, threading
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    while True:
        try:
            if os.fork() == 0:
                threading.Event().wait()
        except OSError:
            os.write(write, b"x") if write else None
            write = None
os.read(read, 1)
"""
        grader = f"""
from workbench_grading import run_submitted
def grade(submission, hidden):
    first = run_submitted({code!r}, submission=submission, timeout=20).returncode
    more = [run_submitted("print('fine')", submission=submission, timeout=20).stdout for _ in range(10)]
    return {{"metrics": {{"m": 0.0}}, "details": {{"more": more}}}}
"""
        assert (await verdict(grader)).details == {"more": ["fine\n"] * 10}

    @pytest.mark.parametrize("beside", [False, True], ids=["in a sandbox of its own", "beside the grader"])
    @pytest.mark.parametrize("name", sorted(HARD_TO_KILL))
    async def test_ends_whatever_is_tried(self, verdict: Verdict, name: str, beside: bool) -> None:
        grader = f"""
from workbench_grading import run_submitted
from workbench_grading.host import host
if {beside}:
    host().sandboxes = ""
def grade(submission, hidden):
    first = run_submitted({HARD_TO_KILL[name]!r}, submission=submission, timeout=5)
    more = run_submitted("print('fine')", submission=submission, timeout=30)
    return {{"metrics": {{"m": 0.0}}, "details": {{"first": first.stdout, "err": first.stderr, "more": more.stdout}}}}
"""
        found = (await verdict(grader, more="[grader]\ntimeout = 100\n")).details
        assert found["first"] == "tried\n", found
        assert found["more"] == "fine\n"


CHEATS_ON_TIME = {
    "in itself": "work()",
    "in a thread": "import threading; t = threading.Thread(target=work); t.start(); t.join()",
    "at exit": "import atexit; atexit.register(work)",
    "in a child that nobody waits for": "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); read(fork(work))",
    "in a session of its own": "read(fork(lambda: read(fork(work)), os.setsid))",
    "in another program": "import subprocess, sys; subprocess.run([sys.executable, '-c', WORK + 'work()'])",
    "in a spawned process": "os.waitpid(os.posix_spawn(sys.executable, [sys.executable, '-c', WORK + 'work()'], os.environ), 0)",
}
WORK = """
import os, sys, time
def work():
    until = time.process_time() + 1.0
    while time.process_time() < until:
        pass
def fork(then, first=lambda: None):
    read, write = os.pipe()
    if os.fork() == 0:
        first()
        then()
        os._exit(0)
    os.close(write)
    return read
def read(pipe):
    os.read(pipe, 1)
"""


@pytest.mark.walls
class TestProcessorTime:
    """Whatever submitted code starts is counted, or cannot be started."""

    @pytest.mark.parametrize("counts", [True, False], ids=["by a control group", "of one process"])
    @pytest.mark.parametrize("cheat", CHEATS_ON_TIME)
    async def test_cannot_be_hidden(self, verdict: Verdict, cheat: str, counts: bool) -> None:
        if counts and not counts_cpu():
            pytest.skip("NO CGROUP: this machine lends none that counts processor time")
        code = f"{WORK}\nWORK = {WORK!r}\n{CHEATS_ON_TIME[cheat]}\nprint('done')"
        grader = f"""
from workbench_grading import run_submitted
from workbench_grading.host import host
host().counts = {counts}
def grade(submission, hidden):
    done = run_submitted({code!r}, submission=submission, timeout=60, timed=True)
    return {{"metrics": {{"m": 0.0}}, "details": {{"seconds": done.cpu_seconds, "out": done.stdout, "err": done.stderr}}}}
"""
        found = (await verdict(grader)).details
        if counts:
            assert found["out"] == "done\n", found
        # where nothing counts what a process starts, it starts nothing
        assert found["seconds"] >= 1.0 or "PermissionError" in found["err"], found

    @pytest.mark.parametrize("counts", [True, False], ids=["by a control group", "of one process"])
    async def test_is_not_saved_by_what_an_earlier_run_left(self, verdict: Verdict, counts: bool) -> None:
        leave = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
left = []
if libc.shmget(4711, 4096, 0) != -1:
    left.append("shared memory")
libc.shmget(4711, 4096, 0o1666)
if libc.mq_open(b"/left", os.O_RDWR) != -1:
    left.append("queue")
libc.mq_open(b"/left", os.O_RDWR | os.O_CREAT, 0o666, None)
for folder in ("/tmp", "/dev/shm", os.environ["HOME"]):
    if os.path.exists(folder + "/left"):
        left.append(folder)
    try:
        open(folder + "/left", "w")
    except OSError:
        pass
# a connection that was closed is remembered for a minute by who closed it first
if " 06 " in open("/proc/net/tcp").read():
    left.append("connection")
try:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        served, _ = server.accept()
        client.close()
        served.close()
except OSError:
    pass
print(left)
"""
        if counts and not counts_cpu():
            pytest.skip("NO CGROUP: this machine lends none that counts processor time")
        grader = f"""
from workbench_grading import run_submitted
from workbench_grading.host import host
host().counts = {counts}
def grade(submission, hidden):
    said = [run_submitted({leave!r}, submission=submission, timed=True).stdout for _ in range(2)]
    return {{"metrics": {{"m": 0.0}}, "details": {{"said": said}}}}
"""
        assert (await verdict(grader)).details == {"said": ["[]\n", "[]\n"]}


@pytest.mark.walls
async def test_what_is_hidden_from_the_agent_is_hidden_from_what_it_submits(verdict: Verdict) -> None:
    reads = """
import os
import ipykernel
shown = os.path.dirname(ipykernel.__file__) + "/inprocess"
again = [f"/proc/self/root{shown}", shown.replace("/lib/", "/lib/../lib/")]
print([os.listdir(path) for path in (shown, *again)])
"""
    grader = f"""
from workbench_grading import run_submitted
from workbench_grading.host import host
def grade(submission, hidden):
    said = []
    for sandboxes in (host().sandboxes, ""):
        host().sandboxes = sandboxes
        said.append(run_submitted({reads!r}, submission=submission).stdout)
    return {{"metrics": {{"m": 0.0}}, "details": {{"said": said}}}}
"""
    found = await verdict(grader, environment=f'{ENVIRONMENT}hide = ["ipykernel/inprocess"]\n')
    assert found.details == {"said": ["[[], [], []]\n"] * 2}
