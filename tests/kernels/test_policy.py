"""What a policy says is held to by the kernel that has it."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import require_walls
from workbench.errors import SandboxError, UsageError
from workbench.kernels import image
from workbench.kernels.limits import Limits
from workbench.kernels.policy import Grant, Policy
from workbench.kernels.session import KernelSession

from .conftest import Opener
from .tools import dead, eventually, text_of, told

pytestmark = pytest.mark.walls


@pytest.fixture
def server() -> Iterator[int]:
    """A web server of this machine's."""

    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made.server_address[1]
        made.shutdown()


FETCH = """
import urllib.request
try: print(urllib.request.urlopen('http://{}', timeout=20).read())
except OSError as error: print('refused', error)
"""


class TestNetwork:
    async def test_a_host_on_the_list_is_reached_and_no_other(self, opened: Opener, server: int) -> None:
        require_walls("bubblewrap")
        session = await opened(policy=Policy(network=(f"localhost:{server}",)))
        assert "b'hello'" in text_of(await session.execute(FETCH.format(f"localhost:{server}")))
        for other in ("localhost:1", "example.com", "169.254.169.254"):
            refused = text_of(await session.execute(FETCH.format(other)))
            assert "refused" in refused and "hello" not in refused
        # and past the gate there is nothing
        observation = await session.execute(f"import socket\nsocket.create_connection(('127.0.0.1', {server}), timeout=5)")
        assert observation.error is not None and observation.error.name == "ConnectionRefusedError"

    async def test_a_branch_has_the_same_way_out_and_keeps_it_when_the_kernel_is_gone(self, opened: Opener, server: int) -> None:
        require_walls("bubblewrap")
        session = await opened(policy=Policy(network=(f"localhost:{server}",)))
        branch = await session.fork()
        try:
            await session.close()
            assert "b'hello'" in text_of(await branch.execute(FETCH.format(f"localhost:{server}")))
        finally:
            await branch.close()

    async def test_without_a_list_there_is_no_network(self, opened: Opener, server: int) -> None:
        session = await opened()
        assert "refused" in text_of(await session.execute(FETCH.format(f"localhost:{server}")))

    async def test_a_list_that_cannot_be_held_to_is_refused(self, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
        require_walls("bubblewrap")
        monkeypatch.setattr(image, "_lacking", image.NoImages("no images in this test"))
        with pytest.raises(SandboxError, match=r"pypi\.org cannot be let through"):
            await opened(policy=Policy(network=("pypi.org",)))

    def test_an_entry_that_is_no_host_is_named(self) -> None:
        with pytest.raises(UsageError, match="http://x"):
            Policy(network=("http://x/y",))


class TestTime:
    async def test_a_kernel_that_nobody_asks_anything_ends_and_says_so(self, opened: Opener) -> None:
        session = await opened(policy=Policy(limits=Limits(idle_seconds=0.5)))
        await session.execute("x = 1")
        assert await eventually(lambda: dead(session))
        observation = await session.execute("x")
        assert observation.state_lost and "limit of 0.5 s of idle time" in observation.note, told(observation)
        assert (await session.execute("1 + 1")).status == "ok"

    async def test_work_is_not_idleness(self, opened: Opener) -> None:
        session = await opened(policy=Policy(limits=Limits(idle_seconds=0.5)))
        observation = await session.execute("import time\nx = 1\ntime.sleep(1.5)")
        assert (observation.status, observation.state_lost) == ("ok", False), told(observation)

    async def test_a_kernel_ends_with_its_time_even_in_the_middle_of_a_cell(self, opened: Opener) -> None:
        session = await opened(policy=Policy(limits=Limits(wall_seconds=1)))
        observation = await session.execute("import time\ntime.sleep(1000)")
        assert observation.status == "died" and "limit of 1 s of life" in observation.note, told(observation)
        assert (await session.execute("1 + 1")).status == "ok"


class TestOutput:
    async def test_the_output_of_all_cells_together_is_bounded(self, opened: Opener) -> None:
        session = await opened(policy=Policy(limits=Limits(output_bytes=100_000)))
        assert (await session.execute("print('x' * 60_000)")).status == "ok"
        observation = await session.execute("import time\nfor _ in range(100):\n    print('x' * 10_000, flush=True)\n    time.sleep(.02)")
        assert observation.status == "flooded" and "100000" in observation.note, told(observation)


class TestGrants:
    @pytest.mark.parametrize("alone", [False, True])
    async def test_what_is_granted_is_there_and_no_more_than_that(
        self, opened: Opener, tmp_path: Path, alone: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        require_walls("bubblewrap")
        if alone:
            monkeypatch.setattr(image, "_lacking", image.NoImages("no images in this test"))
        for name in ("read", "write"):
            (tmp_path / name).mkdir(mode=0o777)
            (tmp_path / name).chmod(0o777)
            (tmp_path / name / "file").write_text(name)
            (tmp_path / name / "file").chmod(0o666)
        grants = (Grant(tmp_path / "read", "/data"), Grant(tmp_path / "write", "/out", writable=True))
        session = await opened(policy=Policy(grants=grants))
        code = """
print(open('/data/file').read(), open('/out/file').read())
open('/out/made', 'w').write('made')
try: open('/data/made', 'w')
except OSError as error: print(type(error).__name__)
"""
        observation = await session.execute(code)
        assert text_of(observation).split() == ["read", "write", *text_of(observation).split()[2:]], told(observation)
        assert text_of(observation).split()[-1] in ("OSError", "PermissionError")
        assert (tmp_path / "write" / "made").read_text() == "made"
        assert not (tmp_path / "read" / "made").exists()

    def test_a_grant_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="nowhere: it does not exist"):
            Grant(tmp_path / "nowhere", "/data")
        with pytest.raises(UsageError, match="no absolute path"):
            Grant(tmp_path, "data")

    @pytest.mark.parametrize(("inside", "own"), [("/tmp/data", "/tmp"), ("/workspace", "/workspace"), ("/", "/"), ("/proc/self", "/proc")])
    def test_a_grant_where_every_kernel_has_its_own_is_refused(self, tmp_path: Path, inside: str, own: str) -> None:
        with pytest.raises(UsageError, match=f"every kernel has a {own} of its own"):
            Grant(tmp_path, inside)
        assert Grant(tmp_path, "/tmpdata").inside == "/tmpdata"


class TestDevices:
    async def test_a_gpu_that_is_not_there_is_told(self, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
        require_walls("bubblewrap")
        monkeypatch.setattr("workbench.kernels.provisioners.local.gpus", lambda: ())
        with pytest.raises(SandboxError, match="GPU"):
            await opened(policy=Policy(gpu=True))

    @pytest.mark.parametrize("asked", [True, False])
    async def test_a_device_is_there_only_if_asked_for(self, opened: Opener, asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """No GPU is needed to see that: any device stands in for one."""
        require_walls("bubblewrap")
        if not Path("/dev/loop-control").exists() and not Path("/dev/kmsg").exists():
            pytest.skip("this machine has no device to stand in for a GPU")
        device = next(path for path in (Path("/dev/loop-control"), Path("/dev/kmsg")) if path.exists())
        monkeypatch.setattr("workbench.kernels.provisioners.local.gpus", lambda: (device,))
        session = await opened(policy=Policy(gpu=asked))
        assert text_of(await session.execute(f"import os\nos.path.exists('{device}')")) == str(asked)


async def test_two_kernels_with_different_policies_do_not_meet(opened: Opener) -> None:
    small, large = await asyncio.gather(
        opened(policy=Policy(limits=Limits(memory=256 * 2**20))), opened(policy=Policy(limits=Limits(memory=2 * 2**30)))
    )
    code = "kept = bytearray(600 * 2**20)\nlen(kept)"
    assert (await small.execute(code)).status in ("error", "died")
    assert (await large.execute(code)).status == "ok"


def test_a_session_can_be_made_without_a_policy(tmp_path: Path, minimal: object) -> None:
    assert KernelSession(minimal, tmp_path).policy == Policy()  # type: ignore[arg-type]
