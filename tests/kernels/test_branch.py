"""Forking a live kernel: what crosses, what is reported, and that no library's work in threads makes a branch hang."""
# ruff: noqa: E501  (cells as they are run)

from __future__ import annotations

import ast
import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from workbench.kernels import runtime
from workbench.kernels.environments import Environment
from workbench.kernels.limits import Limits
from workbench.kernels.policy import Policy
from workbench.kernels.session import KernelSession

from ..conftest import require_walls
from .tools import PATIENCE, eventually, groups, holdings, text_of, told

pytestmark = pytest.mark.walls

Start = Callable[..., Any]


@pytest.fixture
async def start(ds: Environment) -> AsyncIterator[Start]:
    """Start a kernel with the data stack, forked from the shared image."""
    require_walls("bubblewrap")
    async with AsyncExitStack() as stack:

        async def begin(**limits: Any) -> KernelSession:
            workspace = runtime.folder(f"t-{len(stack._exit_callbacks)}")
            stack.callback(shutil.rmtree, workspace, True)
            policy = Policy(limits=Limits(**{"processes": 512, **limits}))
            return await stack.enter_async_context(KernelSession(ds, workspace, policy=policy, cell_seconds=PATIENCE))

        yield begin


@pytest.fixture
async def fork() -> AsyncIterator[Start]:
    """Take a branch."""
    async with AsyncExitStack() as stack:

        async def take(kernel: KernelSession) -> KernelSession:
            branch = await kernel.fork()
            stack.callback(shutil.rmtree, branch.workspace, True)
            stack.push_async_callback(branch.close)
            return branch

        yield take


async def value_of(kernel: KernelSession, code: str) -> Any:
    observation = await kernel.execute(code)
    assert observation.status == "ok", told(observation)
    return ast.literal_eval(text_of(observation, "result"))


THREADS = "import threadpoolctl, numpy as np\nthreadpoolctl.threadpool_limits(4)\nrng = np.random.default_rng(0)\nX = rng.random((4000, 8)); y = (X[:, 0] > .5).astype(int)\n"

