"""Kernels in Docker containers, on a real engine that the tests start themselves."""
# ruff: noqa: E501  (programs as they are run)

from __future__ import annotations

import ast
import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from workbench.errors import SandboxError, UsageError, WorkbenchError
from workbench.kernels import docker_engine, environments, images, runtime
from workbench.kernels.containers import Container
from workbench.kernels.docker_walls import User, standing
from workbench.kernels.environments import Environment
from workbench.kernels.limits import Limits
from workbench.kernels.policy import Grant, Policy
from workbench.kernels.provisioners.docker import DockerProvisioner
from workbench.kernels.session import SANDBOXES, KernelSession

from ..engine import BASE
from ..tools import PATIENCE, eventually, text_of, told

pytestmark = pytest.mark.docker

BOTH = pytest.mark.parametrize("mode", ["mounted", "bridged"])
Opener = Callable[..., Awaitable[KernelSession]]


@pytest.fixture
async def opened(engine: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opener]:
    """Start a session: ``session = await opened("mounted", policy=...)``."""
    async with AsyncExitStack() as stack:

        async def start(
            mode: str = "", *, workspace: Path = tmp_path / "workspace", policy: Policy | None = None, **traits: Any
        ) -> KernelSession:
            monkeypatch.setitem(SANDBOXES, "docker", ("workbench-docker", {"mode": mode, **traits}))
            workspace.mkdir(exist_ok=True)
            environment = environments.find("python-min")
            return await stack.enter_async_context(
                KernelSession(environment, workspace, sandbox="docker", policy=policy, cell_seconds=PATIENCE)
            )

        yield start


def containers(engine: docker.DockerClient, owner: str = "") -> list[str]:
    """The containers of one owner, by default this process."""
    label = f"workbench.owner={owner or runtime.mine().name}"
    return [each["Id"] for each in engine.api.containers(all=True, filters={"label": label})]


async def value_of(session: KernelSession, code: str) -> Any:
    observation = await session.execute(code)
    assert observation.status == "ok", told(observation)
    return ast.literal_eval(text_of(observation, "result"))


