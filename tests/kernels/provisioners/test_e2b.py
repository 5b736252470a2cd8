"""Kernels in E2B sandboxes, against a stand-in for the service; one test asks the service itself where that is wanted."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client import AsyncKernelClient, AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from starlette.responses import HTMLResponse, JSONResponse, Response

from tests.e2b_standin import KEY, StandIn, refused
from workbench.errors import SandboxError, UsageError, WorkbenchError
from workbench.kernels import e2b_service, runtime, templates
from workbench.kernels.environments import Environment
from workbench.kernels.limits import Limits
from workbench.kernels.policy import Grant, Policy
from workbench.kernels.provisioners import e2b as provisioners_e2b
from workbench.kernels.provisioners.base import Branching
from workbench.kernels.provisioners.e2b import E2BProvisioner, Running

from ..backends import require_stand_in, stand_in
from ..tools import PATIENCE, eventually

_REAL = "WORKBENCH_TEST_E2B"
_REAL_KEY = os.environ.get("E2B_API_KEY", "")


class Manager(AsyncKernelManager):
    """A manager whose kernelspec is made for one test."""

    spec: KernelSpec

    @property
    def kernel_spec(self) -> KernelSpec:
        return self.spec


class Kernel:
    """A kernel with a client on it."""

    def __init__(self, workspace: Path, environment: Environment, **options: Any) -> None:
        self.workspace = workspace
        self.manager = Manager(shutdown_wait_time=0)
        config = {"environment": environment, "workspace": workspace, **options}
        provisioner = {"provisioner_name": "workbench-e2b", "config": config}
        self.manager.spec = KernelSpec(argv=[], interrupt_mode="message", metadata={"kernel_provisioner": provisioner})
        self.client: AsyncKernelClient | None = None

    @property
    def provisioner(self) -> E2BProvisioner:
        found = self.manager.provisioner
        assert isinstance(found, E2BProvisioner)
        return found

    async def start(self) -> None:
        await self.manager.start_kernel()
        await self.listen()

    async def listen(self) -> None:
        if self.client is not None:
            self.client.stop_channels()
        self.client = self.manager.client()
        self.client.start_channels(hb=False)
        while (await self.client.get_iopub_msg(timeout=PATIENCE))["msg_type"] != "iopub_welcome":
            pass

    async def run(self, code: str) -> str:
        """Run a cell; return its streams, or the error's name and value."""
        assert self.client is not None
        request, text = self.client.execute(code, stop_on_error=False), ""
        while True:
            message = await self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != request:
                continue
            match message["content"]:
                case {"text": text_}:
                    text += text_
                case {"ename": name, "evalue": value}:
                    text += f"{name}: {value}"
                case {"execution_state": "idle"}:
                    return text

    async def close(self) -> None:
        if self.client is not None:
            self.client.stop_channels()
            self.client = None
        if self.manager.has_kernel:
            await self.manager.shutdown_kernel(now=True)


@pytest.fixture
def service(tmp_path: Path, minimal: Environment) -> Iterator[StandIn]:
    require_stand_in()
    with stand_in(tmp_path / "service", minimal) as standin:
        yield standin


Opener = Callable[..., Awaitable[Kernel]]


@pytest.fixture
async def opened(service: StandIn, tmp_path: Path, minimal: Environment) -> AsyncIterator[Opener]:
    """Start a kernel on a workspace: ``kernel = await opened(policy=...)``."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> Kernel:
            workspace = options.pop("workspace", tmp_path / "workspace")
            workspace.mkdir(exist_ok=True)
            kernel = Kernel(workspace, minimal, **options)
            stack.push_async_callback(kernel.close)
            await kernel.start()
            return kernel

        yield start


def alive(service: StandIn) -> list[psutil.Process]:
    """Everything that was started in the stand-in's sandboxes."""
    return [process for sandbox in service.sandboxes.values() for process in sandbox.machine.processes()]