WORK = {
    "OpenBLAS": (THREADS, "float((rng.random((900, 900)) @ rng.random((900, 900))).sum()) > 0"),
    "scikit-learn with GNU OpenMP": (
        THREADS + "from sklearn.ensemble import HistGradientBoostingClassifier as H",
        "float(H(max_iter=5).fit(X, y).score(X, y)) > 0.9",
    ),
    "scikit-learn with one thread": (
        "import numpy as np\nX = np.random.rand(4000, 8); y = (X[:, 0] > .5).astype(int)\nfrom sklearn.ensemble import HistGradientBoostingClassifier as H",
        "float(H(max_iter=5).fit(X, y).score(X, y)) > 0.9",
    ),
    "k-means": (THREADS + "from sklearn.cluster import KMeans", "KMeans(3, n_init=1).fit(X).n_iter_ > 0"),
    "a random forest in threads": (
        THREADS + "from sklearn.ensemble import RandomForestClassifier as R",
        "float(R(20, n_jobs=4).fit(X, y).score(X, y)) > 0.9",
    ),
    "joblib in processes": (
        "import math\nfrom joblib import Parallel, delayed",
        "Parallel(n_jobs=2)(delayed(math.sqrt)(i) for i in range(4))[3] > 1.7",
    ),
    "joblib in threads": (
        "import math\nfrom joblib import Parallel, delayed",
        "Parallel(n_jobs=2, backend='threading')(delayed(math.sqrt)(i) for i in range(4))[3] > 1.7",
    ),
    "pandas": (
        "import pandas as pd, numpy as np\nframe = pd.DataFrame(np.random.rand(50_000, 5))",
        "len(frame.groupby((frame[0] * 10).astype(int)).mean()) == 10",
    ),
    "DuckDB": (
        "import duckdb\nconnection = duckdb.connect()\nconnection.execute('SET threads TO 4')",
        "connection.execute('SELECT count(*) FROM range(2000000) t(a) GROUP BY a % 7').fetchall()[0][0] > 0",
    ),
    "DuckDB's own connection": ("import duckdb", "duckdb.sql('SELECT sum(range) FROM range(2000000)').fetchall()[0][0] > 0"),
    "DuckDB out of sight": (
        "import duckdb\nclass Hidden:\n    def __init__(self): self.connection = duckdb.connect(); self.connection.execute('SET threads TO 4')\nhidden = [Hidden()]",
        "hidden[0].connection.execute('SELECT count(*) FROM range(2000000) t(a) GROUP BY a % 7').fetchall()[0][0] > 0",
    ),
    "Arrow": (
        "import pyarrow as pa, pyarrow.parquet as pq, io, numpy as np\npa.set_cpu_count(4)\ntable = pa.table({'a': np.random.rand(500_000), 'b': np.arange(500_000) % 100})",
        "file = io.BytesIO(); pq.write_table(table, file); pq.read_table(pa.BufferReader(file.getvalue())).group_by('b').aggregate([('a', 'sum')]).num_rows == 100",
    ),
    "matplotlib": (
        "import matplotlib.pyplot as plt, io",
        "figure = plt.figure(); figure.gca().plot([1, 2]); file = io.BytesIO(); figure.savefig(file); plt.close(figure); len(file.getvalue()) > 1000",
    ),
    "multiprocessing": ("import math, multiprocessing", "multiprocessing.get_context('fork').Pool(2).map(math.sqrt, [4])[0] == 2"),
    "a pool of threads": (
        "import math\nfrom concurrent.futures import ThreadPoolExecutor",
        "with ThreadPoolExecutor(3) as pool: done = list(pool.map(math.sqrt, [4, 9]))\ndone == [2, 3]",
    ),
    "asyncio": ("import asyncio", "await asyncio.gather(asyncio.to_thread(int, '1'), asyncio.sleep(0, 2)) == [1, 2]"),
    "a subprocess": ("import subprocess", "subprocess.run(['echo', 'said'], capture_output=True, text=True).stdout == 'said\\n'"),
    "torch": (
        "import importlib.util\ntorch = importlib.util.find_spec('torch') and __import__('torch')",
        "torch is None or float((torch.ones(500, 500) @ torch.ones(500, 500))[0, 0]) == 500",
    ),
}
"""Setting up, and work that uses threads or processes: done before the fork and after, on both sides."""


@pytest.mark.parametrize("name", WORK)
async def test_a_branch_does_what_the_kernel_did(start: Start, fork: Start, name: str) -> None:
    setup, work = WORK[name]
    kernel = await start()
    assert (await kernel.execute(setup)).status == "ok"
    assert await value_of(kernel, work) is True
    branch = await fork(kernel)
    # before the kernel it was taken from, and after: each has to do without the other
    for each in (branch, kernel, branch):
        assert await value_of(each, work) is True, branch.branched
    if branch.branched.by == "replay":
        assert "alive" in branch.branched.reason
    else:
        assert not branch.branched.reason
    twig = await fork(branch)
    assert await value_of(twig, work) is True


async def test_threads_of_a_library_that_would_hang_are_named(start: Start, fork: Start) -> None:
    others = groups()
    kernel = await start()
    one = groups() - others
    await kernel.execute(THREADS + "from sklearn.ensemble import HistGradientBoostingClassifier as H\nmodel = H(max_iter=5).fit(X, y)")
    branch = await fork(kernel)
    assert branch.branched.by == "replay"
    # the one that was refused has left nothing
    assert groups() == others + 2 * one
    assert "GNU OpenMP" in branch.branched.reason
    assert branch.branched.diverged == []
    assert await value_of(branch, "float(model.score(X, y)) > 0.9") is True


async def test_a_replay_that_shows_something_else_is_told(start: Start, fork: Start) -> None:
    kernel = await start()
    await kernel.execute("x = 1")
    await kernel.execute("import os\nos.urandom(4).hex()")
    await kernel.execute(THREADS + "from sklearn.ensemble import HistGradientBoostingClassifier as H\nmodel = H(max_iter=5).fit(X, y)")
    branch = await fork(kernel)
    assert branch.branched.by == "replay"
    assert [each.number for each in branch.branched.diverged] == [2]
    assert branch.branched.diverged[0].recorded != branch.branched.diverged[0].replayed


