"""What ``workbench.kernels.contract.Kernel`` promises, tried on every backend; no test here knows which one it has."""

from __future__ import annotations

import ast
import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import UsageError
from workbench.kernels.contract import Kernel
from workbench.kernels.environments import Environment
from workbench.kernels.session import KernelSession, Sandbox
from workbench.kernels.view import WORKSPACE
from workbench.observation import Output

from .backends import BACKENDS, backend
from .tools import PATIENCE, processes_with, text_of, told

pytestmark = pytest.mark.walls

Start = Callable[..., Awaitable[Kernel]]
Branch = Callable[[Kernel], Awaitable[Kernel]]


@pytest.fixture(params=BACKENDS)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with backend(request.param) as name:
        yield name


@pytest.fixture
async def start(sandbox: Sandbox, minimal: Environment, tmp_path: Path) -> AsyncIterator[Start]:
    """Start a kernel in a workspace with the given files; closed at the end whatever happens."""
    async with AsyncExitStack() as stack:
        count = 0

        async def begin(files: dict[str, str] | None = None, **options: Any) -> Kernel:
            nonlocal count
            count += 1
            workspace = tmp_path / f"w{count}"
            workspace.mkdir()
            for name, text in (files or {}).items():
                (workspace / name).write_text(text)
            options = {"cell_seconds": PATIENCE, **options}
            return await stack.enter_async_context(KernelSession(minimal, workspace, sandbox=sandbox, **options))

        yield begin


@pytest.fixture
async def branch_of() -> AsyncIterator[Branch]:
    """Take a branch; closed at the end whatever happens."""
    async with AsyncExitStack() as stack:

        async def take(kernel: Kernel) -> Kernel:
            branch = await kernel.fork()
            stack.callback(shutil.rmtree, branch.workspace, True)
            stack.push_async_callback(branch.close)
            return branch

        yield take


async def value_of(kernel: Kernel, code: str) -> Any:
    observation = await kernel.execute(code)
    assert observation.status == "ok", told(observation)
    return ast.literal_eval(text_of(observation, "result"))


