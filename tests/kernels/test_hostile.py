"""The red team: programs that want out, behind bubblewrap and behind what stands in for it, and what is left of the host."""
# ruff: noqa: E501  (programs as they are run)

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conftest import hide_bubblewrap, require_walls
from workbench import paths
from workbench.kernels import runtime, walls
from workbench.kernels.environments import Environment
from workbench.kernels.limits import Limits
from workbench.kernels.policy import Policy
from workbench.kernels.session import KernelSession
from workbench.observation import Observation

from .hostile import ATTACKS, Host, canaries
from .tools import PATIENCE, dead, disk_use, eventually, everything, holdings, memory_growth, processes_of, processes_with, text_of, told

pytestmark = [pytest.mark.walls, pytest.mark.asyncio(loop_scope="module")]

MIB = 2**20
LIMITS = Limits(memory=768 * MIB, processes=64, file_bytes=64 * MIB, open_files=1024, scratch_bytes=64 * MIB, workspace_bytes=192 * MIB)
"""Small, so that breaking them is quick."""


@pytest.fixture(scope="module", params=["bubblewrap", "sandlock"])
def wall(request: pytest.FixtureRequest) -> Iterator[str]:
    """The outer wall, once each; the second on a machine that seems to have no bubblewrap."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            if request.param == "sandlock":
                hide_bubblewrap(patch)
            require_walls(request.param)
            yield request.param
    finally:
        walls.protection.cache_clear()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with canaries(tmp_path_factory.mktemp("host")) as made:
        private = [*paths.private_roots(), *paths.builtin("tasks").glob("*/*/hidden"), *paths.builtin("tasks").glob("*/*/solution")]
        private += [paths.cache() / "tasks", *(paths.cache() / "tasks").glob("*/hidden"), Path(__file__).parent]
        made.facts["private"] = sorted({str(path) for path in private if path.exists()})
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def victim(wall: str, host: Host, ds: Environment) -> AsyncIterator[KernelSession]:
    """Another run's session, with secrets in its files and its memory; a sibling of the attacker's, from the same image."""
    workspace = runtime.folder(f"w-{os.urandom(4).hex()}")
    (workspace / "secret").write_text(host.canary)
    (workspace / "secret").chmod(0o666)
    async with KernelSession(ds, workspace, cell_seconds=PATIENCE) as session:
        await session.execute("canary = open('secret').read()")
        connection = session.provisioner.connection_file.parent
        pids = processes_of(session)
        assert pids
        host.facts["victim_pids"] = pids
        host.facts["victim_files"] = [str(workspace), str(workspace / "secret"), str(connection), str(connection / "kernel.json")]
        if wall == "bubblewrap":
            # as their image sees them
            host.facts["victim_files"] += [str(Path("/runs", path.relative_to(runtime.mine()))) for path in (workspace, connection)]
        host.facts["victim_sockets"] = [str(path) for path in connection.iterdir() if path.is_socket()]
        assert host.facts["victim_sockets"]
        yield session
    shutil.rmtree(workspace)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(wall: str, ds: Environment) -> AsyncIterator[KernelSession]:
    """The one session that all attacks of a wall run in."""
    workspace = runtime.folder(f"w-{os.urandom(4).hex()}")
    async with KernelSession(ds, workspace, policy=Policy(limits=LIMITS), cell_seconds=PATIENCE) as session:
        yield session
    shutil.rmtree(workspace)


@pytest_asyncio.fixture(loop_scope="module")
async def session(shared: KernelSession, victim: KernelSession, host: Host) -> AsyncIterator[KernelSession]:
    """The attacker; when the attack is over the host is whole, the other run too, and this one goes on."""
    host.harm()
    yield shared
    await still_works(shared)
    assert host.harm() == []
    assert text_of(await victim.execute("open('secret').read() == canary")) == "True"


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(wall: str, minimal: Environment, tmp_path: Path) -> AsyncIterator[KernelSession]:
    """A session for one attack that leaves its mark on the workspace."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    async with KernelSession(minimal, workspace, policy=Policy(limits=LIMITS), cell_seconds=PATIENCE) as session:
        yield session
    shutil.rmtree(workspace)