async def test_what_does_not_cross_is_reported(start: Start, fork: Start) -> None:
    kernel = await start()
    code = """
import socket, subprocess, sys, threading
server = socket.create_server(('127.0.0.1', 0))
port = server.getsockname()[1]
stop = threading.Event()
threading.Thread(target=stop.wait, name='waiting').start()
child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
"""
    assert (await kernel.execute(code)).status == "ok"
    branch = await fork(kernel)
    assert branch.branched.by == "fork"
    reported = "\n".join(branch.branched.not_carried)
    assert "thread 'waiting'" in reported
    assert "socket at ('127.0.0.1'" in reported
    assert "child process" in reported
    # the kernel goes on with all of it, undisturbed
    assert (
        await value_of(
            kernel, "visitor = socket.create_connection(('127.0.0.1', port)); accepted = server.accept()[0]; child.poll() is None"
        )
        is True
    )
    assert await value_of(branch, "server.fileno(), [t.name for t in threading.enumerate() if t.name == 'waiting']") == (-1, [])


SHARED = {
    "a file mapped": "import mmap\nfile = open('mapped', 'w+b'); file.write(b'0' * 4096); file.flush()\nm = mmap.mmap(file.fileno(), 4096)",
    "a file mapped that is gone": "import mmap, os\nfile = open('mapped', 'w+b'); file.write(b'0' * 4096); file.flush()\nm = mmap.mmap(file.fileno(), 4096)\nos.remove('mapped')",
    "anonymous memory": "import mmap\nm = mmap.mmap(-1, 4096); m[:] = b'0' * 4096",
    "a memory file": "import mmap, os\nfd = os.memfd_create('x'); os.truncate(fd, 4096)\nm = mmap.mmap(fd, 4096); m[:] = b'0' * 4096",
    "shared memory with a name": "from multiprocessing import shared_memory\nkept = shared_memory.SharedMemory('x1', create=True, size=4096)\nm = kept.buf; m[:] = b'0' * 4096",
    "an array of numpy's": "import numpy as np\nm = np.memmap('mapped', mode='w+', shape=4096, dtype='S1'); m[:] = b'0'",
}


@pytest.mark.parametrize("share", SHARED.values(), ids=list(SHARED))
async def test_shared_memory_is_shared_no_more(start: Start, fork: Start, share: str) -> None:
    kernel = await start()
    assert (await kernel.execute(share)).status == "ok"
    branch = await fork(kernel)
    assert branch.branched.by == "fork"
    assert await value_of(branch, "bytes(m[:3])") == b"000"
    await branch.execute("m[0:1] = b'B'")
    assert await value_of(kernel, "bytes(m[:3])") == b"000"
    await kernel.execute("m[1:2] = b'K'")
    assert await value_of(branch, "bytes(m[:3])") == b"B00"


OPEN = {
    "read half": ("f = open('f', 'w+'); f.write('abcdef'); f.seek(2)", "f.read(2)", "cd"),
    "being written": ("f = open('f', 'w'); f.write('abc'); f.flush()", "f.write('X'); f.flush(); open('f').read()", "abcX"),
    "not yet written": ("f = open('f', 'w'); f.write('abc')", "f.write('X'); f.flush(); open('f').read()", "abcX"),
    "appended to": ("f = open('f', 'a'); f.write('abc'); f.flush()", "f.write('X'); f.flush(); open('f').read()", "abcX"),
    "without a name": (
        "import tempfile\nf = tempfile.TemporaryFile('w+'); f.write('abcdef'); f.flush(); f.seek(1)",
        "f.write('X'); f.seek(0); f.read()",
        "aXcdef",
    ),
    "in /tmp": ("f = open('/tmp/f', 'w+'); f.write('abcdef'); f.seek(2)", "f.read(2)", "cd"),
}


