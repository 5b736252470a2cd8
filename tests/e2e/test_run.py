"""Whole runs through the real path: kernel, walls, grader, store."""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import workbench as wb
from tests.commands import workbench
from tests.loopback import Loopback, RateLimit, Say, ServerError, SlowFirstByte
from tests.made import SOLVED, TASK, make_task, playing
from workbench import paths, planning, runner
from workbench.errors import TaskError, UsageError, WorkbenchError
from workbench.kernels import runtime
from workbench.messages import Message, Reply, Usage

pytestmark = pytest.mark.walls


@pytest.fixture
def task(tmp_path, minimal):
    return str(make_task(tmp_path))


def test_a_run_is_graded_and_recorded(task, store_path):
    seen = []
    result = wb.run(task, model=playing(SOLVED, "<done/>"), store=store_path, on_event=lambda event: seen.append(event.event))
    assert (result.status, result.success, result.score.value, result.steps) == ("completed", True, 1.0, 2)
    assert seen[0] == "run_started" and seen[-1] == "run_finished" and "scored" in seen
    store = wb.store(store_path)
    row = store.rows("SELECT status, success, walls FROM runs")[0]
    assert row["status"] == "completed" and row["success"] and row["walls"]
    assert store.rows("SELECT code FROM actions")[0]["code"] == "open('answer.txt', 'w').write('42')"
    assert [event["event"] for event in store.rows("SELECT event FROM events ORDER BY seq")] == seen
    submission = store.rows("SELECT size FROM artifacts WHERE media_type = 'application/x-tar'")
    assert len(submission) == 1


def test_a_model_that_stumbles_gets_there_and_the_record_shows_each_stumble(task, store_path):
    half_closed = "Now I write it.\n```python\nopen('answer.txt', 'w').write('42')"
    with Loopback(RateLimit(retry_after=0), Say("Let me think about it first."), Say(half_closed), Say("<done/>")) as server:
        result = wb.run(task, model="openai/scripted", base_url=server.base_url, store=store_path)
        assert (result.status, result.success) == ("completed", True)
        assert not server.remaining
    store = wb.store(store_path)
    calls = store.rows("SELECT step, attempts, text FROM model_calls ORDER BY step")
    assert [attempt["status"] for attempt in json.loads(calls[0]["attempts"])] == ["rate_limited", "ok"]
    notes = {row["step"]: row["notes"] for row in store.rows("SELECT step, notes FROM steps")}
    assert "No code was found" in notes[1][0] and "was not closed" in notes[2][0] and notes[3] == []
    assert store.rows("SELECT sum(input_tokens + output_tokens) AS tokens FROM model_calls")[0]["tokens"] == result.tokens > 0


def test_a_model_that_stays_broken_is_an_error_of_the_model_and_not_graded(task, store_path):
    with Loopback(*[ServerError(500)] * 20) as server:
        from workbench.models.litellm import LiteLLMModel

        async def at_once(_seconds):
            await asyncio.sleep(0)

        model = LiteLLMModel("openai/scripted", base_url=server.base_url, retries=2, sleep=at_once)
        result = wb.run(task, model=model, store=store_path)
    assert (result.status, result.error.kind, result.success, result.score) == ("error", "model", None, None)
    calls = wb.store(store_path).rows("SELECT attempts, error_message FROM model_calls")
    assert [attempt["status"] for attempt in json.loads(calls[0]["attempts"])] == ["server_error"] * 3 and calls[0]["error_message"]


@pytest.mark.parametrize("option", [{"max_steps": 1}, {"max_tokens": 1}])
def test_a_limit_keeps_and_grades_what_is_there(task, store_path, option):
    with Loopback(Say(SOLVED), Say(SOLVED)) as server:
        result = wb.run(task, model="openai/scripted", base_url=server.base_url, store=store_path, **option)
    assert (result.status, result.success) == ("limit", True)
    assert result.limit == next(iter(option)).removeprefix("max_")


def test_a_timeout_while_the_model_thinks_ends_the_run_as_a_limit(task, store_path):
    never = threading.Event()
    with Loopback(Say(SOLVED), SlowFirstByte(never)) as server:
        result = wb.run(task, model="openai/scripted", base_url=server.base_url, store=store_path, timeout=8)
        never.set()
    assert (result.status, result.limit, result.success) == ("limit", "seconds", True)