async def still_works(session: KernelSession) -> None:
    observation = await session.execute("1 + 1", timeout=30)
    if observation.state_lost:  # it broke between cells, and said so
        assert observation.note
        observation = await session.execute("1 + 1", timeout=30)
    assert (observation.status, text_of(observation, "result")) == ("ok", "2"), told(observation)


def contained(observation: Observation, canary: str) -> None:
    shown = text_of(observation, "stdout")
    assert observation.status == "ok", told(observation)
    assert canary not in everything(observation), told(observation)
    broken = [line[:200] for line in shown.splitlines() if line.startswith("BROKEN")]
    assert not broken
    through = [line[:200] for line in shown.splitlines() if line.startswith("THROUGH")]
    assert not through, f"{len(through)} got through: {through[:12]}"
    assert "refused" in shown, told(observation)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
async def test_contained(session: KernelSession, host: Host, attack: str) -> None:
    observation = await session.execute(host.prelude() + attack)
    contained(observation, host.canary)
    for port in re.findall(r"^SERVING (\d+)$", text_of(observation), re.MULTILINE):
        with socket.socket() as visitor:
            assert visitor.connect_ex(("127.0.0.1", int(port))) != 0, "the host can reach a server of the agent's"


async def test_signals_to_everyone_stay_inside(session: KernelSession, host: Host, wall: str) -> None:
    if wall != "bubblewrap":
        pytest.skip("kill(-1) where processes share the host's namespace: not tried, a failure would kill the machine")
    observation = await session.execute("import os\ntry: os.kill(-1, 9)\nexcept OSError as error: print(error)")
    assert observation.status in ("ok", "died"), told(observation)


@dataclass(frozen=True)
class Breach:
    """A program that takes more than it may have."""

    code: str
    told: str
    """What the observation must say somewhere."""
    timeout: float = PATIENCE


MEMORY = "MemoryError|memory limit|No space left|Errno 28|Permission denied"
PROCESSES = "memory limit|BlockingIOError|Resource temporarily unavailable|timeout|can't start new thread|SIGKILL"
HUGE = 10 * 2**30

