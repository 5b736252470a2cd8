"""A session from its user's side: what cells show, what stops them, and what is left afterwards."""
# ruff: noqa: E501  (programs as they are run)

from __future__ import annotations

import ast
import asyncio
import base64
import gc
import os
import shutil
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from workbench.errors import SandboxError
from workbench.kernels import environments, runtime
from workbench.kernels.environments import Environment
from workbench.kernels.limits import Limits
from workbench.kernels.policy import Policy
from workbench.kernels.session import KernelSession
from workbench.observation import Observation, Output

from ..conftest import require_walls
from .conftest import Opener
from .tools import eventually, holdings, processes_with, text_of, told

pytestmark = pytest.mark.walls


def changes(observation: Observation) -> dict[str, tuple[str, str]]:
    return {each.name: (each.change, each.summary) for each in observation.namespace}


async def test_a_cell_shows_its_streams_in_order_and_its_result_last(opened: Opener) -> None:
    session = await opened()
    seen: list[Output] = []
    code = "import sys\nprint('out', flush=True)\nprint('err', file=sys.stderr, flush=True)\nprint('again', flush=True)\n6 * 7"
    observation = await session.execute(code, on_output=seen.append)
    assert observation.status == "ok"
    assert [(output.kind, output.text) for output in observation.outputs] == [
        ("stdout", "out\n"),
        ("stderr", "err\n"),
        ("stdout", "again\n"),
        ("result", "42"),
    ]
    assert "".join(output.text for output in seen) == "out\nerr\nagain\n42"
    assert not observation.state_lost
    assert observation.note == ""


async def test_output_is_heard_while_the_cell_still_runs(opened: Opener) -> None:
    session = await opened()
    go_on = session.workspace / "go-on"

    def heard(output: Output) -> None:
        if output.text.startswith("first"):
            go_on.touch()

    observation = await session.execute(
        "print('first', flush=True)\nimport os\nwhile not os.path.exists('go-on'): pass\n'done'", on_output=heard
    )
    assert observation.outputs[-1].text == "'done'"


async def test_not_one_of_many_outputs_is_lost(opened: Opener) -> None:
    session = await opened()
    for number in range(30):
        observation = await session.execute(f"print({number})\n{number}")
        assert [output.text for output in observation.outputs] == [f"{number}\n", str(number)]


async def test_an_error_has_a_name_a_value_and_a_plain_traceback_and_the_next_cell_runs(opened: Opener) -> None:
    session = await opened()
    first, second = await asyncio.gather(session.execute("kept = 1\n{}['no such key']"), asyncio.sleep(0))
    assert second is None
    assert first.status == "error"
    assert first.error is not None
    assert (first.error.name, first.error.value) == ("KeyError", "'no such key'")
    assert "no such key" in first.error.traceback
    assert "\x1b" not in first.error.traceback
    assert (await session.execute("kept + 1")).outputs[0].text == "2"


async def test_a_syntax_error_is_an_error(opened: Opener) -> None:
    observation = await (await opened()).execute("1 +")
    assert observation.status == "error"
    assert observation.error is not None
    assert observation.error.name == "SyntaxError"


@pytest.mark.parametrize("code", ["raise ValueError('\\ud800')", "raise ValueError('x' * (40 << 20))"])
async def test_an_error_that_cannot_be_sent_is_still_an_error(opened: Opener, code: str) -> None:
    session = await opened()
    observation = await session.execute(code)
    assert observation.status != "ok"
    assert text_of(await session.execute("'next'")) == "'next'"


async def test_exit_is_not_the_end_of_the_session(opened: Opener) -> None:
    session = await opened()
    await session.execute("exit()")
    assert text_of(await session.execute("1 + 1", timeout=30)).strip() == "2"


async def test_rich_displays_arrive_as_mime_bundles(opened: Opener) -> None:
    session = await opened()
    code = """
from IPython.display import HTML, Markdown, SVG, display
display(HTML('<b>bold</b>'))
display(Markdown('# title'))
display(SVG('<svg xmlns="http://www.w3.org/2000/svg"/>'))
handle = display('0 %', display_id=True)
handle.update('100 %')
class Both:
    def _repr_mimebundle_(self, **_):
        return {'text/plain': 'plain', 'text/html': '<i>rich</i>', 'application/x-unknown': 'what'}
Both()
"""
    observation = await session.execute(code)
    bundles = [output.data for output in observation.outputs]
    assert bundles[0]["text/html"] == "<b>bold</b>"
    assert bundles[1]["text/markdown"] == "# title"
    assert bundles[2]["image/svg+xml"].startswith("<svg")
    assert bundles[3] == {"text/plain": "'100 %'"}
    assert bundles[4] == {"text/plain": "plain", "text/html": "<i>rich</i>"}
    assert observation.outputs[4].kind == "result"