def test_an_interrupt_keeps_the_trajectory(task, store_path):
    async def story():
        shown = asyncio.Event()
        code = "print('as far as here', flush=True)\nwhile True: pass"
        work = asyncio.ensure_future(
            wb.run_async(task, model=playing(f"```python\n{code}\n```"), store=store_path, on_output=lambda _: shown.set())
        )
        await shown.wait()
        work.cancel()
        await work

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(story())
    store = wb.store(store_path)
    assert store.rows("SELECT status, success, steps FROM runs") == [{"status": "interrupted", "success": None, "steps": 0}]
    # what the action had shown is kept
    assert [(row["status"], "as far as here" in str(row)) for row in store.rows("SELECT * FROM observations")] == [("interrupted", True)]


class Hesitant:
    """A model that begins a reply and never ends it."""

    name, sees_images = "hesitant", False

    async def reply(self, messages, *, tools=(), on_text=None):
        for piece in ("half a ", "thought"):
            on_text(piece)
        await asyncio.Event().wait()


@pytest.mark.parametrize("limit", [None, 1.0])
def test_an_unfinished_reply_is_kept(task, store_path, limit):
    async def story():
        heard = []

        def hear(piece):
            heard.append(piece)
            if limit is None and len(heard) == 2:
                asyncio.get_running_loop().call_soon(work.cancel)

        work = asyncio.ensure_future(wb.run_async(task, model=Hesitant(), store=store_path, on_text=hear, timeout=limit))
        await asyncio.wait({work})

    asyncio.run(story())
    (call,) = wb.store(store_path).rows("SELECT text, finish_reason FROM model_calls")
    assert call == {"text": "half a thought", "finish_reason": "interrupted" if limit is None else "timeout"}


def test_a_timeout_of_the_callers_own_ends_the_run_and_is_raised(task, store_path):
    async def story():
        async with asyncio.timeout(None) as patience:
            loop = asyncio.get_running_loop()

            def heard(event):
                if event.event == "action_taken":
                    patience.reschedule(loop.time())

            await wb.run_async(task, model=playing("```python\nwhile True: pass\n```"), store=store_path, on_event=heard)

    with pytest.raises(TimeoutError):
        asyncio.run(story())
    assert wb.store(store_path).rows("SELECT status FROM runs") == [{"status": "interrupted"}]


def test_a_second_cancellation_while_tidying_up_loses_nothing(task, store_path):
    async def story():
        loop = asyncio.get_running_loop()

        def heard(event):
            if event.event == "action_taken":
                loop.call_soon(work.cancel)
            if event.event == "run_finished":
                loop.call_soon(work.cancel)

        work = asyncio.ensure_future(
            wb.run_async(task, model=playing("```python\nwhile True: pass\n```"), store=store_path, on_event=heard)
        )
        await work

    before = set(runtime.mine().iterdir())
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(story())
    assert wb.store(store_path).rows("SELECT status FROM runs") == [{"status": "interrupted"}]
    assert not [path for path in set(runtime.mine().iterdir()) - before if path.name.startswith(("r-", "w-", "k-"))]


def test_an_agent_that_catches_everything_is_ended_by_an_interrupt(task, store_path):
    class Stubborn:
        name = "stubborn"

        async def work(self, world):
            while True:
                try:
                    await world.execute("while True: pass", "fence", 0)
                except asyncio.CancelledError:
                    return "done"

    async def story():
        loop = asyncio.get_running_loop()

        def heard(event):
            if event.event == "action_taken":
                loop.call_soon(work.cancel)

        work = asyncio.ensure_future(wb.run_async(task, model="nop", agent=Stubborn(), store=store_path, on_event=heard))
        await work

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(story())
    assert wb.store(store_path).rows("SELECT status, success FROM runs") == [{"status": "interrupted", "success": None}]


NOT_EXCEPTIONS = [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, asyncio.CancelledError]