BREACHES = {
    "memory by numpy": Breach(f"import numpy as np\nkept = np.ones({HUGE} // 8)", MEMORY),
    "memory by many arrays": Breach(f"import numpy as np\nkept = [np.ones({MIB}) for _ in range({HUGE} // {8 * MIB})]", MEMORY),
    "memory by a loop": Breach(f"kept = bytearray()\nwhile len(kept) < {HUGE}: kept += bytes({16 * MIB})", MEMORY),
    "memory in /dev/shm": Breach(
        f"for i in range({HUGE} // {16 * MIB}):\n    with open(f'/dev/shm/big{{i}}', 'wb') as file: file.write(bytes({16 * MIB}))", MEMORY
    ),
    "memory in a memory file": Breach(
        f"import os\nfd = os.memfd_create('big')\nfor i in range({HUGE} // {MIB}): os.pwrite(fd, bytes({MIB}), i * {MIB})",
        f"{MEMORY}|File too large",
    ),
    "memory shared by mmap": Breach(
        f"import mmap\nm = mmap.mmap(-1, {HUGE})\nfor i in range(0, {HUGE}, 4096): m[i] = 1",
        "memory limit|Cannot allocate memory|MemoryError",
    ),
    "memory of many children": Breach(
        """
import subprocess, sys
code = "import mmap; m = mmap.mmap(-1, 1 << 28); m.write(bytes(1 << 28)); print(1, flush=True); import signal; signal.pause()"
children = [subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE) for _ in range(12)]
lines = [child.stdout.readline() for child in children]
print('alive', sum(line == b'1\\n' for line in lines))
for child in children: child.kill()
""",
        r"memory limit|alive [0-3]\b",
    ),
    "processes by fork": Breach("import os\nwhile True:\n    if os.fork() == 0:\n        while True: os.fork()", PROCESSES, timeout=3),
    "processes by subprocess": Breach(
        "import subprocess, sys\nkept = []\nwhile True: kept.append(subprocess.Popen(['sleep', '1000']))", PROCESSES, timeout=20
    ),
    "processes that start themselves": Breach(
        "import subprocess\nprint(subprocess.run(['sh', '-c', 'bomb() { bomb | bomb & }; bomb; wait'], capture_output=True, text=True).stderr)",
        f"{PROCESSES}|annot fork",
        timeout=3,
    ),
    "threads": Breach(
        "import threading\nstop = threading.Event()\ntry:\n    while True: threading.Thread(target=stop.wait).start()\nfinally: stop.set()",
        PROCESSES,
    ),
    "open files": Breach(
        "kept = []\ntry:\n    while True: kept.append(open('/dev/null'))\nfinally:\n    for file in kept: file.close()",
        "Too many open files",
    ),
    "a large file": Breach(
        f"with open('big', 'wb') as file:\n    for _ in range({HUGE} // {MIB}): file.write(bytes({MIB}))", "File too large"
    ),
    "a large file that is empty": Breach(
        "import os\nwith open('big', 'wb') as file: os.truncate(file.fileno(), 3 << 30)", "File too large"
    ),
    "a large file in /tmp": Breach(
        f"import tempfile\nwith tempfile.TemporaryFile() as file:\n    for _ in range({HUGE} // {MIB}): file.write(bytes({MIB}))",
        "File too large|No space left|memory limit",
    ),
    "time in Python": Breach("while True: pass", "stopped after 1 s", timeout=1),
    "time in C": Breach("(10 ** 10) ** (10 ** 8)", "stopped after 1 s", timeout=1),
    "time in a regular expression": Breach("import re\nre.match('(a+)+$', 'a' * 60 + 'b')", "stopped after 1 s", timeout=1),
    "time in finally": Breach("while True:\n    try:\n        while True: x = 1\n    finally: continue", "stopped after 1 s", timeout=1),
    "time in a signal handler": Breach(
        "import signal\nfor n in range(1, 32):\n    try: signal.signal(n, lambda *_: None)\n    except OSError: pass\nwhile True: x = 1",
        "stopped after 1 s",
        timeout=1,
    ),
    "its own life": Breach("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "SIGKILL|killed"),
    "its parents' lives": Breach(
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.kill(0, signal.SIGKILL)", "refused|PermissionError|killed|died"
    ),
    "its stack": Breach(
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(): return [f()]\nf()",
        "RecursionError|SIGSEGV|died|MemoryError|stopped after",
        timeout=2,
    ),
}


@pytest.mark.parametrize("breach", BREACHES.values(), ids=list(BREACHES))
async def test_held_to_a_limit_and_told_so(session: KernelSession, breach: Breach) -> None:
    with memory_growth() as growth:
        observation = await session.execute(breach.code, timeout=breach.timeout)
    assert observation.status != "ok" or re.search(breach.told, text_of(observation)), told(observation)
    assert re.search(breach.told, everything(observation)), told(observation)
    assert growth.bytes < HUGE / 40


FLOODS = {
    "print": f"for _ in range({HUGE} // {MIB}): print('x' * {MIB})",
    "short lines": f"for i in range({HUGE} // 10): print(i)",
    "one line": f"import sys\nfor _ in range({HUGE} // {MIB}): sys.stdout.write('x' * {MIB})",
    "one huge string": f"print('x' * {200 * MIB})",
    "the descriptor": f"import os\nfor _ in range({HUGE} // {MIB}): os.write(1, b'x' * {MIB})",
    "the descriptor of errors": f"import os\nfor _ in range({HUGE} // {MIB}): os.write(2, b'x' * {MIB})",
    "a child": f"import subprocess\nsubprocess.run('head -c {HUGE} /dev/zero | tr \"\\\\0\" x', shell=True);",
    "displays": f"from IPython.display import display\nfor _ in range({HUGE} // {8 * MIB}): display({{'text/plain': 'x' * {8 * MIB}}}, raw=True)",
    "displays of no known type": (
        f"from IPython.display import display\nfor _ in range({HUGE} // {8 * MIB}): display({{'application/x': ['x' * 100] * {8 * MIB // 104}}}, raw=True)"
    ),
    "a huge picture": f"from IPython.display import display\nfor _ in range(20): display({{'image/png': 'A' * {30 * MIB}}}, raw=True)",
    "a huge result": f"'x' * {120 * MIB}",
    "a huge error": f"raise ValueError('x' * {60 * MIB})",
    "a huge name": f"globals()['x' * {30 * MIB}] = 1",
    "the program's own output": f"import sys\nfor _ in range({HUGE} // {MIB}): sys.__stderr__.write('x' * {MIB})",
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=list(FLOODS))
async def test_output_fills_no_memory_of_the_host(session: KernelSession, flood: str) -> None:
    with memory_growth() as growth:
        observation = await session.execute(flood, timeout=2)
    assert growth.bytes < HUGE / 16, f"{growth.bytes / MIB:.0f} MiB | {told(observation)[-500:]}"
    assert len(everything(observation)) < 16 * MIB


BEHIND_THE_BACK = f"""
import threading
kernel = get_ipython().kernel
parent = kernel.get_parent()
def flood():
    try:
        for _ in range({{count}}):
            try: kernel.session.send(kernel.iopub_socket, 'display_data', {{{{'data': {{{{'text/plain': 'x' * {8 * MIB}}}}}, 'metadata': {{{{}}}}}}}}, parent=parent)
            except MemoryError: pass
    finally:
        open('sent', 'w').close()
flooding = threading.Thread(target=flood)
flooding.start()
{{then}}
"""


@pytest.mark.parametrize("when", ["during a cell", "between cells"])
async def test_a_thread_that_no_interrupt_stops_fills_no_memory_of_the_host(session: KernelSession, when: str) -> None:
    count, sent = 300, session.workspace / "sent"
    code = BEHIND_THE_BACK.format(count=count, then="flooding.join()" if when == "during a cell" else "")
    with memory_growth() as growth:
        observation = await session.execute(code, timeout=20)
        assert await eventually(lambda: sent.exists() or observation.state_lost or dead(session))
    sent.unlink(missing_ok=True)
    # what it still has to send may drown the next cell's output, which is its own business
    await session.restart()
    assert growth.bytes < count * 8 * MIB / 4, f"{growth.bytes / MIB:.0f} MiB of {count * 8} sent | {told(observation)[-500:]}"


async def test_what_is_sent_between_cells_is_no_output_of_the_next(session: KernelSession) -> None:
    await session.execute("import threading\ngo = threading.Event()\nthreading.Thread(target=lambda: (go.wait(), print('late'))).start()")
    observation = await session.execute("go.set()\n'mine'")
    assert text_of(observation, "result") == "'mine'"


FILLS = {
    "many files": f"for i in range({HUGE} // {16 * MIB}):\n    with open(f'f{{i}}', 'wb') as file: file.write(bytes({16 * MIB}))",
    "files that are gone and still open": (
        f"import os\nkept = []\nfor i in range({HUGE} // {16 * MIB}):\n    kept.append(open('f', 'wb', buffering=0))\n    os.remove('f')\n    kept[-1].write(bytes({16 * MIB}))"
    ),
    "the kernel's own folder": (
        f"import os, ipykernel\nos.chdir(os.path.dirname(ipykernel.get_connection_file()))\n"
        f"for i in range({HUGE} // {16 * MIB}):\n    with open(f'f{{i}}', 'wb') as file: file.write(bytes({16 * MIB}))"
    ),
    "the folder for temporary files": (
        f"import os, tempfile\nos.chdir(tempfile.gettempdir())\n"
        f"for i in range({HUGE} // {16 * MIB}):\n    with open(f'f{{i}}', 'wb') as file: file.write(bytes({16 * MIB}))"
    ),
    "empty files": "for i in range(150_000): open(f'f{i}', 'w').close()",
    "folders": "import os\nfor i in range(150_000): os.mkdir(f'd{i}')",
}


@pytest.mark.parametrize("fill", FILLS.values(), ids=list(FILLS))
async def test_no_program_fills_the_disk(fresh: KernelSession, fill: str) -> None:
    # stopped by hand once it took ten times what it may have: a failing test must not fill the disk either
    most, taken = 10 * LIMITS.workspace_bytes, (0, 0)
    stopped = asyncio.Event()

    async def guard() -> None:
        nonlocal taken
        while taken[0] < most:
            taken = await asyncio.to_thread(disk_use, [fresh.workspace, *holdings(fresh)[:1]])
        stopped.set()
        fresh.cancel()

    guarding = asyncio.ensure_future(guard())
    try:
        observation = await fresh.execute(fill)
    finally:
        guarding.cancel()
    assert not stopped.is_set(), f"took {taken[0] / MIB:.0f} MiB in {taken[1]} files | {told(observation)}"
    if observation.status == "ok":
        # quick enough to be done before anybody looked; it is found out all the same
        assert await eventually(lambda: dead(fresh))
        observation = await fresh.execute("1 + 1")
    assert observation.status in ("died", "error"), told(observation)
    assert re.search("workspace limit|No space left|limit of", everything(observation)), told(observation)
    await still_works(fresh)


DAEMONS = {
    "a daemon": "",
    "one that ignores every signal": "for n in set(range(1, 65)) - {9, 19, 32, 33}: signal.signal(n, signal.SIG_IGN)",
    "one that is not to be found out of memory": "with contextlib.suppress(OSError): open('/proc/self/oom_score_adj', 'w').write('-1000')",
    "one that is stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "one that is traced": "ctypes.CDLL(None).ptrace(0, 0, 0, 0)",
    "one that keeps moving": "while not os.path.exists('stop'):\n    with contextlib.suppress(OSError):\n        if os.fork(): os._exit(0)\n        os.setsid()",
    "many that start each other": "while not os.path.exists('stop'):\n    with contextlib.suppress(OSError): os.fork()",
}
DAEMON = """
import contextlib, ctypes, fcntl, os, signal, sys
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
# held by whoever lives of this family, however often it forks
fcntl.flock(os.open('alive', os.O_RDWR | os.O_CREAT, 0o666), fcntl.LOCK_EX)
print(1, flush=True)
{body}
while True: signal.pause()
"""


def lives(workspace: Path) -> bool:
    """Whether a daemon of ``workspace`` is alive."""
    with (workspace / "alive").open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.parametrize("daemon", DAEMONS.values(), ids=list(DAEMONS))
@pytest.mark.parametrize("end", ["closed", "killed"])
async def test_nothing_outlives_its_kernel(wall: str, minimal: Environment, tmp_path: Path, daemon: str, end: str) -> None:
    marker = f"daemon-{os.urandom(8).hex()}"
    session = KernelSession(minimal, tmp_path, policy=Policy(limits=LIMITS), cell_seconds=PATIENCE)
    await session.start()
    held = holdings(session)
    code = (
        f"import subprocess, sys\ncode = {DAEMON.format(body=daemon)!r}\n"
        f"made = subprocess.Popen([sys.executable, '-c', code, {marker!r}], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)\nmade.stdout.readline()"
    )
    try:
        observation = await session.execute(code)
        assert observation.status == "ok", told(observation)
        # a family of forks may have been killed for that already
        assert lives(tmp_path) or "fork" in daemon
        if end == "killed":
            observation = await session.execute("import os\nos.kill(os.getpid(), 9)")
            assert observation.state_lost, told(observation)
            assert not lives(tmp_path)
            held += holdings(session)
            await still_works(session)
        assert held[-1].exists()
        await session.close()
        assert not lives(tmp_path)
        assert not [folder for folder in held if folder.exists()]
    finally:
        (tmp_path / "stop").touch()
        await session.close()
        while left := processes_with(marker):
            for process in left:
                process.kill()
        for folder in held[1:]:
            with contextlib.suppress(OSError):
                folder.rmdir()


FORGED = """
import json, os, threading, zmq
import ipykernel
kernel = get_ipython().kernel
session, iopub, parent = kernel.session, kernel.iopub_socket, kernel.get_parent()
info = json.load(open(ipykernel.get_connection_file()))
def dial(port, kind):
    made = zmq.Context.instance().socket(kind)
    made.linger = 0
    made.connect(f"ipc://{info['ip']}-{info[port]}")
    return made
def say(kind, content, parent=parent):
    session.send(iopub, kind, content, parent=parent)
def raw(*frames):
    iopub.send_multipart([b'kernel.x', b'<IDS|MSG>', *frames])
def signed(header, parent, metadata, content):
    frames = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, parent, metadata, content)]
    raw(session.sign(frames), *frames)
def headed(kind):
    return json.loads(json.dumps(session.msg_header(kind), default=str))
this = json.loads(json.dumps(parent['header'], default=str))
"""

FORGERIES = {
    "garbage on every socket": """
for port, kind in (('shell_port', zmq.DEALER), ('control_port', zmq.DEALER), ('stdin_port', zmq.DEALER), ('iopub_port', zmq.SUB), ('hb_port', zmq.REQ)):
    made = dial(port, kind)
    if kind != zmq.SUB:
        for frames in ([b''], [b'x'], [b'<IDS|MSG>'], [b'<IDS|MSG>', b'bad', b'{}', b'{}', b'{}', b'{}'], [os.urandom(1000)] * 10):
            made.send_multipart(frames[:1] if kind == zmq.REQ else frames)
            if kind == zmq.REQ: break
""",
    "requests with a valid signature": """
made = dial('shell_port', zmq.DEALER)
for content in ([], 'text', None, 7, {}, {'code': 5}, {'code': 'raise SystemExit', 'silent': 'x'}, {'code': '1/0', 'stop_on_error': True}):
    session.send(made, 'execute_request', content)
for kind in ('no_such_request', 'complete_request', 'inspect_request', 'comm_open', 'comm_msg', 'is_complete_request', '_x', ''):
    session.send(made, kind, {})
""",
    "a shutdown with a valid signature": "session.send(dial('control_port', zmq.DEALER), 'shutdown_request', {'restart': True})\nimport time\nwhile True: time.sleep(1)",
    "outputs with no signature": "raw(b'', b'{}', b'{}', b'{}', b'{}')\nraw(b'bad', b'{}')\nraw()\nraw(b'\\xff' * 9)\niopub.send_multipart([b'x'])\niopub.send_multipart([b'kernel.x', b'x'] * 50)",
    "outputs that are no JSON": "for junk in (b'', b'{', b'[]', b'null', b'7', b'\\xff\\xfe', b'NaN', b'[' * 50000): signed(junk, junk, junk, junk); signed(headed('stream'), this, {}, junk)",
    "headers of a wrong shape": """
for header in ({}, {'msg_type': 7}, {'msg_type': None, 'msg_id': []}, {'msg_type': 'status', 'msg_id': {}}, [], 'x', {**headed('stream'), 'date': 'never'}, {**headed('stream'), 'date': 10 ** 400}):
    for parent_ in ({}, [], None, 'x', {'msg_id': []}, this):
        signed(header, parent_, {}, {'name': 'stdout', 'text': 'forged'})
""",
    "contents of a wrong shape": """
deep = []
for _ in range(900): deep = [deep]
for kind in ('stream', 'status', 'display_data', 'execute_result', 'error', 'update_display_data', 'clear_output', 'execute_input'):
    for content in ({}, [], None, 'x', {'text': 7, 'name': 'stdout'}, {'text': deep, 'name': 'stdout'}, {'data': []}, {'data': {'text/plain': 7, 'image/png': {}}}, {'data': {'text/plain': deep}},
                    {'execution_state': []}, {'execution_state': 7}, {'ename': 7}, {'ename': 'E', 'evalue': 'v', 'traceback': [deep, 7, None]}, {'data': {'text/plain': 'x'}, 'transient': []},
                    {'data': {'application/vnd.workbench.namespace+json': {'changes': [deep, {'name': deep, 'change': 'new'}, {'name': 'x', 'change': []}]}}}):
        signed(headed(kind), this, {}, content)
""",
    "half a character": """
for kind, content in (('stream', {'name': 'stdout', 'text': '\\ud800'}), ('error', {'ename': '\\ud800', 'evalue': '\\ud800', 'traceback': ['\\ud800']}),
                      ('display_data', {'data': {'text/plain': '\\ud800', 'text/html': '\\ud800'}}),
                      ('display_data', {'data': {'application/vnd.workbench.namespace+json': {'changes': [{'name': '\\ud800', 'change': 'new', 'summary': '\\ud800'}]}}})):
    signed(headed(kind), this, {}, content)
""",
    "escapes for the terminal": "say('stream', {'name': 'stdout', 'text': '\\x1b'})\nsay('stream', {'name': 'stdout', 'text': ']0;owned\\x07\\x1b\\x1b[2J[2J'})",
    "an early end": "say('status', {'execution_state': 'idle'})\nimport time\nfor _ in range(10): say('status', {'execution_state': 'idle'})",
    "an early end and a reply": """
say('status', {'execution_state': 'idle'})
for stream in [kernel.shell_stream] if getattr(kernel, 'shell_stream', None) else []:
    session.send(stream, 'execute_reply', {'status': 'ok'}, parent=parent, ident=kernel._parent_ident.get('shell') if isinstance(kernel._parent_ident, dict) else kernel._parent_ident)
""",
    "a huge frame": f"iopub.send_multipart([b'kernel.x', b'<IDS|MSG>', b'x' * {100 * MIB}])",
    "its own files exchanged": """
folder = os.path.dirname(ipykernel.get_connection_file())
for name in os.listdir(folder):
    os.remove(os.path.join(folder, name))
    os.symlink(facts['outside'], os.path.join(folder, name)) if name.endswith('json') else os.mkdir(os.path.join(folder, name))
""",
    "its sockets closed": "for name in ('iopub_thread', 'shell_socket', 'control_socket'): getattr(getattr(kernel, name, None), 'close', lambda: None)()",
    "its heart and threads stopped": "import ctypes\nfor each in threading.enumerate():\n    if each is not threading.current_thread(): ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(each.ident), ctypes.py_object(SystemExit))",
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=list(FORGERIES))
async def test_forged_messages_harm_nobody_but_their_kernel(fresh: KernelSession, host: Host, forgery: str) -> None:
    host.harm()
    with memory_growth() as growth:
        observation = await fresh.execute(host.prelude() + FORGED + forgery, timeout=5)
    assert Observation.model_validate_json(everything(observation)) == observation
    assert "\x1b" not in text_of(observation)
    assert growth.bytes < HUGE / 16
    # a kernel that broke itself may need one cell to be found dead; the next one runs
    second = await fresh.execute("'second'", timeout=5)
    if text_of(second, "result") != "'second'":
        assert second.state_lost or second.status != "ok", told(second)
    third = await fresh.execute("6 * 7", timeout=30)
    assert (third.status, text_of(third, "result")) == ("ok", "42"), f"{told(observation)} || {told(second)} || {told(third)}"
    assert host.harm() == []