async def test_a_small_frame_is_shown_whole_and_a_large_one_as_schema_and_head(opened: Opener, ds: Environment) -> None:
    session = await opened(ds)
    code = "import numpy as np, pandas as pd\npd.DataFrame({'a': range(3), 'b': list('xyz')})"
    small = text_of(await session.execute(code))
    assert "DataFrame with" not in small
    assert all(value in small for value in ("a", "b", "0", "1", "2", "x", "y", "z"))
    code = """
frame = pd.DataFrame({f'c{i}': np.arange(1_000_000, dtype='int32') for i in range(4)})
frame['text'] = 'w' * 50
frame.loc[:9, 'text'] = None
frame
"""
    observation = await session.execute(code)
    large = text_of(observation)
    assert "DataFrame with 1000000 rows x 5 columns" in large
    assert "c0 (int32, 0)" in large
    assert "10)" in next(line for line in large.splitlines() if line.strip().startswith("text ("))
    assert "head:" in large
    assert len(large) < 5000
    assert changes(observation)["frame"] == ("new", "DataFrame 1000000 x 5")
    wide = text_of(await session.execute("pd.DataFrame(np.zeros((30, 5000)))"))
    assert "... and 4960 more columns" in wide
    assert len(wide) < 10_000


async def test_odd_frames_are_shown_too(opened: Opener, ds: Environment) -> None:
    session = await opened(ds)
    await session.execute("import numpy as np, pandas as pd")
    for code in (
        "pd.DataFrame()",
        "pd.DataFrame(index=range(100))",
        "pd.DataFrame(np.zeros((50, 2)), columns=['same', 'same'])",
        "pd.DataFrame(np.zeros((50, 2)), columns=pd.MultiIndex.from_tuples([('a', 1), ('b', 2)]))",
    ):
        observation = await session.execute(code)
        assert observation.status == "ok", told(observation)
        assert "DataFrame" in text_of(observation) or "Index" in text_of(observation), told(observation)


async def test_what_a_cell_did_to_the_namespace(opened: Opener) -> None:
    session = await opened()
    assert changes(await session.execute("import os\nx = 1\nname = 'abc'\n_private = 2\ndef f(): pass\nclass C: pass")) == {
        "x": ("new", "int = 1"),
        "name": ("new", "str of 3 characters"),
        "f": ("new", "function"),
        "C": ("new", "class"),
    }
    assert changes(await session.execute("x = 2\ny = [1, 2]")) == {"x": ("changed", "int = 2"), "y": ("new", "list of 2")}
    assert changes(await session.execute("y.append(3)")) == {"y": ("changed", "list of 3")}
    assert changes(await session.execute("del name")) == {"name": ("deleted", "")}
    assert changes(await session.execute("x")) == {}
    assert changes(await session.execute("z = 1\n1 / 0")) == {"z": ("new", "int = 1")}


async def test_looking_at_the_namespace_runs_none_of_its_code(opened: Opener) -> None:
    session = await opened()
    code = """
class Trap:
    def __repr__(self): raise SystemExit('repr ran')
    __len__ = __eq__ = __hash__ = __repr__
    def __getattribute__(self, name): raise SystemExit('attribute looked up')
trap = Trap()
class Sly(int):
    def __repr__(self): raise SystemExit('repr ran')
sly = Sly()
Trap.__module__ = 'pandas.core'
"""
    observation = await session.execute(code)
    assert observation.status == "ok", told(observation)
    assert set(changes(observation)) == {"Trap", "trap", "Sly", "sly"}
    assert text_of(observation) == ""


async def test_very_many_variables_are_summed_up(opened: Opener) -> None:
    observation = await (await opened()).execute("globals().update({f'v{i}': i for i in range(10_000)})")
    assert 0 < len(observation.namespace) <= 50