@pytest.mark.parametrize("error", NOT_EXCEPTIONS)
@pytest.mark.parametrize("door", ["sync", "async"])
def test_what_a_model_raises_is_an_error_of_the_model(task, store_path, error, door):
    def function(messages):
        raise error

    async def coroutine(messages):
        raise error

    class Model:
        name, sees_images = "raising", False

        async def reply(self, messages, *, tools=(), on_text=None):
            raise error

    for model in (function, coroutine, Model()):
        if door == "sync":
            result = wb.run(task, model=model, store=store_path)
        else:
            result = asyncio.run(wb.run_async(task, model=model, store=store_path))
        # a StopIteration in a coroutine is made a RuntimeError by Python
        assert (result.status, result.error.kind, result.success) == ("error", "model", None), result.error
        assert error.__name__ in result.error.message
    assert {row["status"] for row in wb.store(store_path).rows("SELECT status FROM runs")} == {"error"}


@pytest.mark.parametrize("error", NOT_EXCEPTIONS)
def test_what_an_agent_raises_is_an_error_of_the_agent(task, store_path, error):
    class Raising:
        name = "raising"

        async def work(self, world):
            raise error

    result = wb.run(task, model="nop", agent=Raising(), store=store_path)
    assert (result.status, result.error.kind, result.success) == ("error", "agent", None)
    assert error.__name__ in result.error.message
    assert wb.store(store_path).rows("SELECT status FROM runs") == [{"status": "error"}]


def test_an_interrupt_that_a_model_makes_up_is_an_error_of_the_model(task, store_path):
    def model(_messages):
        raise wb.Interrupted

    result = wb.run(task, model=model, store=store_path)
    assert (result.status, result.error.kind, result.success) == ("error", "model", None)


def test_what_a_model_returns_that_is_no_reply_is_an_error_of_the_model(task, store_path):
    class Model:
        name, sees_images = "odd", False

        def __init__(self, reply):
            self._reply = reply

        async def reply(self, messages, *, tools=(), on_text=None):
            return self._reply

    for reply in ("text", None, Reply.model_construct(text=None)):
        result = wb.run(task, model=Model(reply), store=store_path)
        assert (result.status, result.error.kind, result.success) == ("error", "model", None), result.error


def test_what_an_agent_returns_or_makes_of_its_account_is_an_error_of_the_agent(task, store_path):
    class Odd:
        name = "odd"

        def __init__(self, answer=None, tokens=0):
            self._answer, self._tokens = answer, tokens

        async def work(self, world):
            world.spent.tokens = self._tokens
            return self._answer

    for agent in (Odd(answer=42), Odd(answer=b"42"), Odd(tokens="many"), Odd(tokens=2**70)):
        result = wb.run(task, model="nop", agent=agent, store=store_path)
        assert (result.status, result.error.kind, result.success) == ("error", "agent", None), result
    assert wb.store(store_path).rows("SELECT DISTINCT status, error_kind FROM runs") == [{"status": "error", "error_kind": "agent"}]


def test_a_journal_that_somebody_removes_is_no_completed_run(task, store_path):
    def model(_messages):
        shutil.rmtree(wb.store(store_path).journals)
        return SOLVED

    result = wb.run(task, model=model, store=store_path)
    assert (result.status, result.error.kind, result.success) == ("error", "sandbox", None)
    assert "somebody has removed it" in result.error.message


TIDIED = """
import shutil, sys
import workbench as wb
from workbench.kernels import runtime
def solve():
    return wb.run(sys.argv[1], model="oracle", store=sys.argv[2]).success
first = solve()
shutil.rmtree(runtime.mine())
print(first, solve(), solve())
"""


def test_runs_go_on_after_somebody_has_tidied_up_the_folder_of_runs(task, store_path):
    done = subprocess.run([sys.executable, "-c", TIDIED, task, str(store_path)], capture_output=True, text=True, check=False)
    assert done.stdout == "True True True\n", done.stdout + done.stderr


@pytest.mark.parametrize("error", NOT_EXCEPTIONS)
@pytest.mark.parametrize("where", ["on_event", "on_text", "on_output"])
def test_what_a_listener_raises_ends_only_the_listening(task, store_path, error, where):
    def listener(_):
        raise error

    # it says something, so that everybody hears something
    model = playing("```python\nprint('hello')\nopen('answer.txt', 'w').write('42')\n```", "<done/>")
    with pytest.warns(UserWarning, match=f"hears no more: {error.__name__}"):
        result = wb.run(task, model=model, store=store_path, **{where: listener})
    assert (result.status, result.success) == ("completed", True)


