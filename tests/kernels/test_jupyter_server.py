"""Sandboxed kernels in a real Jupyter Server, by the kernelspec that ``workbench kernels install`` writes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from workbench.kernels.cgroups import Cgroup
from workbench.kernels.environments import Environment
from workbench.kernels.limits import Limits

from .jupyter import BrowserKernel, Server, folders, text
from .package_index import NAME, index
from .tools import eventually

pytestmark = pytest.mark.walls

BUSY = "print('begun', flush=True)\nwhile True: pass"
AWAITING = "import asyncio\nprint('begun', flush=True)\nawait asyncio.sleep(3600)"
DAEMON = "import subprocess\nchild = subprocess.Popen(['sleep', '3600'], start_new_session=True)"
DEAF = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('begun', flush=True)\nwhile True: pass"


@pytest.fixture(scope="module")
def server(minimal: Environment) -> Iterator[Server]:
    """One for all tests that leave it as it was."""
    with folders() as made:
        asyncio.run(made.start())
        yield made


@pytest.fixture
async def doomed(minimal: Environment) -> AsyncIterator[Server]:
    """One for a test that ends it."""
    with folders() as made:
        await made.start()
        yield made


@pytest.fixture
async def kernel(server: Server) -> AsyncIterator[BrowserKernel]:
    async with server.kernel() as made:
        yield made


def mimes(outputs: list[dict[str, Any]]) -> set[str]:
    return {mime for output in outputs for mime in output["content"].get("data", {})}


def folder_of(server: Server, kernel: str) -> Path:
    return next((server.root / "t").glob(f"workbench-*/*/{kernel}"))


def groups_of(server: Server) -> list[Path]:
    """The cgroups of the server's kernels."""
    owners = [path.name for path in (server.root / "t").glob("workbench-*/*") if path.is_dir()]
    probe = Cgroup.create(f"workbench-probe-{os.getpid()}", Limits())
    if probe is None:
        return []
    probe.remove()
    return [found for folder in probe.folders for owner in owners for found in folder.parent.glob(f"workbench-{owner}-*")]


async def test_the_server_offers_it_and_runs_cells(server: Server, kernel: BrowserKernel) -> None:
    offered = (await server.ask("GET", "kernelspecs"))["kernelspecs"]["python-sandboxed"]["spec"]
    assert offered["display_name"] == "Python (sandboxed: python-min, local)"
    assert offered["interrupt_mode"] == "message"
    shown = await kernel.run("import os\nprint('hello')\nfrom IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'))\nos.getcwd()")
    assert text(shown).startswith("hello\n")
    assert "'/workspace'" in text(shown)
    assert any(output["content"].get("data", {}).get("text/html") == "<b>x</b>" for output in shown)
    assert "FileNotFoundError" in text(await kernel.run(f"open({str(server.root / 'log')!r})"))
    assert "Network is unreachable" in json.dumps(await kernel.run("import socket\nsocket.create_connection(('192.0.2.1', 80), 5)"))


async def test_figures_and_frames_are_shown_and_what_only_agents_read_is_not(server: Server, ds: Environment) -> None:
    server.cli("kernels", "install", "--name", "science", "--prefix", str(server.root))
    async with server.kernel("science") as kernel:
        plotted = await kernel.run("import matplotlib.pyplot as plt\nlines = plt.plot([1, 2])")
        assert mimes(plotted) == {"image/png", "text/plain"}
        assert mimes(await kernel.run("import pandas\nframe = pandas.DataFrame({'a': [1]})\nframe")) == {"text/html", "text/plain"}


@pytest.mark.parametrize("code", [BUSY, AWAITING], ids=["busy", "awaiting"])
async def test_a_cell_is_interrupted_and_variables_are_kept(server: Server, kernel: BrowserKernel, code: str) -> None:
    await kernel.run("kept = 7")
    request = await kernel.send(code)
    await kernel.started(request, "begun")
    await server.ask("POST", f"kernels/{kernel.id}/interrupt", {})
    assert ("KeyboardInterrupt" in text(shown := await kernel.outputs(request))) or "CancelledError" in text(shown)
    assert text(await kernel.run("kept")) == "7"