async def test_a_kernel_works_on_the_workspace_and_its_files_come_back(opened: Opener, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    (workspace / "data").mkdir(parents=True)
    (workspace / "data" / "train.csv").write_text("a,b\n")
    (workspace / "run.sh").write_text("#!/bin/sh\n")
    (workspace / "run.sh").chmod(0o755)
    (workspace / "gone").write_text("x")
    (workspace / "latest").symlink_to("data/train.csv")
    kernel = await opened()
    code = "import os\nprint(os.getcwd(), open('latest').read(), os.access('run.sh', os.X_OK))"
    assert await kernel.run(code) == "/workspace a,b\n True\n"
    await kernel.run("os.remove('gone'); os.makedirs('out'); open('out/result', 'w').write('42')")
    await kernel.provisioner.kill()
    await kernel.provisioner.collect()
    assert sorted(str(path.relative_to(workspace)) for path in workspace.rglob("*")) == [
        "data",
        "data/train.csv",
        "latest",
        "out",
        "out/result",
        "run.sh",
    ]
    assert (workspace / "out" / "result").read_text() == "42"
    assert (workspace / "latest").read_text() == "a,b\n"
    assert os.access(workspace / "run.sh", os.X_OK)


async def test_a_kernel_has_no_rights_no_network_and_nothing_of_the_users(
    service: StandIn, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMETHING_PRIVATE", "secret")
    kernel = await opened()
    assert "network: none" in kernel.provisioner.walls
    assert "unprivileged user" in kernel.provisioner.walls
    assert kernel.provisioner.missing
    assert service.created[0]["allow_internet_access"] is False
    assert (await kernel.run("import socket; socket.create_connection(('1.1.1.1', 80), 2)")).startswith("OSError")
    assert (await kernel.run("open('/opt/workbench/bridge.py', 'a')")).startswith("PermissionError")
    assert (await kernel.run("import os; os.setuid(0)")).startswith("PermissionError")
    assert (await kernel.run("os.kill(os.getppid(), 9)")).startswith("PermissionError")
    found = await kernel.run("print(dict(os.environ))")
    assert "secret" not in found
    assert KEY not in found


async def test_hosts_that_are_allowed_are_all_that_is_allowed(service: StandIn, opened: Opener) -> None:
    kernel = await opened(policy=Policy(network=("pypi.org",)))
    assert service.created[0]["network"] == {"allowOut": ["pypi.org"], "denyOut": ["0.0.0.0/0"]}
    assert "network: pypi.org" in kernel.provisioner.walls


async def test_hidden_packages_cannot_be_imported(service: StandIn, opened: Opener, minimal: Environment, tmp_path: Path) -> None:
    # what is hidden is removed, which a sandbox of the stand-in could do to this machine's own environment
    copy = replace(minimal, prefix=tmp_path / "environment")
    await asyncio.to_thread(shutil.copytree, minimal.prefix, copy.prefix, symlinks=True)
    service.writable, service.templates = True, dict.fromkeys(service.templates, copy)
    kernel = await opened(policy=Policy(hide=("debugpy",)))
    assert (await kernel.run("import debugpy")).startswith("ModuleNotFoundError")
    assert (minimal.site_packages / "debugpy").is_dir()


async def test_an_interrupt_goes_by_message(opened: Opener) -> None:
    kernel = await opened()
    assert kernel.client is not None
    request = kernel.client.execute("print('started', flush=True)\nimport time\nwhile True: time.sleep(0.01)", stop_on_error=False)
    while (await kernel.client.get_iopub_msg(timeout=PATIENCE))["content"].get("text") != "started\n":
        pass
    await kernel.manager.interrupt_kernel()
    while (reply := await kernel.client.get_shell_msg(timeout=PATIENCE))["parent_header"]["msg_id"] != request:
        pass
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert await kernel.run("print('next')") == "next\n"


async def test_kill_leaves_nothing_alive_and_the_files_where_they_are(service: StandIn, opened: Opener) -> None:
    kernel = await opened()
    await kernel.run("import subprocess\nopen('kept', 'w').write('1')\nsubprocess.Popen(['setsid', 'sleep', '10000'])")
    # what setsid starts takes its place a moment later
    assert await eventually(lambda: any("sleep" in process.name() for process in alive(service)))
    await kernel.provisioner.kill()
    assert alive(service) == []
    assert await kernel.provisioner.poll() == -9
    assert kernel.provisioner.why_dead() == "killed by SIGKILL"
    await kernel.provisioner.collect()
    assert (kernel.workspace / "kept").exists()


async def test_cleaning_up_leaves_nothing_anywhere(service: StandIn, opened: Opener) -> None:
    kernel = await opened()
    folder = kernel.provisioner.folder
    assert folder is not None and folder.exists()
    await kernel.close()
    assert service.sandboxes == {}
    assert list(service.folder.iterdir()) == []
    assert not folder.exists()


async def test_a_restart_keeps_the_files_and_loses_the_memory(service: StandIn, opened: Opener) -> None:
    kernel = await opened()
    await kernel.run("x = 1; open('kept', 'w').write('1')")
    before = list(service.sandboxes)
    await kernel.manager.restart_kernel(now=True)
    await kernel.listen()
    assert await kernel.run("import os; print(os.path.exists('kept'), 'x' in globals())") == "True False\n"
    assert list(service.sandboxes) == before


async def test_a_kernel_that_dies_says_why(opened: Opener) -> None:
    kernel = await opened()
    assert kernel.client is not None
    assert (await kernel.provisioner.poll(), kernel.provisioner.why_dead()) == (None, "")
    kernel.client.execute("import os; os._exit(7)")
    assert await asyncio.wait_for(kernel.provisioner.wait(), PATIENCE) == 7
    assert kernel.provisioner.why_dead() == "exit code 7"


async def test_a_sandbox_that_reached_its_timeout_is_a_dead_kernel_that_says_so(service: StandIn, opened: Opener) -> None:
    kernel = await opened()
    await asyncio.to_thread(service.kill, next(iter(service.sandboxes)))
    assert await asyncio.wait_for(kernel.provisioner.wait(), PATIENCE) == 1
    assert "timeout" in kernel.provisioner.why_dead()
    with pytest.raises(SandboxError, match="timeout"):
        await kernel.provisioner.get("anything")
    with pytest.raises(SandboxError, match=r"the E2B sandbox is gone.*timeout"):
        await kernel.close()
    assert not list(runtime.mine().glob("k-*"))


PAGE = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title><style>p {}</style></head><body><p>nginx &amp; co</p></body></html>"


def page(status: int) -> Response:
    """What a proxy answers in the service's place."""
    return HTMLResponse(PAGE, status)


@pytest.mark.parametrize("answer", [refused(500, "internal"), page(500), page(200), Response(status_code=200), JSONResponse({"odd": 1})])
async def test_leftovers_that_cannot_be_looked_for_keep_no_kernel_from_starting(
    service: StandIn, opened: Opener, monkeypatch: pytest.MonkeyPatch, answer: Response
) -> None:
    monkeypatch.setattr(E2BProvisioner, "_swept", False)
    service.fail("GET", "/v2/sandboxes", answer)
    kernel = await opened()
    assert service.failed
    assert await kernel.run("print('started')") == "started\n"


async def test_a_list_that_never_comes_keeps_no_kernel_from_starting(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    async def sweep() -> list[str]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(E2BProvisioner, "_swept", False)
    monkeypatch.setattr(e2b_service, "sweep", sweep)
    monkeypatch.setattr(provisioners_e2b, "_SWEEP_SECONDS", 0.01)
    kernel = await opened()
    assert await kernel.run("print('started')") == "started\n"


@pytest.mark.parametrize("refusals", [[], [refused(503, "busy"), page(502), refused(500, "internal")]])
async def test_a_connection_that_breaks_is_made_again_and_nothing_is_lost(
    service: StandIn, opened: Opener, refusals: list[Response]
) -> None:
    kernel = await opened()
    await kernel.run("x = 41")
    for _ in range(2):
        if refusals:
            # the last of the answers is the service's own again
            service.fail("POST", "/process.Process/Connect", *refusals)
        service.drop()
        if refusals:
            assert await eventually(lambda: len(service.failed) >= len(refusals))
            service.mend()
            service.failed.clear()
        assert await kernel.run("x += 1; print(x)") != ""
    assert await kernel.run("print(x)") == "43\n"
    assert kernel.provisioner.why_dead() == ""
    assert len(service.sandboxes) == 1


async def test_a_connection_that_breaks_within_a_cell_costs_no_line_of_its_output(service: StandIn, opened: Opener) -> None:
    kernel = await opened()
    running = asyncio.create_task(
        kernel.run("import os, time\nfor number in range(400): print(number, flush=True); time.sleep(0.005)\nprint('the end')")
    )
    bridge = kernel.provisioner._bridge
    assert bridge is not None
    for _ in range(3):
        enough = bridge._heard + 60
        assert await eventually(lambda enough=enough: bridge._heard >= enough)
        service.drop()
    assert (await running).splitlines() == [*map(str, range(400)), "the end"]


async def test_a_connection_that_cannot_be_made_again_is_a_dead_kernel_that_says_so(
    service: StandIn, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = await opened()
    monkeypatch.setattr(provisioners_e2b, "_PAUSES", (0.0, 0.01))
    service.fail("POST", "/process.Process/Connect", page(502))
    service.drop()
    await asyncio.wait_for(kernel.provisioner.wait(), PATIENCE)
    why = kernel.provisioner.why_dead()
    assert "could not be made again" in why
    assert "<" not in why


@pytest.mark.parametrize("commands_first", [False, True])
async def test_a_sandbox_that_ended_is_called_gone_however_it_shows(service: StandIn, opened: Opener, commands_first: bool) -> None:
    kernel = await opened()
    await asyncio.to_thread(service.kill, next(iter(service.sandboxes)), commands_first=commands_first)
    await asyncio.wait_for(kernel.provisioner.wait(), PATIENCE)
    assert re.fullmatch(r"the E2B sandbox is gone: \w+ reached its timeout or was killed", kernel.provisioner.why_dead())
    with pytest.raises(SandboxError, match="is gone") as caught:
        await kernel.provisioner.collect()
    assert caught.value.hint is not None and "start another" in caught.value.hint
    with pytest.raises(SandboxError, match="is gone"):
        await kernel.close()


async def test_a_bridge_that_was_killed_is_not_called_a_sandbox_that_is_gone(service: StandIn, opened: Opener) -> None:
    kernel = await opened()
    (sandbox,) = service.sandboxes.values()
    sandbox.machine.commands[kernel.provisioner.now_running().pid].signal(9)
    await asyncio.wait_for(kernel.provisioner.wait(), PATIENCE)
    assert "the bridge in the sandbox ended: signal: Killed" in kernel.provisioner.why_dead()


@pytest.mark.parametrize(
    ("method", "path", "answer", "said"),
    [
        ("POST", "/v2/sandboxes", refused(500, "no machine is free"), "500: no machine is free"),
        ("POST", "/v2/sandboxes", page(500), r"POST http://\S+/v2/sandboxes was answered with status 500 and 502 Bad Gateway nginx & co"),
        ("POST", "/v2/sandboxes", page(200), r"http://\S+ gave an answer that the SDK does not know"),
        ("POST", "/v2/sandboxes", page(418), "418: 502 Bad Gateway nginx & co"),
        ("POST", "/v2/sandboxes", page(401), "401"),
        ("POST", "/v2/sandboxes", refused(429, "too many"), "429: Rate limit exceeded.*too many"),
        ("POST", "/v2/sandboxes", refused(503, "full"), "503: Service temporarily unavailable.*full"),
        ("POST", "/files", page(502), "502 Bad Gateway nginx & co"),
        ("POST", "/process.Process/Start", page(503), "cannot upload the kernel's programs"),
    ],
)
async def test_an_answer_that_is_an_error_is_said_whole_and_without_marks(
    service: StandIn, opened: Opener, monkeypatch: pytest.MonkeyPatch, method: str, path: str, answer: Response, said: str
) -> None:
    monkeypatch.setattr(E2BProvisioner, "_swept", True)
    service.fail(method, path, answer)
    with pytest.raises(SandboxError, match=said) as caught:
        await opened()
    assert caught.value.hint
    assert not re.search(r"<|b'|\n|JSONDecodeError", str(caught.value))
    service.mend()
    assert await eventually(lambda: service.sandboxes == {})


async def test_files_come_back_though_the_service_fails_for_a_moment(service: StandIn, opened: Opener) -> None:
    kernel = await opened()
    await kernel.run("open('made', 'w').close()")
    service.fail("POST", "/process.Process/Start", page(502), refused(503, "busy"))
    collecting = asyncio.create_task(kernel.provisioner.collect())
    assert await eventually(lambda: service.failed)
    service.mend()
    await collecting
    assert (kernel.workspace / "made").exists()


async def test_a_request_that_is_refused_at_first_is_made_again(service: StandIn, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(E2BProvisioner, "_swept", True)
    service.fail("DELETE", "/sandboxes/", refused(503, "busy"), refused(429, "too many"), page(502), refused(404, "sandbox not found"))
    kernel = await opened()
    await kernel.close()
    assert len(service.failed) == 4


async def test_the_end_is_put_off_while_this_process_lives_and_no_longer(service: StandIn, opened: Opener) -> None:
    # long enough for a kernel to start on a busy machine
    kernel = await opened(timeout=6)
    assert await eventually(lambda: len(service.timeouts) >= 4)
    assert await kernel.run("print('alive')") == "alive\n"
    await kernel.provisioner.disconnect()
    assert await eventually(lambda: service.sandboxes == {})


async def test_it_ends_though_the_service_never_says_whether_the_end_was_put_off(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    async def set_timeout(*_: object) -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionResetError from None

    monkeypatch.setattr("e2b.AsyncSandbox.set_timeout", set_timeout)
    # nobody puts the end off: it must be far enough for the kernel to start
    kernel = await opened(timeout=20)
    await asyncio.wait_for(asked.wait(), PATIENCE)
    await asyncio.wait_for(kernel.close(), PATIENCE)


async def test_a_paused_kernel_keeps_its_memory(service: StandIn, opened: Opener) -> None:
    kernel = await opened()
    await kernel.run("x = 41")
    await kernel.provisioner.pause()
    assert next(iter(service.sandboxes.values())).state == "paused"
    assert await kernel.provisioner.poll() is None
    await kernel.provisioner.resume()
    assert await kernel.run("print(x + 1)") == "42\n"
    await kernel.run("open('made', 'w').close()")
    await kernel.provisioner.pause()
    await kernel.close()
    assert service.sandboxes == {}
    assert (kernel.workspace / "made").exists()


async def test_a_running_kernel_is_taken_over_with_its_memory(service: StandIn, opened: Opener) -> None:
    first = await opened()
    await first.run("x = 41")
    running = await first.provisioner.disconnect()
    assert isinstance(running, Running)
    second = await opened(running=running)
    assert await second.run("print(x + 1)") == "42\n"
    assert second.provisioner.walls == list(running.walls)
    assert len(service.sandboxes) == 1
    await second.close()
    assert service.sandboxes == {}


async def test_a_kernel_that_is_gone_cannot_be_taken_over(service: StandIn, opened: Opener) -> None:
    with pytest.raises(SandboxError, match="connect to the E2B sandbox ixyz"):
        await opened(running=Running("ixyz", 1, b"key"))


async def test_a_fork_the_service_refuses_is_an_error_with_a_remedy(opened: Opener) -> None:
    kernel = await opened()
    with pytest.raises(SandboxError, match="replay"):
        await kernel.provisioner.fork()
    assert await kernel.run("print('unharmed')") == "unharmed\n"


async def test_a_copy_of_the_sandbox_is_taken_over_as_a_branch(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    from e2b import AsyncSandbox

    async def fork(self: AsyncSandbox, **_: object) -> list[AsyncSandbox]:
        # no copy: the stand-in can make none, so the branch is given the sandbox itself
        return [await AsyncSandbox.connect(self.sandbox_id)]

    monkeypatch.setattr(AsyncSandbox, "fork", fork)
    kernel = await opened()
    await kernel.run("x = 41")
    assert kernel.provisioner.can_fork
    branch = await opened(branching=Branching(kernel.provisioner, lambda _: asyncio.sleep(0, {})))
    assert await branch.run("print(x + 1)") == "42\n"
    await kernel.provisioner.disconnect()
    assert await branch.run("print(x + 2)") == "43\n"


async def test_files_go_in_and_come_out_and_no_path_leads_out(opened: Opener) -> None:
    kernel = await opened()
    provisioner = kernel.provisioner
    await provisioner.put("in/to/a file", b"\0\xff")
    assert await provisioner.get("in/to/a file") == b"\0\xff"
    assert await kernel.run("open('in/to/a file', 'ab').write(b'!')\nprint(open('in/to/a file', 'rb').read())") == "b'\\x00\\xff!'\n"
    await kernel.run("import os\nos.symlink('/etc/passwd', 'link'); os.mkfifo('pipe'); os.symlink('/opt/workbench/bridge.py', 'program')")
    await kernel.run("open(b'\\xff\\n', 'w').write('123')")
    found = [(entry.name, entry.kind, entry.size) for entry in await provisioner.entries()]
    assert found == [("in", "folder", 0), ("link", "link", 0), ("pipe", "other", 0), ("program", "link", 0), ("\udcff\n", "file", 3)]
    assert [entry.name for entry in await provisioner.entries("in/to")] == ["a file"]
    await kernel.run("os.symlink('/etc', 'etc')")
    for path in ("link", "pipe", "in", "missing"):
        with pytest.raises(UsageError):
            await provisioner.get(path)
    for path in ("../etc/passwd", "/etc/passwd", ""):
        with pytest.raises(UsageError):
            await provisioner.get(path)
        with pytest.raises(UsageError):
            await provisioner.put(path, b"")
    await provisioner.put("program", b"a file in place of the link")
    assert [entry.kind for entry in await provisioner.entries() if entry.name == "program"] == ["file"]
    for path in ("missing", "etc", "../", "/etc", "in/to/a file"):
        with pytest.raises(UsageError):
            await provisioner.entries(path)
    with pytest.raises(UsageError, match="more than 2 bytes"):
        await provisioner.get("in/to/a file", most=2)


async def test_what_is_staged_after_the_launch_is_adopted_and_no_link_leads_it_elsewhere(opened: Opener) -> None:
    kernel = await opened()
    await kernel.run("import os\nos.mkdir('/tmp/elsewhere'); os.symlink('/tmp/elsewhere', 'data'); os.symlink('/etc/passwd', 'file')")
    (kernel.workspace / "data").mkdir()
    (kernel.workspace / "data" / "late").write_text("late")
    (kernel.workspace / "file").write_text("a file")
    await kernel.provisioner.adopt()
    assert await kernel.run("print(os.listdir('/tmp/elsewhere'), open('data/late').read(), open('file').read())") == "[] late a file\n"
    assert await kernel.run("open('data/late', 'a').write('!'); os.remove('file')") == ""


async def test_hostile_files_do_not_come_back(opened: Opener) -> None:
    kernel = await opened()
    await kernel.run("""
import os
os.symlink('/etc', 'etc'); os.symlink('../../../etc/passwd', 'up'); os.mkfifo('pipe')
open('fine', 'w').write('1'); os.link('fine', 'twice'); os.chmod('fine', 0o4777)
open(b'\\xff\\xfe', 'w').write('name')
open('shut', 'w').write('1'); os.chmod('shut', 0)
""")
    await kernel.provisioner.kill()
    await kernel.provisioner.collect()
    names = sorted(os.fsencode(path.name) for path in kernel.workspace.iterdir())
    assert names == [b"fine", b"shut", b"twice", b"\xff\xfe"]
    assert (kernel.workspace / "fine").stat().st_mode & 0o7777 in (0o644, 0o755)


async def test_a_workspace_that_is_too_large_does_not_come_back_and_what_was_there_stays(
    service: StandIn, opened: Opener, tmp_path: Path
) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "kept").touch()
    kernel = await opened(policy=Policy(limits=Limits(workspace_bytes=2**20)))
    await kernel.run("import os\nos.truncate(os.open('sparse', os.O_CREAT | os.O_RDWR), 2**29)")
    with pytest.raises(SandboxError, match="more than"):
        await kernel.close()
    assert service.sandboxes == {}
    assert [path.name for path in (tmp_path / "workspace").iterdir()] == ["kept"]


@pytest.mark.parametrize(
    ("environ", "options", "said"),
    [
        ({"E2B_API_KEY": None}, {}, "E2B_API_KEY is not set"),
        ({"E2B_API_KEY": "e2b_" + "f" * 40}, {}, "does not accept the key"),
        ({}, {"template": "no-such-template"}, "no template no-such-template"),
        ({"E2B_API_URL": "http://127.0.0.1:1"}, {}, "cannot be reached"),
        ({"E2B_SANDBOX_URL": "http://127.0.0.1:1"}, {}, "upload the kernel's programs .* cannot be reached"),
        ({}, {"policy": Policy(gpu=True)}, "no GPU"),
        ({}, {"policy": Policy(grants=(Grant(Path("/tmp"), "/data"),))}, "cannot see folders of this machine"),
    ],
)
async def test_what_cannot_be_is_one_paragraph_and_leaves_nothing(
    service: StandIn, opened: Opener, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str | None], options: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr(E2BProvisioner, "_swept", True)
    for name, value in environ.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    before = set(runtime.mine().iterdir())
    with pytest.raises(WorkbenchError, match=said) as caught:
        await opened(**options)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert set(runtime.mine().iterdir()) == before
    assert service.sandboxes == {}


async def test_a_template_that_lacks_the_environment_is_an_error_and_leaves_nothing(
    service: StandIn, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    (template,) = service.templates
    monkeypatch.setattr(templates, "PREFIX", "/opt/nowhere")
    with pytest.raises(SandboxError, match=r"did not start.*/opt/nowhere/bin/python"):
        await opened(template=template)
    assert service.sandboxes == {}


async def test_sandboxes_whose_owner_died_here_are_killed_and_no_others(service: StandIn, opened: Opener) -> None:
    from e2b import AsyncSandbox

    kernel = await opened()
    mine = kernel.provisioner.now_running().sandbox_id
    template, own = service.created[0]["templateID"], e2b_service.labels("python-min")
    orphan = await AsyncSandbox.create(template, metadata={**own, "workbench-started": "1.00"})
    elsewhere = await AsyncSandbox.create(template, metadata={**own, "workbench-owner": "another", "workbench-started": "1.00"})
    nobodys = await AsyncSandbox.create(template)
    assert await e2b_service.sweep() == [orphan.sandbox_id]
    assert set(service.sandboxes) == {mine, elsewhere.sandbox_id, nobodys.sandbox_id}


@pytest.mark.skipif(os.environ.get(_REAL) != "1", reason=f"NOT RUN against the real E2B service: set {_REAL}=1 and E2B_API_KEY")
async def test_the_real_service_runs_a_kernel(minimal: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not _REAL_KEY:
        pytest.fail(f"{_REAL} is set, but E2B_API_KEY is not", pytrace=False)
    monkeypatch.setenv("E2B_API_KEY", _REAL_KEY)
    await templates.build(minimal)
    (tmp_path / "in").write_text("41")
    kernel = Kernel(tmp_path, minimal)
    try:
        await kernel.start()
        assert await kernel.run("x = int(open('in').read()) + 1; print(x); open('out', 'w').write(str(x))") == "42\n"
        assert (await kernel.run("import socket; socket.create_connection(('1.1.1.1', 80), 2)")).startswith(("OSError", "TimeoutError"))
        copy = Kernel(tmp_path, minimal, running=await kernel.provisioner.fork())
        try:
            await copy.start()
            assert await copy.run("print(x)") == "42\n"
        finally:
            await copy.close()
        await kernel.provisioner.pause()
        await kernel.provisioner.resume()
        assert await kernel.run("print(x)") == "42\n"
        await kernel.provisioner.kill()
        await kernel.provisioner.collect()
        assert (tmp_path / "out").read_text() == "42"
    finally:
        await kernel.close()