@pytest.mark.parametrize("name", OPEN)
async def test_an_open_file_goes_on_where_it_was_on_each_side(start: Start, fork: Start, name: str) -> None:
    before, after, expected = OPEN[name]
    kernel = await start()
    assert (await kernel.execute(before)).status == "ok"
    branch = await fork(kernel)
    assert await value_of(branch, after) == expected
    assert await value_of(kernel, after) == expected


async def test_sixteen_branches_of_one_kernel_are_apart(start: Start, fork: Start) -> None:
    kernel = await start(processes=400)
    await kernel.execute("x = 0")
    branches = [await fork(kernel) for _ in range(16)]
    for number, branch in enumerate(branches):
        assert await value_of(branch, f"x += {number}\nopen('n', 'w').write(str(x))\nx") == number
    assert [await value_of(branch, "x, open('n').read()") for branch in branches] == [(n, str(n)) for n in range(16)]
    assert await value_of(kernel, "import os\nx, os.listdir('.')") == (0, [])


async def test_deep_branches_keep_their_past(start: Start, fork: Start) -> None:
    kernel = await start()
    await kernel.execute("path = []")
    for depth in range(6):
        await kernel.execute(f"path.append({depth})\nopen('depth{depth}', 'w').close()")
        kernel = await fork(kernel)
        assert kernel.branched.by == "fork"
    assert await value_of(kernel, "import os\npath, sorted(os.listdir('.')), os.getcwd()") == (
        list(range(6)),
        [f"depth{n}" for n in range(6)],
        "/workspace",
    )


async def test_an_interrupt_of_the_kernel_is_none_of_its_branches(start: Start, fork: Start) -> None:
    kernel = await start()
    branch = await fork(kernel)
    waiting = "import os, time\nopen('on', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.01)\n'went on'"
    running = asyncio.ensure_future(branch.execute(waiting))
    assert await eventually(lambda: (branch.workspace / "on").exists())
    assert (await kernel.execute("while True: pass", timeout=0.5)).status == "timeout"
    await branch.put("go", b"")
    assert text_of(await running, "result") == "'went on'"


async def test_a_folder_that_is_open_is_the_branch_s_own(start: Start, fork: Start) -> None:
    kernel = await start()
    await kernel.execute(
        "import os\nfolder = os.open('.', os.O_RDONLY)\nos.mkdir('gone')\ngone = os.open('gone', os.O_RDONLY)\nos.rmdir('gone')"
    )
    branch = await fork(kernel)
    assert branch.branched.by == "fork"
    await kernel.execute("open('later', 'w').close()")
    assert await value_of(branch, "os.mkdir('mine', dir_fd=folder)\nos.listdir(folder), os.path.isdir('mine')") == (["mine"], True)
    assert await value_of(kernel, "os.listdir(folder)") == ["later"]


async def test_a_kernel_too_large_to_copy_is_not_branched_and_goes_on(start: Start) -> None:
    kernel = await start(workspace_bytes=2**20)
    await kernel.execute("open('big', 'wb').write(bytes(900_000))")
    before = set(runtime.mine().iterdir())
    branch = await kernel.fork()
    await branch.close()
    shutil.rmtree(branch.workspace)
    assert set(runtime.mine().iterdir()) == before
    assert await value_of(kernel, "1") == 1


async def test_nothing_of_a_closed_branch_stays(start: Start) -> None:
    kernel = await start()
    await kernel.execute("x = 1")
    branch = await kernel.fork()
    held = holdings(branch)
    pids = [each.pid for each in branch.provisioner.process._tree()]
    await branch.execute(
        "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import os, signal; os.setsid(); signal.pause()'])"
    )
    pids += [each.pid for each in branch.provisioner.process._tree()]
    assert pids and all(folder.exists() for folder in held)
    await branch.close()
    shutil.rmtree(branch.workspace)
    assert not any(folder.exists() for folder in held)
    assert not any(each.pid in pids for each in kernel.provisioner.process._tree())
    assert await value_of(kernel, "x") == 1


async def test_figures_are_shown_by_a_kernel_and_by_its_branch(start: Start, fork: Start) -> None:
    kernel = await start()
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
    branch = await fork(kernel)
    for each in (kernel, branch):
        assert ["image/png" in output.data for output in (await each.execute(code)).outputs] == [True]