async def test_a_figure_is_a_png(opened: Opener, ds: Environment) -> None:
    session = await opened(ds)
    observation = await session.execute("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    pictures = [output.data["image/png"] for output in observation.outputs if "image/png" in output.data]
    assert [base64.b64decode(picture)[:8] for picture in pictures] == [b"\x89PNG\r\n\x1a\n"]


async def test_magics_and_top_level_await(opened: Opener) -> None:
    session = await opened()
    assert text_of(await session.execute("import asyncio\nawait asyncio.sleep(0, 'waited')")) == "'waited'"
    assert text_of(await session.execute("%%writefile made.py\nvalue = 5")).startswith("Writing made.py")
    assert (session.workspace / "made.py").read_text().strip() == "value = 5"
    assert text_of(await session.execute("import made\nmade.value")) == "5"
    assert "value = 5" in text_of(await session.execute("%cat made.py"))
    assert "per loop" in text_of(await session.execute("%timeit -n 1 -r 1 pass"))


async def test_shell_commands(opened: Opener) -> None:
    session = await opened()
    assert text_of(await session.execute("!echo from the shell")).split() == ["from", "the", "shell"]
    assert text_of(await session.execute("found = !printf 'a\\nb\\n'\nlist(found)")) == "['a', 'b']"
    assert text_of(await session.execute("%%bash\nexpr 40 + 2")) == "42\n"
    observation = await session.execute("!echo x > made && cat made no-such-file")
    assert "no-such-file" in text_of(observation)
    assert (session.workspace / "made").read_text() == "x\n"
    code = "import subprocess\nsubprocess.run(['sh', '-c', 'echo child; echo wrong >&2'], check=True);"
    observation = await session.execute(code)
    assert "child" in text_of(observation)
    assert "wrong" in text_of(observation)


async def test_the_workspace_is_where_a_cell_is(opened: Opener) -> None:
    session = await opened()
    (session.workspace / "given").write_text("from outside")
    observation = await session.execute("import os\nopen('made', 'w').write(open('given').read())\nprint(os.getcwd())")
    assert text_of(observation, "stdout").strip() == session.inside
    assert (session.workspace / "made").read_text() == "from outside"


@pytest.mark.parametrize("code", ["input('name? ')", "import getpass\ngetpass.getpass()", "import sys\nsys.stdin.read(1)[0]"])
async def test_asking_for_input_is_an_error_and_never_waits(opened: Opener, code: str) -> None:
    observation = await (await opened()).execute(code)
    assert observation.status == "error"


async def test_a_cell_that_takes_too_long_is_interrupted_and_keeps_its_variables(opened: Opener) -> None:
    session = await opened()
    observation = await session.execute("kept = 1\nprint('before', flush=True)\nwhile True: pass", timeout=1)
    assert observation.status == "timeout"
    assert observation.note == "stopped after 1 s"
    assert "before" in text_of(observation)
    assert observation.error is not None
    assert observation.error.name == "KeyboardInterrupt"
    assert not observation.state_lost
    assert text_of(await session.execute("kept")) == "1"


async def test_no_cell_gets_more_than_the_sessions_own_time(opened: Opener) -> None:
    session = await opened(cell_seconds=1)
    assert (await session.execute("while True: pass", timeout=1000)).note == "stopped after 1 s"


@pytest.mark.parametrize("code", ["import asyncio\nawait asyncio.sleep(1000)", "import time\ntime.sleep(1000)", "!sleep 1000"])
async def test_waiting_cells_are_interrupted_too(opened: Opener, code: str) -> None:
    session = await opened()
    observation = await session.execute(code, timeout=1)
    assert observation.status == "timeout"
    assert not observation.state_lost, told(observation)


async def test_cancelling_stops_the_cell_that_runs_and_no_other(opened: Opener) -> None:
    session = await opened()
    session.cancel()
    assert text_of(await session.execute("kept = 'here'\nkept")) == "'here'"
    observation = await session.execute(
        "print('running', flush=True)\nwhile True: pass", on_output=lambda output: session.cancel() if "running" in output.text else None
    )
    assert observation.status == "interrupted"
    assert observation.note == "stopped by the user"
    assert not observation.state_lost
    assert text_of(await session.execute("kept")) == "'here'"


async def test_a_call_that_is_cancelled_leaves_a_session_that_works(opened: Opener) -> None:
    session = await opened()
    running = asyncio.Event()
    task = asyncio.create_task(session.execute("print('running', flush=True)\nwhile True: pass", on_output=lambda _: running.set()))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await task
    seen = cancelled.value.observation  # type: ignore[attr-defined]
    assert seen.status == "interrupted" and "running" in text_of(seen)
    observation = await session.execute("1 + 1", timeout=20)
    assert observation.status == "ok", told(observation)
    assert text_of(observation) == "2"


IGNORING = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
open('file', 'w').write('kept')
variable = 1
print('running', flush=True)
while True: pass
"""


async def test_a_cell_that_ignores_the_interrupt_is_killed_and_its_files_are_kept(opened: Opener) -> None:
    session = await opened()
    observation = await session.execute(IGNORING, timeout=1)
    assert observation.status == "timeout"
    assert observation.state_lost
    assert "killed" in observation.note
    assert "files are kept" in observation.note
    assert "running" in text_of(observation)
    after = await session.execute("open('file').read(), 'variable' in globals()")
    assert text_of(after) == "('kept', False)"
    assert (await session.execute("open('file', 'w').write('x')")).status == "ok"


async def test_a_kernel_that_is_killed_says_so_and_starts_again(opened: Opener) -> None:
    session = await opened()
    heard = session.workspace / "heard"
    code = """
import os
import shutil
import tempfile
import threading
open('file', 'w').write('kept')
print('last words', flush=True)
while not os.path.exists('heard'): pass
os.kill(os.getpid(), 9)
"""
    observation = await session.execute(code, on_output=lambda _: heard.touch())
    assert observation.status == "died"
    assert observation.state_lost
    assert observation.note.startswith("the kernel died: killed by SIGKILL")
    assert "last words" in text_of(observation)
    assert text_of(await session.execute("open('file').read()")) == "'kept'"


async def test_a_kernel_that_dies_of_something_else_says_what(opened: Opener) -> None:
    session = await opened()
    observation = await session.execute("import ctypes\nctypes.string_at(0)")
    assert observation.status == "died"
    assert "SIGSEGV" in observation.note
    observation = await session.execute("import os\nos._exit(7)")
    assert observation.status == "died"
    assert "exit code 7" in observation.note


async def test_a_kernel_killed_between_cells_is_noticed_at_the_next(opened: Opener) -> None:
    session = await opened()
    await session.execute(
        "import os, threading\nthreading.Thread(target=lambda: (open('/proc/self/comm').read(), os.kill(os.getpid(), 9))).start()"
    )
    observation = await session.execute("1 + 1")
    if observation.status == "died":
        assert observation.state_lost
        observation = await session.execute("1 + 1")
    assert text_of(observation) == "2"


async def test_an_environment_that_is_not_built_is_refused_with_the_remedy(tmp_path: Path, minimal: Environment) -> None:
    session = KernelSession(replace(minimal, prefix=tmp_path / "nothing"), tmp_path)
    with pytest.raises(SandboxError, match="is not built") as raised:
        await session.start()
    assert raised.value.hint == "workbench environments build python-min"
    await session.close()


async def test_an_environment_that_is_broken_says_what_its_interpreter_said(tmp_path: Path, minimal: Environment) -> None:
    broken = replace(minimal, prefix=tmp_path / "broken")
    (broken.prefix / "bin").mkdir(parents=True)
    (broken.prefix / "complete").touch()
    broken.python.symlink_to(minimal.python.resolve())
    before = set(runtime.mine().iterdir())
    with pytest.raises(SandboxError) as raised:
        await KernelSession(broken, tmp_path).start()
    assert "ModuleNotFoundError" in raised.value.message
    assert set(runtime.mine().iterdir()) == before


@pytest.mark.parametrize("sandbox", ["local", "none"])
async def test_nothing_is_left_after_close(tmp_path: Path, minimal: Environment, sandbox: str) -> None:
    session = KernelSession(minimal, tmp_path, sandbox=sandbox)  # type: ignore[arg-type]
    await session.start()
    held = holdings(session)
    marker = f"marker-{os.urandom(8).hex()}"
    code = f"""
import subprocess, sys
def start(marker):
    return subprocess.Popen([sys.executable, '-c', 'import os, signal; print(1, flush=True); signal.pause()', marker],
                            start_new_session=True, stdout=subprocess.PIPE)
child = start({marker!r} + '-child')
child.stdout.readline()
# and one whose parent is gone
script = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import signal; print(1, flush=True); signal.pause()', sys.argv[1]], start_new_session=True, stdout=subprocess.PIPE); p.stdout.readline()"
subprocess.run([sys.executable, '-c', script, {marker!r} + '-orphan'], check=True)
"""
    observation = await session.execute(code)
    assert observation.status == "ok", told(observation)
    try:
        assert len(processes_with(f"{marker}-child")) == 1
        assert len(processes_with(f"{marker}-orphan")) == 1
        assert all(folder.is_dir() for folder in held)
        await session.close()
        assert not processes_with(marker)
        assert not [folder for folder in held if folder.exists()]
        await session.close()
    finally:
        await session.close()
        for process in processes_with(marker):
            process.kill()


async def test_sessions_leave_no_descriptors_or_threads_behind(tmp_path: Path, minimal: Environment) -> None:
    def held() -> tuple[int, int]:
        gc.collect()
        process = psutil.Process()
        # the event loop keeps its helpers, and takes on as many as it has ever needed at once
        helpers = sum(thread.name.startswith("asyncio_") for thread in threading.enumerate())
        return process.num_fds(), process.num_threads() - helpers

    async def once() -> None:
        async with KernelSession(minimal, tmp_path) as session:
            assert text_of(await session.execute("1 + 1")) == "2"

    await once()
    before = held()
    for _ in range(4):
        await once()
    assert await eventually(lambda: held()[0] <= before[0] + 3 and held()[1] <= before[1] + 1), (before, held())


async def test_a_workspace_outlives_its_session(tmp_path: Path, minimal: Environment) -> None:
    for number in range(2):
        async with KernelSession(minimal, tmp_path) as session:
            code = f"import os\nos.makedirs('deep/er', exist_ok=True)\nopen('deep/er/file', 'a').write('{number}')\nopen('deep/er/file').read()"
            observation = await session.execute(code)
    assert text_of(observation) == "'01'"
    assert (tmp_path / "deep/er/file").read_text() == "01"


async def test_many_sessions_at_once_do_not_meet(opened: Opener) -> None:
    sessions = await asyncio.gather(*(opened() for _ in range(4)))
    await asyncio.gather(*(session.execute(f"x = {number}\nopen('x', 'w').write(str(x))") for number, session in enumerate(sessions)))
    answers = await asyncio.gather(*(session.execute("import os\nx, os.listdir()") for session in sessions))
    assert [ast.literal_eval(text_of(answer)) for answer in answers] == [(number, ["x"]) for number in range(4)]


async def test_what_stands_is_said(opened: Opener) -> None:
    session = await opened()
    assert any("bubblewrap" in wall or "sandlock" in wall for wall in session.walls)
    assert "rlimits" in session.walls
    held = {"cgroup", "watchdog"}
    assert any(wall.partition(" ")[0].rstrip(":") in held for wall in session.walls)


async def test_without_a_sandbox_it_works_and_says_that_no_wall_stands(opened: Opener) -> None:
    session = await opened(sandbox="none")
    assert any("every wall" in each for each in session.missing)
    assert not any(wall.startswith(("bubblewrap", "sandlock", "landlock", "unprivileged")) for wall in session.walls)
    assert session.inside == str(session.workspace)
    observation = await session.execute("import os\nos.getcwd()")
    assert text_of(observation) == repr(str(session.workspace))


async def test_without_a_sandbox_no_variable_of_the_users_enters(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "canary-of-the-user")
    session = await opened(sandbox="none")
    observation = await session.execute("import os\nprint(dict(os.environ), open('/proc/self/environ').read())")
    assert observation.status == "ok"
    assert "canary-of-the-user" not in text_of(observation)


async def test_the_watchdog_holds_memory_where_there_is_no_cgroup(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.kernels.cgroups.Cgroup.create", lambda *_, **__: None)
    session = await opened(policy=Policy(limits=Limits(memory=512 * 2**20)))
    assert "watchdog: memory" in session.walls
    assert any(each.startswith("cgroup") for each in session.missing)
    code = "import mmap\nm = mmap.mmap(-1, 1 << 30)\nfor i in range(0, 1 << 30, 4096): m[i] = 1\nwhile True: pass"
    observation = await session.execute(code)
    assert observation.status == "died", told(observation)
    assert f"memory limit of {512 * 2**20} bytes" in observation.note
    assert text_of(await session.execute("1 + 1")) == "2"


async def test_an_environment_below_tmp_is_not_lost_behind_the_kernel_s_own(
    minimal: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_walls("bubblewrap")
    with tempfile.TemporaryDirectory(dir="/tmp") as cache:
        Path(cache).chmod(0o755)
        monkeypatch.setenv("WORKBENCH_CACHE", cache)
        there = environments.find("python-min")
        shutil.copytree(minimal.prefix, there.prefix, symlinks=True, copy_function=shutil.copyfile)
        for program in (there.prefix / "bin").iterdir():
            program.chmod(0o755)
        (tmp_path / "work").mkdir()
        async with KernelSession(there, tmp_path / "work") as session:
            assert text_of(await session.execute("import ipykernel\n6 * 7")) == "42"
            assert any("lies below /tmp" in each for each in session.provisioner.missing)