class TestExecute:
    async def test_cells_share_a_namespace_and_show_what_a_notebook_would(self, start: Start) -> None:
        kernel = await start()
        observation = await kernel.execute("import sys\nx = 6\nprint('out')\nprint('err', file=sys.stderr)\nx * 7")
        assert [(output.kind, output.text.strip()) for output in observation.outputs] == [
            ("stdout", "out"),
            ("stderr", "err"),
            ("result", "42"),
        ]
        assert [change.name for change in observation.namespace] == ["x"]
        assert await value_of(kernel, "x + 1") == 7

    async def test_top_level_await_and_magics(self, start: Start) -> None:
        kernel = await start()
        assert await value_of(kernel, "import asyncio\nawait asyncio.sleep(0, 'slept')") == "slept"
        assert "2" in text_of(await kernel.execute("%timeit -n1 -r1 1 + 1\n2"), "result")

    async def test_an_exception_is_an_observation_and_the_next_cell_runs(self, start: Start) -> None:
        kernel = await start()
        observation = await kernel.execute("def f():\n    return 1 / 0\nf()")
        assert observation.status == "error" and observation.error is not None
        assert observation.error.name == "ZeroDivisionError" and "return 1 / 0" in observation.error.traceback
        assert await value_of(kernel, "1 + 1") == 2

    async def test_output_arrives_while_the_cell_runs(self, start: Start) -> None:
        kernel = await start()
        heard: asyncio.Queue[Output] = asyncio.Queue()
        code = "import os, time\nprint('first', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('second')"
        running = asyncio.ensure_future(kernel.execute(code, on_output=heard.put_nowait))
        assert "first" in (await asyncio.wait_for(heard.get(), PATIENCE)).text
        await kernel.put("go", b"")
        assert text_of(await running).split() == ["first", "second"]

    async def test_output_is_bounded(self, start: Start) -> None:
        observation = await (await start()).execute("print('x' * 3_000_000)\nprint('end')")
        text = text_of(observation)
        assert len(text) < 500_000
        assert text.startswith("xxx") and text.strip().endswith("end") and "characters cut" in text

    async def test_input_is_refused_and_not_waited_for(self, start: Start) -> None:
        observation = await (await start()).execute("input('name? ')")
        assert observation.status == "error", told(observation)

    async def test_variables_of_the_user_s_environment_are_not_there(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOME_API_KEY", "secret")
        assert await value_of(await start(), "import os\nos.environ.get('SOME_API_KEY', 'none')") == "none"


class TestStopping:
    async def test_a_cell_that_takes_too_long_is_interrupted_and_memory_kept(self, start: Start) -> None:
        kernel = await start()
        await kernel.execute("x = 1")
        observation = await kernel.execute("while True: pass", timeout=0.5)
        assert (observation.status, observation.state_lost) == ("timeout", False), told(observation)
        assert await value_of(kernel, "x") == 1

    async def test_a_cell_that_is_interrupted_before_it_has_begun_hears_of_it(self, start: Start) -> None:
        kernel = await start()
        await kernel.execute("x = 1")
        for _ in range(5):
            observation = await kernel.execute("while True: pass", timeout=1e-4)
            assert (observation.status, observation.state_lost) == ("timeout", False), told(observation)
        assert await value_of(kernel, "x") == 1

    async def test_a_cell_is_cancelled_from_outside(self, start: Start) -> None:
        kernel = await start()
        heard: asyncio.Queue[Output] = asyncio.Queue()
        running = asyncio.ensure_future(
            kernel.execute("print('on', flush=True)\nimport time\ntime.sleep(1000)", on_output=heard.put_nowait)
        )
        await asyncio.wait_for(heard.get(), PATIENCE)
        kernel.cancel()
        assert (await running).status == "interrupted"
        assert await value_of(kernel, "1") == 1

    async def test_a_cell_that_only_awaits_is_interrupted(self, start: Start) -> None:
        kernel = await start()
        observation = await kernel.execute("import asyncio\nawait asyncio.sleep(1000)", timeout=0.5)
        assert observation.status == "timeout", told(observation)

    async def test_a_cell_that_ignores_the_interrupt_is_killed_and_the_loss_is_told(self, start: Start) -> None:
        kernel = await start()
        await kernel.execute("x = 1\nopen('kept', 'w').write('file')")
        code = "import signal\nsignal.signal(signal.SIGINT, lambda *_: None)\nwhile True: pass"
        observation = await kernel.execute(code, timeout=0.5)
        assert observation.status == "timeout" and observation.state_lost, told(observation)
        assert "variables are lost" in observation.note
        assert await value_of(kernel, "'x' in globals(), open('kept').read()") == (False, "file")

    async def test_a_kernel_that_dies_is_started_again_on_the_same_files(self, start: Start) -> None:
        kernel = await start()
        await kernel.execute("open('kept', 'w').write('file')")
        observation = await kernel.execute("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
        assert observation.status == "died" and observation.state_lost and observation.note, told(observation)
        assert await value_of(kernel, "open('kept').read()") == "file"

    async def test_restart_forgets_variables_and_keeps_files(self, start: Start) -> None:
        kernel = await start()
        await kernel.execute("x = 1\nopen('kept', 'w').write('file')")
        await kernel.restart()
        assert await value_of(kernel, "'x' in globals(), open('kept').read()") == (False, "file")

    async def test_files_named_like_modules_do_not_keep_a_kernel_from_starting_again(self, start: Start) -> None:
        kernel = await start({"mine.py": "x = 5"})
        plant = (
            "import os, signal, sys\n"
            "for name in [*sys.stdlib_module_names, 'IPython', 'ipykernel', 'sandlock', 'tornado', 'traitlets', 'zmq']:\n"
            "    open(f'{name}.py', 'w').write('raise SystemExit(3)')\n"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        assert (await kernel.execute(plant)).status == "died"
        assert await value_of(kernel, "import mine; mine.x") == 5


class TestFiles:
    async def test_what_was_staged_is_there_and_the_kernel_starts_there(self, start: Start) -> None:
        kernel = await start({"data.csv": "a,b\n1,2\n"})
        assert await value_of(kernel, "import os\nopen('data.csv').read(), os.getcwd()") == ("a,b\n1,2\n", kernel.inside)

    async def test_the_workspace_has_the_name_that_containers_give_it(self, start: Start) -> None:
        kernel = await start({"data.csv": "a,b\n1,2\n"})
        if kernel.inside != WORKSPACE:
            pytest.skip(f"NO NAMESPACES: the workspace is {kernel.inside} here")
        code = "import os\nopen('/app/out.csv', 'w').write('3')\nopen('/app/data.csv').read(), sorted(os.listdir())"
        assert await value_of(kernel, code) == ("a,b\n1,2\n", ["data.csv", "out.csv"])

    async def test_files_go_in_and_come_out(self, start: Start) -> None:
        kernel = await start()
        await kernel.put("deep/er/in.bin", bytes(range(256)))
        await kernel.execute(
            "data = open('deep/er/in.bin', 'rb').read()\nopen('deep/er/out.bin', 'wb').write(data[::-1])\nimport os\nos.mkdir('empty')"
        )
        assert await kernel.get("deep/er/out.bin") == bytes(range(256))[::-1]
        assert [(entry.name, entry.kind) for entry in await kernel.entries()] == [("deep", "folder"), ("empty", "folder")]
        assert [(entry.name, entry.size) for entry in await kernel.entries("deep/er")] == [("in.bin", 256), ("out.bin", 256)]
        # and what was put in can be changed by the agent
        assert await value_of(kernel, "os.remove('deep/er/in.bin')\nos.listdir('deep/er')") == ["out.bin"]

    @pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "a/../../outside", "", "a\0b"])
    async def test_no_path_leads_out(self, start: Start, path: str) -> None:
        kernel = await start()
        for attempt in (kernel.get(path), kernel.put(path, b"x"), kernel.entries(path)):
            with pytest.raises(UsageError, match="no path within a workspace"):
                await attempt

    async def test_links_of_the_agent_s_lead_nowhere(self, start: Start) -> None:
        kernel = await start()
        await kernel.execute("import os\nos.symlink('/etc', 'folder')\nos.symlink('/etc/passwd', 'file')\nos.mkfifo('pipe')")
        for name in ("folder/passwd", "file", "pipe", "missing"):
            with pytest.raises(UsageError, match=name.split("/")[0]):
                await kernel.get(name)
        with pytest.raises(UsageError):
            await kernel.entries("folder")
        with pytest.raises(UsageError):
            await kernel.put("folder/mine", b"x")
        assert {entry.name: entry.kind for entry in await kernel.entries()} == {"file": "link", "folder": "link", "pipe": "other"}

    @pytest.mark.parametrize("name", ["a b", "-rf", "new\nline", "ünï", "'quoted\"", "$(id)", "x" * 200, ".hidden"])
    async def test_hostile_names_are_only_names(self, start: Start, name: str) -> None:
        kernel = await start()
        await kernel.execute(f"open({name!r}, 'w').write('text')")
        assert [entry.name for entry in await kernel.entries()] == [name]
        assert await kernel.get(name) == b"text"
        await kernel.put(name, b"other")
        assert await value_of(kernel, f"open({name!r}).read()") == "other"

    async def test_the_workspace_outlives_the_kernel(self, start: Start) -> None:
        kernel = await start({"staged": "here"})
        await kernel.execute("import os\nos.makedirs('made')\nopen('made/file', 'w').write('by the agent')\nos.remove('staged')")
        await kernel.close()
        assert (kernel.workspace / "made/file").read_text() == "by the agent"
        assert not (kernel.workspace / "staged").exists()


class TestValues:
    @pytest.mark.parametrize("value", [None, 5, 2.5, "text", [1, [2, "x"]], {"a": {"b": [True]}}, b"raw\0bytes"], ids=repr)
    async def test_values_go_in_and_come_out(self, start: Start, value: Any) -> None:
        kernel = await start()
        await kernel.push("given", value)
        await kernel.execute("back = given")
        assert await kernel.pull("back") == value

    async def test_nothing_is_unpickled(self, start: Start) -> None:
        kernel = await start()
        await kernel.execute("class Trap:\n    def __reduce__(self): return (print, ('sprung',))\ntrap = Trap()")
        with pytest.raises(UsageError, match="Trap"):
            await kernel.pull("trap")
        with pytest.raises(UsageError):
            await kernel.pull("no_such_name")
        with pytest.raises(UsageError, match="not a name"):
            await kernel.push("not a name", 1)


class TestBranches:
    async def test_a_branch_has_memory_and_files_and_goes_its_own_way(self, start: Start, branch_of: Branch) -> None:
        kernel = await start({"data": "staged"})
        await kernel.execute("x = [1]\nopen('made', 'w').write('before')\nlog = open('log', 'w')\nlog.write('one ')\nlog.flush()")
        branch = await branch_of(kernel)
        assert branch.branched is not None
        assert branch.branched.by in ("fork", "replay") and branch.branched.diverged == []
        assert await value_of(
            branch, "x.append(2)\nlog.write('branch')\nlog.flush()\nopen('made', 'w').write('branch')\nopen('only', 'w').close()\nx"
        ) == [1, 2]
        assert await value_of(kernel, "x.append(3)\nlog.write('trunk')\nlog.flush()\nx") == [1, 3]
        told_by_trunk = await value_of(
            kernel, "import os\nopen('made').read(), open('log').read(), open('data').read(), os.path.exists('only')"
        )
        assert told_by_trunk == ("before", "one trunk", "staged", False)
        assert await value_of(
            branch, "import os\nopen('made').read(), open('log').read(), open('data').read(), os.path.exists('only')"
        ) == (
            "branch",
            "one branch",
            "staged",
            True,
        )
        assert branch.inside == kernel.inside or branch.branched.by == "replay"

    async def test_a_branch_branches_and_each_lives_without_the_others(self, start: Start, branch_of: Branch) -> None:
        kernel = await start()
        await kernel.push("path", ["trunk"])
        branch = await branch_of(kernel)
        await branch.execute("path.append('branch')")
        twig = await branch_of(branch)
        await twig.execute("path.append('twig')")
        await kernel.close()
        assert await value_of(branch, "path") == ["trunk", "branch"]
        await branch.close()
        assert await value_of(twig, "path") == ["trunk", "branch", "twig"]

    async def test_a_branch_is_interrupted_dies_and_starts_again_like_any_kernel(self, start: Start, branch_of: Branch) -> None:
        kernel = await start()
        await kernel.execute("x = 1")
        branch = await branch_of(kernel)
        assert (await branch.execute("while True: pass", timeout=0.5)).status == "timeout"
        assert await value_of(branch, "x") == 1
        assert (await branch.execute("import os\nos.kill(os.getpid(), 9)")).state_lost
        assert await value_of(branch, "'x' in globals()") is False
        assert await value_of(kernel, "x") == 1


class TestClosing:
    async def test_nothing_of_it_is_alive_afterwards(self, start: Start) -> None:
        kernel = await start()
        marker = "marker-conformance-7b1f"
        code = (
            "import subprocess, sys\n"
            "daemon = 'import os, signal, sys; os.setsid(); print(1, flush=True); signal.pause()'\n"
            f"made = subprocess.Popen([sys.executable, '-c', daemon, {marker!r}], stdout=subprocess.PIPE)\n"
            "made.stdout.readline()"
        )
        assert (await kernel.execute(code)).status == "ok"
        await kernel.close()
        assert not processes_with(marker)
        await kernel.close()

    async def test_what_stands_is_said(self, start: Start, sandbox: Sandbox) -> None:
        kernel = await start()
        assert all(isinstance(each, str) and each for each in [*kernel.walls, *kernel.missing])
        assert kernel.walls or kernel.missing