def test_an_interrupt_does_not_wait_for_a_model_that_blocks(task, store_path):
    asked, go_on = threading.Event(), threading.Event()

    def blocks(messages):
        asked.set()
        go_on.wait(120)
        return "too late"

    def press():
        asked.wait(120)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=press).start()
    try:
        with pytest.raises(wb.Interrupted) as interrupted:
            wb.run(task, model=blocks, store=store_path)
        assert not go_on.is_set()
    finally:
        go_on.set()
    assert interrupted.value.result.status == "interrupted"
    assert wb.store(store_path).rows("SELECT status FROM runs") == [{"status": "interrupted"}]


def test_a_grader_that_crashes_is_not_a_zero(tmp_path, minimal, store_path):
    folder = make_task(tmp_path, grader="def grade(submission, hidden):\n    raise RuntimeError('broken')\n")
    result = wb.run(str(folder), model="oracle", store=store_path)
    assert (result.status, result.error.kind, result.success) == ("error", "grader", None)
    assert "broken" in result.error.message


def test_an_agent_with_a_bug_is_an_error_of_the_agent(task, store_path):
    class Buggy:
        name = "buggy"

        async def work(self, world):
            raise KeyError("oops")

    result = wb.run(task, model="nop", agent=Buggy(), store=store_path)
    assert (result.status, result.error.kind) == ("error", "agent")


def test_a_kernel_that_dies_is_told_and_recorded(task, store_path):
    model = playing("```python\nimport os; os.kill(os.getpid(), 9)\n```", SOLVED, "<done/>")
    result = wb.run(task, model=model, store=store_path)
    assert result.success
    store = wb.store(store_path)
    assert store.rows("SELECT status, state_lost, note FROM observations WHERE step = 1")[0]["state_lost"]
    assert store.rows("SELECT 1 FROM events WHERE event = 'kernel_died'")


def test_the_agents_kernel_sees_neither_grader_nor_solution_nor_workbench(task, store_path):
    private = [str(Path(task) / "hidden" / "secret.txt"), str(Path(task) / "solution"), *map(str, paths.private_roots())]
    hunt = "\n".join(
        [
            "import os, sys",
            "for module in ('workbench',):",
            "    try: print('FOUND', __import__(module))",
            "    except ImportError: pass",
            f"for path in {private!r}:",
            "    if os.path.exists(path): print('FOUND', path)",
            "print(sorted(os.listdir('.')), dict(os.environ))",
        ]
    )
    os.environ["OPENAI_API_KEY"] = "canary-key"
    try:
        wb.run(task, model=playing(f"```python\n{hunt}\n```", "<done/>"), store=store_path)
    finally:
        del os.environ["OPENAI_API_KEY"]
    outputs = wb.store(store_path).rows("SELECT outputs FROM observations")[0]["outputs"]
    assert "FOUND" not in outputs and "canary" not in outputs and "['notes.txt']" in outputs


def test_without_walls_it_warns_and_says_so(task, store_path):
    with pytest.warns(UserWarning, match="sandbox none"):
        result = wb.run(task, model="oracle", sandbox="none", store=store_path)
    assert result.success and not any("landlock" in wall or "bubblewrap" in wall for wall in result.walls)
    assert any("sandbox none" in wall for wall in result.missing_walls)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "refactoring/nope"}, "no task is called"),
        ({"model": None}, "no model is set"),
        ({"sandbox": "moat"}, "no sandbox is called 'moat'"),
        ({"agent": "nope"}, "no agent is called"),
        ({"variant": {"level": "lazy"}}, "no variant axis 'level'"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"model": "cassette:/does/not/exist.jsonl"}, "there is no cassette"),
        ({"model": "cheat:fly"}, "no trick is called"),
        ({"model": 7}, "is not a model"),
        ({"agent": None}, "NoneType is not an agent"),
        ({"agent": object()}, "object is not an agent"),
    ],
)
def test_bad_arguments_are_found_before_anything_starts(task, store_path, options, message):
    with pytest.raises(WorkbenchError, match=message):
        wb.run(options.pop("task", task), **{"model": "nop", "store": store_path, **options})
    assert not Path(store_path).exists()