class TestWalls:
    @BOTH
    async def test_the_container_is_hardened_and_the_session_says_so(self, opened: Opener, engine: docker.DockerClient, mode: str) -> None:
        limits = Limits(memory=600 * 2**20, processes=50, cpus=0.5)
        session = await opened(mode, policy=Policy(limits=limits))
        (found,) = containers(engine)
        seen = engine.api.inspect_container(found)
        host = seen["HostConfig"]
        assert (host["NetworkMode"], host["CapDrop"], host["CapAdd"], host["Privileged"]) == ("none", ["ALL"], None, False)
        assert (host["ReadonlyRootfs"], host["IpcMode"], host["PidMode"], host["UsernsMode"]) == (True, "private", "", "")
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (limits.memory, limits.memory, 5 * 10**8)
        assert limits.processes <= host["PidsLimit"] < limits.processes + 16
        assert (host["AutoRemove"], host["LogConfig"]["Type"]) == (True, "none")
        assert int(seen["Config"]["User"].split(":")[0]) >= 0x40000000
        assert seen["Config"]["Labels"]["workbench.pid"] == str(os.getpid())
        for wall in ("read-only root", "network: none", "unprivileged user", "cgroup: memory", "rlimits", "system call filter", "landlock"):
            assert any(each.startswith(wall) for each in [*session.walls, *session.missing]), wall
        assert any(each.startswith("workspace: in memory") for each in session.missing) == (mode == "mounted")

    @BOTH
    async def test_what_the_kernel_finds_inside(self, opened: Opener, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
        monkeypatch.setenv("SOMETHING_PRIVATE", "secret")
        session = await opened(mode)
        status = await value_of(session, "dict(line.rstrip().split(':', 1) for line in open('/proc/self/status'))")
        assert {status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
        assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
        assert await value_of(session, "import os\n[line.split(':')[0].strip() for line in open('/proc/net/dev')][2:]") == ["lo"]
        assert "SOMETHING_PRIVATE" not in await value_of(session, "dict(os.environ)")
        assert await value_of(
            session, "os.listdir('/workspace'), os.path.exists('/root/.ssh'), os.path.exists('/var/run/docker.sock')"
        ) == ([], False, False)
        for code in (
            "open('/usr/new', 'w')",
            "open('/opt/workbench/hold.py', 'a')",
            "os.setuid(0)",
            "os.chroot('/tmp')",
            "open('/opt/environment/new', 'w')",
        ):
            observation = await session.execute(code)
            assert observation.error is not None and observation.error.name in ("PermissionError", "OSError"), told(observation)

    @BOTH
    async def test_the_first_process_cannot_be_taken_hold_of(self, opened: Opener, engine: docker.DockerClient, mode: str) -> None:
        session = await opened(mode)
        await session.execute("import os, signal\ntry: os.kill(1, signal.SIGKILL)\nexcept PermissionError: pass")
        for code in ("open('/proc/1/mem', 'rb')", "os.readlink('/proc/1/fd/0')", "open('/proc/1/environ').read()"):
            observation = await session.execute(code)
            assert observation.error is not None and observation.error.name == "PermissionError", told(observation)
        assert len(containers(engine)) == 1

    async def test_grants_are_seen_and_only_some_may_be_written(self, opened: Opener, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "file").write_text("lent")
        (tmp_path / "out").mkdir()
        (tmp_path / "out").chmod(0o777)
        policy = Policy(grants=(Grant(tmp_path / "data", "/data"), Grant(tmp_path / "out", "/out", writable=True)))
        session = await opened(policy=policy)
        assert any("kernel.py" in " ".join(process.cmdline()) for process in session.provisioner.processes())
        assert await value_of(session, "open('/data/file').read(), open('/out/made', 'w').write('x')") == ("lent", 1)
        assert (await session.execute("open('/data/file', 'w')")).status == "error"
        assert ((tmp_path / "data" / "file").read_text(), (tmp_path / "out" / "made").read_text()) == ("lent", "x")

    @BOTH
    async def test_hidden_packages_cannot_be_imported(self, opened: Opener, mode: str) -> None:
        session = await opened(mode, policy=Policy(hide=("jedi",)))
        code = "import os, tornado\nos.listdir(os.path.join(os.path.dirname(os.path.dirname(tornado.__file__)), 'jedi'))"
        assert await value_of(session, code) == []

    async def test_a_host_that_is_allowed_is_reached_and_no_other(self, opened: Opener) -> None:
        async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(hello, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        session = await opened("mounted", policy=Policy(network=(f"localhost:{port}",)))
        assert f"network: localhost:{port}" in session.walls
        fetch = "import urllib.request\nurllib.request.urlopen('http://{}').read()"
        assert await value_of(session, fetch.format(f"localhost:{port}")) == b"hello"
        for other in ("localhost:1", "example.com"):
            observation = await session.execute(fetch.format(other))
            assert observation.error is not None and "403" in observation.error.value, told(observation)
        assert await value_of(session, "import os\nos.listdir('/sys/class/net')") == ["lo"]
        server.close()


class TestLimits:
    @BOTH
    async def test_memory(self, opened: Opener, mode: str) -> None:
        limits = Limits(memory=300 * 2**20)
        session = await opened(mode, policy=Policy(limits=limits))
        await session.execute("open('kept', 'w').write('file')")
        # shared memory, which is no single process's own
        observation = await session.execute("import mmap\nm = mmap.mmap(-1, 1 << 30)\nfor i in range(0, 1 << 30, 4096): m[i] = 1")
        assert (observation.status, observation.state_lost) == ("died", True), told(observation)
        assert f"memory limit of {limits.memory} bytes" in observation.note
        assert await value_of(session, "open('kept').read()") == "file"

    async def test_processes_and_temporary_files(self, opened: Opener) -> None:
        session = await opened(policy=Policy(limits=Limits(processes=40, scratch_bytes=8 * 2**20)))
        observation = await session.execute("import subprocess\nmade = [subprocess.Popen(['sleep', '1000']) for _ in range(60)]")
        assert observation.error is not None and observation.error.name == "BlockingIOError", told(observation)
        for place in ("/tmp/big", "/dev/shm/big"):
            observation = await session.execute(f"open({place!r}, 'wb').write(bytes(16 << 20))")
            assert observation.error is not None and "No space" in observation.error.value, told(observation)

    @pytest.mark.parametrize(
        "code", ["open('big', 'wb').write(bytes(32 << 20))", "import os\nf = open('big', 'wb')\nos.unlink('big')\nf.write(bytes(32 << 20))"]
    )
    async def test_a_mounted_workspace_that_outgrows_its_limit_costs_the_kernel(self, opened: Opener, code: str) -> None:
        session = await opened("mounted", policy=Policy(limits=Limits(workspace_bytes=8 * 2**20)))
        observation = await session.execute(f"{code}\nimport time\nwhile True: time.sleep(0.1)")
        assert observation.status == "died", told(observation)
        assert f"workspace limit of {8 * 2**20} bytes" in observation.note

    async def test_a_workspace_over_the_bridge_has_a_size(self, opened: Opener) -> None:
        session = await opened("bridged", policy=Policy(limits=Limits(workspace_bytes=8 * 2**20)))
        observation = await session.execute("open('big', 'wb').write(bytes(32 << 20))")
        assert observation.error is not None and "No space" in observation.error.value, told(observation)
        await session.execute("import os\nfor number in range(10_000): open(f'{number}', 'w').close()")
        await session.close()
        # full to the brim, it comes back whole
        assert (session.workspace / "big").stat().st_size > 7 * 2**20
        assert (session.workspace / "0").exists()


class TestEnds:
    @BOTH
    async def test_a_daemon_that_holds_the_output_open_does_not_hide_the_kernel_s_death(
        self, opened: Opener, engine: docker.DockerClient, mode: str
    ) -> None:
        session = await opened(mode)
        code = "import os, subprocess, sys\nd = subprocess.Popen([sys.executable, '-c', 'import os, signal; os.setsid(); print(1, flush=True); signal.pause()'], stdout=subprocess.PIPE, stderr=None)\nd.stdout.readline()\nos._exit(3)"
        observation = await session.execute(code)
        assert "exit code 3" in observation.note, told(observation)
        assert (
            await value_of(
                session,
                "import os\n[pid for pid in os.listdir('/proc') if pid.isdigit() and 'signal.pause' in open(f'/proc/{pid}/cmdline').read()]",
            )
            == []
        )

    @BOTH
    async def test_a_kernel_goes_on_without_its_output(self, opened: Opener, mode: str) -> None:
        session = await opened(mode)
        await session.execute("import os\nos.close(1)\nos.close(2)")
        assert await value_of(session, "1 + 1") == 2

    async def test_a_container_that_somebody_removes_is_a_death_with_a_reason(self, opened: Opener, engine: docker.DockerClient) -> None:
        session = await opened("mounted")
        running = asyncio.ensure_future(
            session.execute("print('on', flush=True)\nwhile True: pass", on_output=lambda _: engine.api.kill(containers(engine)[0]))
        )
        observation = await running
        assert observation.status == "died" and "the container ended" in observation.note, told(observation)
        assert await value_of(session, "1") == 1

    @BOTH
    async def test_closing_leaves_no_container_and_no_folder(self, opened: Opener, engine: docker.DockerClient, mode: str) -> None:
        session = await opened(mode)
        folder = session.provisioner.folder
        assert folder is not None and len(containers(engine)) == 1
        await session.close()
        assert (containers(engine), folder.exists()) == ([], False)

    @BOTH
    async def test_a_restart_by_jupyter_keeps_the_files(self, opened: Opener, engine: docker.DockerClient, mode: str) -> None:
        session = await opened(mode)
        await session.execute("x = 1\nopen('kept', 'w').write('file')")
        before = containers(engine)
        channel = session._open
        await channel._manager.restart_kernel(now=True)
        await channel.connect()
        assert await value_of(session, "'x' in globals(), open('kept').read()") == (False, "file")
        assert len(containers(engine)) == 1 and containers(engine) != before

    async def test_cancelling_a_start_leaves_no_container(
        self, opened: Opener, engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun = asyncio.Event()

        async def never(self: Container) -> None:
            begun.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(Container, "_answer", never)
        starting = asyncio.ensure_future(opened())
        await asyncio.wait_for(begun.wait(), PATIENCE)
        assert len(containers(engine)) == 1
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert containers(engine) == []

    async def test_an_engine_that_is_lost_on_the_way_is_told_and_leaves_no_folder(
        self, opened: Opener, engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = await opened("mounted")
        folder = session.provisioner.folder
        assert folder is not None

        def lost(*_: Any) -> None:
            raise requests.ConnectionError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(docker_engine, "discard", lost)
            with pytest.raises(SandboxError, match="cannot remove the container"):
                await session.close()
        assert not folder.exists()
        # it held nothing any more, so the container ended by itself
        assert await eventually(lambda: not containers(engine))

    @BOTH
    async def test_it_dies_with_the_process_that_owns_it(self, engine: docker.DockerClient, tmp_path: Path, mode: str) -> None:
        program = """
import asyncio, sys, time
from pathlib import Path
from workbench.kernels import environments, runtime
from workbench.kernels.session import SANDBOXES, KernelSession
SANDBOXES["docker"] = ("workbench-docker", {"mode": sys.argv[2]})
async def main():
    async with KernelSession(environments.find("python-min"), Path(sys.argv[1]), sandbox="docker") as session:
        await session.execute("import subprocess; child = subprocess.Popen(['sleep', '1000'], start_new_session=True)")
        print(runtime.mine().name, flush=True)
        await session.execute("while True: pass")
asyncio.run(main())
"""
        owner = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), mode], stdout=subprocess.PIPE, text=True)
        assert owner.stdout is not None
        name = owner.stdout.readline().strip()
        assert len(containers(engine, name)) == 1
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        owner.stdout.close()
        assert await eventually(lambda: not containers(engine, name))

    async def test_a_sweep_removes_what_dead_owners_left_and_nothing_else(self, engine: docker.DockerClient) -> None:
        image = images.name(environments.find("python-min"))
        mine = docker_engine.labels("python-min")
        dead = {**mine, "workbench.owner": "abcdef"}
        made = [
            engine.containers.create(image, ["sleep", "1000"], labels=labels).id
            for labels in (mine, dead, {**dead, "workbench.root": "elsewhere:/tmp"}, {**dead, "workbench.owner": "../../etc"})
        ]
        try:
            assert len(await DockerProvisioner.sweep()) == 2
            left = [each.id for each in engine.containers.list(all=True, ignore_removed=True)]
            assert [container in left for container in made] == [True, False, True, False]
        finally:
            for container in made:
                docker_engine.discard(docker_engine.Engine(engine, "", {}), container)


class TestWorkspaceOverTheBridge:
    async def test_everything_plain_goes_in_and_comes_back(self, opened: Opener, tmp_path: Path) -> None:
        workspace = tmp_path / "own"
        (workspace / "data").mkdir(parents=True)
        (workspace / "data" / "train.csv").write_text("a,b\n")
        (workspace / "run.sh").write_text("#!/bin/sh\n")
        (workspace / "run.sh").chmod(0o755)
        (workspace / "latest").symlink_to("data/train.csv")
        session = await opened("bridged", workspace=workspace)
        assert await value_of(session, "import os\nopen('latest').read(), os.access('run.sh', os.X_OK)") == ("a,b\n", True)
        await session.execute(
            "os.mkdir('closed')\nopen('closed/file', 'w').write('x')\nos.chmod('closed', 0)\nos.symlink('/etc/passwd', 'out')\nos.mkfifo('pipe')"
        )
        await session.close()
        assert sorted(str(path.relative_to(workspace)) for path in workspace.rglob("*")) == [
            "closed",
            "closed/file",
            "data",
            "data/train.csv",
            "latest",
            "run.sh",
        ]
        assert os.access(workspace / "run.sh", os.X_OK)

    async def test_a_container_that_is_gone_leaves_the_files_as_they_were(
        self, opened: Opener, engine: docker.DockerClient, tmp_path: Path
    ) -> None:
        session = await opened("bridged")
        (session.workspace / "here").write_text("x")
        engine.api.kill(containers(engine)[0])
        with pytest.raises(SandboxError, match="container"):
            await session.close()
        assert [path.name for path in session.workspace.iterdir()] == ["here"]
        assert containers(engine) == []

    async def test_a_large_file_can_be_put_and_got_and_a_larger_one_is_refused(self, opened: Opener) -> None:
        session = await opened("bridged")
        data = os.urandom(5 << 20)
        await session.put("deep/data", data)
        assert await session.get("deep/data") == data
        with pytest.raises(UsageError, match="more than 1000 bytes"):
            await session.provisioner.get("deep/data", most=1000)


class TestBadInput:
    async def refused(self, opened: Opener, engine: docker.DockerClient, kind: type[WorkbenchError], *parts: str, **options: Any) -> None:
        with pytest.raises(kind) as raised:
            await opened(**options)
        said = str(raised.value)
        assert all(part in said for part in parts), said
        assert raised.value.hint and "\n" not in said
        assert containers(engine) == []
        assert not [path for path in runtime.mine().iterdir() if path.name.startswith("k-")]

    async def test_an_engine_that_is_down(self, opened: Opener, engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
        await self.refused(opened, engine, SandboxError, "unix:///nowhere/docker.sock", "start the engine")
        monkeypatch.setenv("DOCKER_HOST", "nonsense://")
        await self.refused(opened, engine, SandboxError, "nonsense://")

    async def test_an_image_that_is_missing(self, opened: Opener, engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WORKBENCH_DOCKER_BASE", "another")
        await self.refused(opened, engine, SandboxError, "python-min has no image", "environments build python-min --backend docker")
        await self.refused(opened, engine, SandboxError, "on the base another", "set WORKBENCH_DOCKER_BASE to the base", BASE)

    async def test_the_docker_package_missing(self, opened: Opener, engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "docker", None)
        await self.refused(opened, engine, SandboxError, "docker package is not installed", "codeact-workbench[docker]")

    async def test_what_docker_cannot_do(self, opened: Opener, engine: docker.DockerClient, tmp_path: Path) -> None:
        await self.refused(opened, engine, UsageError, "'sideways'", "mounted", mode="sideways")
        await self.refused(opened, engine, UsageError, "pypi.org", "this machine", mode="bridged", policy=Policy(network=("pypi.org",)))
        await self.refused(
            opened, engine, UsageError, str(tmp_path), "workspace", mode="bridged", policy=Policy(grants=(Grant(tmp_path, "/data"),))
        )
        await self.refused(opened, engine, SandboxError, "runsc-of-nobody", "docker info", runtime="runsc-of-nobody")
        await self.refused(opened, engine, SandboxError, "gpu", "policy without gpu", policy=Policy(gpu=True))

    def test_an_engine_that_is_not_for_this_user(self, engine: docker.DockerClient) -> None:
        program = "import os; os.setresuid(65534, 65534, 65534)\nfrom workbench.kernels import docker_engine\ntry: docker_engine.connect()\nexcept Exception as error: print(error)"
        preloaded = "import docker, workbench.kernels.docker_engine, encodings.idna\n" + program
        said = subprocess.run([sys.executable, "-c", preloaded], capture_output=True, text=True, check=False)
        assert "cannot reach the Docker engine" in said.stdout and "join the group docker" in said.stdout, said


@pytest.mark.parametrize(
    ("address", "facts", "mounted"),
    [
        ("unix:///var/run/docker.sock", {}, True),
        ("unix:///var/run/docker.sock", {"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}, False),
        ("unix:///var/run/docker.sock", {"SecurityOptions": ["name=userns"]}, False),
        ("unix:///var/run/docker.sock", {"OperatingSystem": "Docker Desktop"}, False),
        ("tcp://10.0.0.1:2376", {}, False),
        ("ssh://somebody@host", {}, False),
    ],
)
def test_which_engines_see_this_machine(address: str, facts: dict[str, Any], mounted: bool) -> None:
    engine = docker_engine.Engine(docker.DockerClient, address, facts)
    assert engine.sees_this_machine is mounted
    provisioner = DockerProvisioner(environment=environments.find("python-min"))
    assert provisioner._choose(engine) is not mounted
    provisioner.runtime = "runsc"
    assert provisioner._choose(engine)


@pytest.mark.parametrize(
    ("facts", "runtime", "gone"),
    [
        ({"MemoryLimit": True, "PidsLimit": True, "CpuCfsQuota": True, "SecurityOptions": ["name=seccomp,profile=default"]}, "", []),
        ({"MemoryLimit": False, "PidsLimit": True}, "", ["cgroup: memory", "cgroup: processor", "the engine's system call filter"]),
        ({"MemoryLimit": True, "PidsLimit": True, "CpuCfsQuota": True}, "runsc", ["cgroup: memory", "cgroup: processor", "the engine's"]),
    ],
)
def test_what_the_engine_does_not_hold_is_said(facts: dict[str, Any], runtime: str, gone: list[str]) -> None:
    engine = docker_engine.Engine(docker.DockerClient, "unix:///s", facts)
    report = '{"walls": ["rlimits"], "missing": ["landlock: too old"]}'
    walls, missing = standing(engine, Policy(), User(5, 5), report, mounted=False, runtime=runtime)
    assert "rlimits" in walls and "unprivileged user" in walls and missing[-1] == "landlock: too old"
    assert len(missing) == len(gone) + 1
    assert all(each.startswith(wall) for each, wall in zip(missing, gone, strict=False))
    walls, missing = standing(engine, Policy(), User(5, 5, nobody=False), "garbage", mounted=True)
    assert "unprivileged user" not in walls and missing[-1].startswith("inner walls")


def test_the_environment_is_not_needed_on_this_machine(minimal: Environment) -> None:
    assert images.name(minimal) == images.name(environments.find("python-min"))


@BOTH
async def test_the_mount_table_tells_where_the_workspace_is_only_if_it_is_mounted(opened: Opener, tmp_path: Path, mode: str) -> None:
    session = await opened(mode)
    table = await value_of(session, "open('/proc/self/mountinfo').read()")
    assert (tmp_path.name in table) == (mode == "mounted")
    assert ("/connection" in table) == (mode == "mounted")