@pytest.mark.parametrize("code", ["pass", DEAF], ids=["idle", "deaf to interrupts"])
async def test_a_restart_loses_variables_and_keeps_files(server: Server, kernel: BrowserKernel, code: str) -> None:
    await kernel.run("lost = 7\nopen('kept', 'w').write('x')")
    (before,) = server.live()
    said = len(server.log)
    request = await kernel.send(code)
    if code == DEAF:
        await kernel.started(request, "begun")
        await server.ask("POST", f"kernels/{kernel.id}/interrupt", {})
        await kernel.control_answers()
    else:
        await kernel.outputs(request)
    await kernel.restart()
    assert text(await kernel.run("open('kept').read()")) == "'x'"
    assert text(await kernel.run("lost")) == "NameError"
    (after,) = server.live()
    assert (after["kernel"], after["restarts"]) == (before["kernel"], before["restarts"] + 1)
    assert not psutil.pid_exists(before["pid"])
    assert "variables are lost, files are kept" in server.log[said:]


async def test_a_kernel_that_dies_is_started_again_and_the_log_says_what_is_lost(server: Server, kernel: BrowserKernel) -> None:
    await kernel.run("lost = 7\nopen('kept', 'w').write('x')")
    said = len(server.log)
    await kernel.send("import os\nos._exit(3)")
    await kernel.hear(lambda message: message["content"].get("execution_state") == "restarting")
    assert await eventually(lambda: "exit code 3; it is started again: variables are lost, files are kept" in server.log[said:])
    await kernel.heard_again()
    assert [each["restarts"] for each in server.live()] == [1]
    assert text(await kernel.run("open('kept').read()")) == "'x'"
    assert text(await kernel.run("lost")) == "NameError"


async def test_what_a_dead_kernel_left_where_its_sockets_are_is_not_followed(server: Server, kernel: BrowserKernel) -> None:
    victim = server.root / "victim"
    victim.write_text("mine")
    plant = f"""
import os
for name in ('kernel.json', 'inside.json'):
    path = '/connection/' + name
    if os.path.lexists(path): os.remove(path)
    os.symlink({str(victim)!r}, path)
sorted(os.listdir('/connection'))
"""
    assert "kernel.json" in text(await kernel.run(plant))
    await kernel.restart()
    assert text(await kernel.run("1 + 1")) == "2"
    assert victim.read_text() == "mine"


async def test_after_a_shutdown_nothing_is_left(doomed: Server) -> None:
    async with doomed.kernel() as kernel:
        started = (
            "import subprocess\nsubprocess.Popen(['sleep', '3600'], start_new_session=True)\nopen('file', 'w').write('x')\nprint('up')"
        )
        assert text(await kernel.run(started)).startswith("up")
        (live,) = doomed.live()
        assert (live["environment"], live["sandbox"], live["workspace"]) == ("python-min", "local", None)
        assert live["owner"] == doomed.process.pid
        assert live["memory"] > 2**20
        below = [each.pid for each in psutil.Process(live["pid"]).children(recursive=True)]
        folder, groups = folder_of(doomed, live["kernel"]), groups_of(doomed)
        assert below
        assert (folder / "workspace" / "file").read_text() == "x"
    assert doomed.live() == []
    assert not folder.exists()
    assert not any(group.exists() for group in groups)
    assert not any(map(psutil.pid_exists, [live["pid"], *below]))
    images = psutil.Process(doomed.process.pid).children(recursive=True)
    doomed.stop()
    assert await eventually(lambda: not any(each.is_running() for each in images))
    assert [path for path in (doomed.root / "t").glob("workbench-*/*") if path.is_dir()] == []