def test_a_cassette_plays_a_run_again(task, store_path, tmp_path):
    cassette = tmp_path / "run.jsonl"
    recorded = wb.run(task, model=playing("```python\nobject()\n```", SOLVED, "<done/>"), record=cassette, store=store_path)
    replayed = wb.run(task, model=f"cassette:{cassette}", store=store_path)
    assert recorded.success and replayed.success and replayed.steps == recorded.steps == 3


KILLED = """
import os, sys
import workbench as wb
def heard(event):
    if event.event == "step_finished" and event.step == 2:
        print("two steps", flush=True)
        sys.stdin.read()
wb.run(sys.argv[1], model="function:tests.e2e.endless:reply", store=sys.argv[2], on_event=heard)
"""


def test_kill_9_between_two_steps_loses_nothing(task, store_path):
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, task, str(store_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
    )
    assert process.stdout.readline() == b"two steps\n"
    below = psutil.Process(process.pid).children(recursive=True)
    folders = {folder for folder in paths.run_root().iterdir() if folder.is_dir()}
    process.send_signal(signal.SIGKILL)
    process.wait()
    psutil.wait_procs(below, timeout=30)
    assert not [child for child in below if child.is_running() and child.status() != psutil.STATUS_ZOMBIE], "a kernel outlived its run"

    store = wb.store(store_path)
    run = store.rows("SELECT run_id, status, steps, error_kind FROM runs")[0]
    assert (run["status"], run["steps"], run["error_kind"]) == ("interrupted", 2, "user")
    assert [row["step"] for row in store.rows("SELECT step FROM steps ORDER BY step")] == [1, 2]
    assert len(store.rows("SELECT code FROM actions")) == 2

    # the next run tidies up what the dead one left
    workbench("run", task, "--model", "nop", "--store", store_path).check_returncode()
    left = [folder for folder in folders if folder.exists() and not _alive(folder)]
    assert not left


def _alive(folder: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / "owner", timeout=0):
            return False
    except Timeout:
        return True


