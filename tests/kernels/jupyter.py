"""A real Jupyter Server, asked the way a browser asks it: over REST and WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from .tools import PATIENCE, eventually

CLI = "from workbench.cli import main; main()"


def free() -> int:
    """Return a port that nothing listens at. Given port 0, older Jupyter Servers (2.17, for one) write 0 into their info file."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def listens(port: int) -> bool:
    """Whether a server takes connections at a port of this machine."""
    with socket.socket() as visitor:
        return visitor.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Server:
    """Jupyter Server with folders of its own."""

    root: Path
    environ: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    address: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def kernelspecs(self) -> Path:
        return self.root / "share" / "jupyter" / "kernels"

    @property
    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    def cli(self, *arguments: str) -> Any:
        """What the command line prints with ``--json``, run beside the server."""
        done = subprocess.run(
            [sys.executable, "-c", CLI, *arguments, "--json"], env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def live(self) -> list[dict[str, Any]]:
        return self.cli("kernels", "list")["live"]

    async def start(self, *command: str) -> None:
        """Start Jupyter Server in its folder, or what ``command`` starts when it is given more options of Jupyter Server."""
        argv = [*(command or (sys.executable, "-m", "jupyter_server", "--allow-root", f"--ServerApp.root_dir={self.root}"))]
        argv += ["--no-browser", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={free()}", f"--IdentityProvider.token={self.token}"]
        with (self.root / "log").open("wb") as log:
            self.process = subprocess.Popen(argv, env=self.environ, stdout=log, stderr=log, cwd=self.root)
        runtime = self.root / "runtime"
        file = runtime / f"jpserver-{self.process.pid}.json"
        assert await eventually(lambda: file.exists() and file.read_text().endswith("}")), self.log
        port = json.loads(file.read_text())["port"]
        self.address = f"127.0.0.1:{port}"
        # the file is written before the port is listened at
        assert await eventually(lambda: listens(port)), self.log

    def stop(self, signum: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(signum)
            self.process.wait(PATIENCE)
            self.process = None

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the server's answer; an answer that is no success is ``{"code", "message"}``."""
        request = HTTPRequest(
            f"http://{self.address}/api/{path}",
            method,
            headers={"Authorization": f"token {self.token}"},
            body=None if body is None else json.dumps(body),
            allow_nonstandard_methods=True,
            request_timeout=PATIENCE,
        )
        try:
            answer = await AsyncHTTPClient().fetch(request)
        except HTTPClientError as error:
            assert error.response is not None
            return {"code": error.code, **json.loads(error.response.body)}
        return json.loads(answer.body) if answer.body else None

    @contextlib.asynccontextmanager
    async def kernel(self, name: str = "python-sandboxed") -> AsyncIterator[BrowserKernel]:
        """A kernel of this server's with a line to it; shut down at the end."""
        answer = await self.ask("POST", "kernels", {"name": name})
        assert "id" in answer, f"{answer}\n{self.log[-3000:]}"
        kernel = BrowserKernel(self, answer["id"])
        try:
            await kernel.connect()
            yield kernel
        finally:
            await kernel.close()
            await self.ask("DELETE", f"kernels/{kernel.id}")


@dataclass
class BrowserKernel:
    """One kernel of a server, as a notebook's page sees it."""

    server: Server
    id: str
    line: WebSocketClientConnection | None = None
    heard: list[dict[str, Any]] = field(default_factory=list)

    async def connect(self) -> None:
        self.line = await websocket_connect(f"ws://{self.server.address}/api/kernels/{self.id}/channels?token={self.server.token}")

    async def close(self) -> None:
        if self.line is not None:
            self.line.close()

    async def send(self, code: str) -> str:
        """Send a cell and return the number of the request."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        return await self._send("shell", "execute_request", content)

    async def _send(self, channel: str, kind: str, content: dict[str, Any]) -> str:
        assert self.line is not None
        header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "", "session": "test", "version": "5.3"}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": channel, "buffers": []}
        await self.line.write_message(json.dumps(message))
        return header["msg_id"]

    async def control_answers(self) -> None:
        """Wait until the thread that hears of interrupts answers something else."""
        request = await self._send("control", "kernel_info_request", {})
        await self.hear(lambda message: message["parent_header"].get("msg_id") == request and message["msg_type"] == "kernel_info_reply")

    async def hear(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the next message that is wanted; all are kept in ``heard``."""
        assert self.line is not None
        while True:
            text = await asyncio.wait_for(self.line.read_message(), PATIENCE)
            assert text is not None, "the server hung up"
            self.heard.append(message := json.loads(text))
            if wanted(message):
                return message

    async def restart(self) -> None:
        """Restart it, and wait until what it shows is heard again."""
        assert (await self.server.ask("POST", f"kernels/{self.id}/restart"))["id"] == self.id
        await self.heard_again()

    async def heard_again(self) -> None:
        """Wait until the line leads to the kernel that was started in the place of another; what it shows before is lost."""
        while True:
            request = await self._send("shell", "kernel_info_request", {})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.hear(partial(shown, request)), 1)
                return

    async def outputs(self, request: str) -> list[dict[str, Any]]:
        """Wait for the end of a cell and return what it showed."""
        replied = idle = False
        while not (replied and idle):
            message = await self.hear(lambda message: message["parent_header"].get("msg_id") == request)
            replied |= message["msg_type"] == "execute_reply"
            idle |= message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
        return [message for message in self.heard if shown(request, message)]

    async def run(self, code: str) -> list[dict[str, Any]]:
        """Run a cell and return what it showed."""
        return await self.outputs(await self.send(code))

    async def started(self, request: str, text: str) -> None:
        """Wait until a cell has printed ``text``."""
        await self.hear(lambda message: message["parent_header"].get("msg_id") == request and text in message["content"].get("text", ""))


def shown(request: str, message: dict[str, Any]) -> bool:
    """Whether a message is of what a request shows to everybody."""
    return message["channel"] == "iopub" and message["parent_header"].get("msg_id") == request


def text(outputs: list[dict[str, Any]]) -> str:
    """What a cell printed and returned, and the name of its error."""
    parts = []
    for output in outputs:
        content = output["content"]
        parts.append(content.get("text") or content.get("ename") or content.get("data", {}).get("text/plain") or "")
    return "".join(parts)


@contextlib.contextmanager
def folders() -> Iterator[Server]:
    """A server that is not started, with the kernelspec of ``python-min`` installed for it."""
    # short: a socket's path must fit
    root = Path(tempfile.mkdtemp(prefix="wb-j-"))
    environ = {**os.environ, "TMPDIR": str(root / "t"), "JUPYTER_PATH": str(root / "share" / "jupyter"), "JUPYTER_PREFER_ENV_PATH": "0"}
    # extensions that other packages installed take most of the time of a start
    environ["JUPYTER_NO_CONFIG"] = "1"
    environ |= {f"JUPYTER_{name.upper()}_DIR": str(root / name) for name in ("config", "data", "runtime")}
    for name in ("t", "runtime"):
        (root / name).mkdir(mode=0o700)
    server = Server(root, environ)
    try:
        server.cli("kernels", "install", "--environment", "python-min", "--name", "python-sandboxed", "--prefix", str(root))
        yield server
    finally:
        server.stop(signal.SIGKILL)
        shutil.rmtree(root, ignore_errors=True)