async def test_a_shared_workspace_is_the_users_again_afterwards(server: Server) -> None:
    mine = server.root / "mine"
    mine.mkdir()
    (mine / "data.csv").write_text("1,2\n")
    server.cli(
        "kernels", "install", "--environment", "python-min", "--name", "shared", "--prefix", str(server.root), "--workspace", str(mine)
    )
    async with server.kernel("shared") as kernel:
        assert text(await kernel.run("open('data.csv').read()")) == "'1,2\\n'"
        await kernel.run("import os\nos.makedirs('a/b')\nopen('a/b/made', 'w').write('x')\nos.symlink('/etc/hostname', 'link')")
        (live,) = server.live()
        assert live["workspace"] == str(mine)
        if os.geteuid() == 0:
            refused = await server.ask("POST", "kernels", {"name": "shared"})
            assert "is the workspace of another kernel" in refused["message"]
            assert len(server.live()) == 1
    owner = (mine / "data.csv").stat().st_uid
    assert owner == os.geteuid()
    assert {path.lstat().st_uid for path in [mine, *mine.rglob("*")]} == {owner}
    assert (mine / "a" / "b" / "made").read_text() == "x"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"environment": "python-none"}, "no environment is called 'python-none'"),
        ({"policy": {"limits": {"memroy": "2G"}}}, "there is no limit 'memroy'"),
        ({"policy": {"hosts": []}}, "a policy has no 'hosts'"),
        ({"colour": "red"}, "'colour'"),
        ({"workspace": "/no/such/folder"}, "/no/such/folder is no folder"),
    ],
    ids=["environment", "limit", "policy", "setting", "workspace"],
)
async def test_a_kernelspec_that_cannot_be_is_told_in_the_browser(server: Server, change: dict[str, object], said: str) -> None:
    file = server.kernelspecs / "python-sandboxed" / "kernel.json"
    spec = json.loads(file.read_text())
    spec["metadata"]["kernel_provisioner"]["config"] |= change
    other = file.parent.with_name("changed")
    other.mkdir(exist_ok=True)
    (other / "kernel.json").write_text(json.dumps(spec))
    answer = await server.ask("POST", "kernels", {"name": "changed"})
    assert answer["code"] == 500
    assert said in answer["message"]
    assert server.live() == []


async def test_when_the_server_is_killed_its_kernels_die_at_once(doomed: Server) -> None:
    answer = await doomed.ask("POST", "kernels", {"name": "python-sandboxed"})
    kernel = BrowserKernel(doomed, answer["id"])
    await kernel.connect()
    await kernel.run(DAEMON)
    everything = psutil.Process(doomed.process.pid).children(recursive=True)
    assert len(everything) > 3
    doomed.stop(signal.SIGKILL)
    assert await eventually(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in everything))
    assert doomed.live() == []
    assert len(doomed.cli("kernels", "gc")["removed"]["local"]) == 1
    assert [path for path in (doomed.root / "t").glob("workbench-*/*") if path.is_dir()] == []


async def test_packages_are_installed_where_the_kernelspec_lets_them_through(server: Server, tmp_path: Path) -> None:
    with index(tmp_path) as port:
        spec = ["--environment", "python-min", "--name", "with-index", "--network", f"localhost:{port}", "--prefix", str(server.root)]
        server.cli("kernels", "install", *spec)
        async with server.kernel("with-index") as kernel:
            assert "Successfully installed" in text(await kernel.run(f"%pip install -i http://localhost:{port}/simple {NAME}"))
            assert text(await kernel.run("import made_up\nmade_up.version")) == "'2.0'"


async def test_exit_ends_the_cell_and_not_the_kernel(kernel: BrowserKernel) -> None:
    assert text(await kernel.run("x = 1\nexit()\nx = 2")) == "SystemExit"
    assert text(await kernel.run("import sys\nsys.stdout = None\nx")).startswith("1[sys.stdout was left as None")
    assert text(await kernel.run("print('back')")) == "back\n"