def test_two_processes_write_one_store(task, store_path):
    command = [sys.executable, "-m", "workbench", "run", task, "--model", "oracle", "--json", "--store", str(store_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    documents = [json.loads(process.communicate()[0]) for process in running]
    assert all(document["success"] for document in documents)
    found = {row["run_id"] for row in wb.store(store_path).rows("SELECT run_id FROM runs WHERE success")}
    assert found == {document["run_id"] for document in documents}


def test_a_plan_resolves_everything_without_starting(task, store_path):
    plan = planning.plan(task, model="oracle", store=store_path)
    assert plan.model.name == "oracle" and plan.limits.steps == 6
    with pytest.raises(UsageError):
        planning.plan(task, model="oracle", timeout=-1, store=store_path)


def test_a_task_has_the_packages_it_adds(tmp_path, minimal, store_path):
    folder = make_task(tmp_path, task=TASK.replace('name = "python-min"', 'name = "python-min"\npackages = ["six<1.17"]'))
    uses = "```python\nimport six\nprint(six.__version__)\nopen('answer.txt', 'w').write('42')\n```"
    result = asyncio.run(wb.run_async(str(folder), model=playing(uses, "<done/>"), store=store_path))
    assert (result.status, result.success) == ("completed", True)
    assert "1.16.0" in wb.store(store_path).rows("SELECT outputs FROM observations")[0]["outputs"]


def test_a_package_that_does_not_exist_is_found_before_anything_starts(tmp_path, store_path):
    folder = make_task(tmp_path, task=TASK.replace('name = "python-min"', 'name = "python-min"\npackages = ["six-of-one"]'))
    with pytest.raises(TaskError, match=r"task data-science/made: six-of-one in environment python-min cannot be resolved"):
        wb.run(str(folder), model="nop", store=store_path)
    assert not Path(store_path).exists()


def test_a_package_that_is_gone_ends_the_run_before_the_model_is_asked(tmp_path, minimal, store_path):
    folder = make_task(tmp_path)
    broken = replace(minimal, preload=("no_such_module",))
    plan = planning.plan(str(folder), model="nop", store=store_path)
    plan.environment = broken
    result = asyncio.run(runner.execute(plan))
    assert (result.status, result.steps, result.error.kind) == ("error", 0, "sandbox")
    assert "environment python-min lacks no_such_module" in result.error.message


def test_a_task_with_a_variant_says_which(tmp_path, minimal, store_path):
    text = TASK.replace(
        "[interaction]", '[prompt]\naxes = { level = ["base", "lazy"] }\nfiles = { "level=lazy" = "lazy.md" }\n\n[interaction]'
    )
    folder = make_task(tmp_path, task=text)
    (folder / "lazy.md").write_text("42, quickly.")
    result = wb.run(str(folder), model="oracle", variant={"level": "lazy"}, store=store_path)
    assert result.variant == {"level": "lazy"} and result.success
    assert wb.store(store_path).rows("SELECT instruction FROM runs")[0]["instruction"] == "42, quickly."


def test_a_listener_that_fails_does_not_end_the_run(task, store_path):
    def broken(event):
        raise BrokenPipeError

    with pytest.warns(UserWarning, match="hears no more: BrokenPipeError"):
        result = wb.run(task, model="oracle", store=store_path, on_event=broken)
    assert result.success


DEEP = """Deep.
```python
import os
here = os.getcwd()
for _ in range(3000):
    os.mkdir("deep")
    os.chdir("deep")
os.chdir(here)
os.mkfifo("pipe")
os.mkdir("closed", 0)
```"""
DIES = "Out.\n```python\nos._exit(1)\n```"


def test_folders_however_deep_end_no_run_and_are_removed(task, store_path):
    # after the kernel's death the workspace as it is then is copied, as far as it can be
    result = wb.run(task, model=playing(DEEP, DIES, SOLVED, "<done/>"), store=store_path)
    assert (result.status, result.error, result.success) == ("completed", None, True)
    assert not list(runtime.mine().glob("[orw]-*"))


def test_a_full_context_window_is_a_limit_and_what_is_there_is_graded(task, store_path):
    full = ServerError(500, "Context size has been exceeded.")
    with Loopback(Say(SOLVED), full) as server:
        result = wb.run(task, model="openai/scripted", base_url=server.base_url, store=store_path)
        assert not server.remaining and len(server.requests) == 2
    assert (result.status, result.limit, result.success, result.steps) == ("limit", "context", True, 1)
    assert result.error.kind == "limit" and "-c 32768" in result.error.hint
    assert "Context size has been exceeded." in result.error.message
    store = wb.store(store_path)
    assert store.rows("SELECT status, limit_reached, error_kind FROM runs") == [
        {"status": "limit", "limit_reached": "context", "error_kind": "limit"}
    ]
    assert "Context size" in store.rows("SELECT error_message FROM model_calls ORDER BY step DESC")[0]["error_message"]


def test_a_retry_is_noticed_before_the_reply_is_there(task, store_path):
    seen = []
    with Loopback(RateLimit(retry_after=0), Say("```python\nopen('answer.txt', 'w').write('42')\n```\n<done/>")) as server:
        wb.run(task, model="openai/scripted", base_url=server.base_url, store=store_path, on_event=seen.append)
    kinds = [event.event for event in seen]
    (notice,) = [event for event in seen if event.event == "noticed"]
    assert kinds.index("noticed") < kinds.index("model_called")
    assert (notice.kind, "asking again in 0.0 s, attempt 2 of 6" in notice.message) == ("model", True)


def test_a_model_that_is_done_without_a_file_is_reminded_once(task, store_path):
    write = "```python\nopen('answer.txt', 'w').write('42')\n```"
    reminded = wb.run(task, model=playing("<done/>", write, "<done/>"), store=store_path)
    assert (reminded.status, reminded.success, reminded.steps) == ("completed", True, 3)
    stubborn = wb.run(task, model=playing("<done/>", "<done/>"), store=store_path)
    assert (stubborn.status, stubborn.success, stubborn.steps) == ("completed", False, 2)
    rows = wb.store(store_path).rows("SELECT notes FROM steps WHERE run_id = ? ORDER BY step", [stubborn.run_id])
    assert "the file answer.txt is graded, and it does not exist" in str(rows[0]["notes"])
    assert "answer.txt" not in str(rows[1]["notes"])


@pytest.mark.parametrize(("sandbox", "said"), [("local", "There is no network"), ("none", "Access to the network is not restricted")])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_model_is_told_what_its_code_can_reach(task, store_path, sandbox, said):
    told = []

    def model(messages):
        told.append(messages[0].text)
        return "<done/>"

    wb.run(task, model=model, sandbox=sandbox, store=store_path)
    assert said in told[0]


class Loading:
    """A model that has something to load."""

    name, sees_images, loaded = "loading", False, math.inf

    def __init__(self, error=None):
        self._error = error

    async def ready(self):
        if self._error is not None:
            raise self._error
        self.loaded = time.monotonic()

    async def reply(self, messages, *, tools=(), on_text=None):
        return Reply(text="<done/>")


def test_a_model_is_made_ready_before_the_clock_starts(task, store_path):
    class Agent:
        name = "looking"

        async def work(self, world):
            return str(world.started >= world.model.loaded)

    result = wb.run(task, model=Loading(), agent=Agent(), store=store_path)
    assert (result.status, result.answer) == ("completed", "True")


def test_a_model_that_cannot_be_made_ready_is_an_error_of_the_model(task, store_path):
    result = wb.run(task, model=Loading(OSError("there are no weights")), store=store_path)
    assert (result.status, result.error.kind) == ("error", "model")
    assert "there are no weights" in result.error.message


@pytest.mark.parametrize(
    "option",
    [
        {"epoch": 2**31},
        {"epoch": 1.5},
        {"epoch": True},
        {"max_steps": 2**31},
        {"max_tokens": 2**63},
        {"max_steps": "many"},
        {"timeout": float("inf")},
        {"timeout": float("nan")},
        {"timeout": "soon"},
        {"budget_usd": float("inf")},
        {"model_options": {"temperature": 0}},
    ],
    ids=str,
)
def test_what_the_record_could_not_hold_is_refused_before_the_run(task, store_path, option):
    with pytest.raises(UsageError, match=next(iter(option)).replace("_", ".")):
        wb.run(task, model="nop", store=store_path, **option)
    assert wb.store(store_path).rows("SELECT * FROM runs") == []


def test_no_number_of_a_model_or_an_agent_loses_the_record(task, store_path):
    usage = {"prompt_tokens": 2**63, "completion_tokens": 2**63, "total_tokens": 2**64}
    with Loopback(Say(SOLVED, usage=usage), Say("<done/>", usage=usage)) as server:
        result = wb.run(task, model="openai/gpt-4o-mini", base_url=server.base_url, store=store_path, epoch=2**31 - 1)
    assert (result.status, result.success, result.tokens, result.cost_usd) == ("completed", True, 0, None)

    class Model:
        name, sees_images = "counting", False

        async def reply(self, messages, *, tools=(), on_text=None):
            return Reply.model_construct(text="<done/>", usage=Usage.model_construct(input_tokens=2**70))

    class Agent:
        name = "counting"

        def __init__(self, act):
            self._act = act

        async def work(self, world):
            await self._act(world)

    async def many_steps(world):
        world.spent.steps = 2**40
        world.limits = replace(world.limits, steps=2**50)
        await world.ask([Message(role="user", text="hello")])

    async def far_action(world):
        world.spent.steps = 1
        await world.execute("1", "fence", 2**40)

    ends = [wb.run(task, model=Model(), store=store_path)]
    ends += [wb.run(task, model=playing("<done/>"), agent=Agent(act), store=store_path) for act in (many_steps, far_action)]
    assert [(end.status, end.error.kind) for end in ends] == [("error", "model"), ("error", "agent"), ("error", "agent")]
    store = wb.store(store_path)
    assert store.rows("SELECT count(*) AS runs, max(epoch) AS epoch FROM runs") == [{"runs": 4, "epoch": 2**31 - 1}]
    assert not list(store.journals.glob("*.broken"))
