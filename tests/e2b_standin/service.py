"""The service's own side: keys, templates, and the life of sandboxes, over HTTP on loopback."""

from __future__ import annotations

import asyncio
import datetime
import secrets
import socket
import threading
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from workbench.kernels.environments import Environment

from . import envd
from .envd import refused
from .machine import Machine

KEY = "e2b_0123456789abcdef0123456789abcdef01234567"
_ENVD = "0.6.4"
_STREAMS = ("/process.Process/Start", "/process.Process/Connect")


class Sandbox:
    """A machine and what the service knows of it."""

    def __init__(self, machine: Machine, body: Mapping[str, Any]) -> None:
        self.machine, self.body = machine, dict(body)
        self.identity = f"i{secrets.token_hex(9)}"
        self.state = "running"
        self.started = datetime.datetime.now(datetime.UTC)
        self.end = self.started
        self.alarm: asyncio.TimerHandle | None = None

    def json(self) -> dict[str, Any]:
        """Everything the service tells of it."""
        return {
            "templateID": self.body["templateID"],
            "sandboxID": self.identity,
            "clientID": "standin",
            "envdVersion": _ENVD,
            "envdAccessToken": self.machine.token,
            "startedAt": self.started.isoformat(),
            "endAt": self.end.isoformat(),
            "cpuCount": 2,
            "memoryMB": 512,
            "diskSizeMB": 1024,
            "state": self.state,
            "metadata": self.body.get("metadata") or {},
        }


class StandIn:
    """The stand-in, serving from a thread of its own while it is entered.

    Parameters
    ----------
    folder : Path
        Where its sandboxes keep their files.
    templates : mapping
        Which local environment stands for a template of which name.
    built : Environment, optional
        What stands for every template that is built here.
    writable : bool
        Whether sandboxes may change the environment, which is then a copy of the caller's.
    """

    def __init__(
        self, folder: Path, templates: Mapping[str, Environment], *, built: Environment | None = None, writable: bool = False
    ) -> None:
        self.writable = writable
        self.folder, self.templates, self.built = folder, dict(templates), built
        self.sandboxes: dict[str, Sandbox] = {}
        self.created: list[dict[str, Any]] = []
        self.builds: dict[str, dict[str, Any]] = {}
        self.timeouts: list[int] = []
        self.failing: str | None = None
        """A message with which every build ends."""
        self.failed: list[str] = []
        """Paths of the requests that were answered with a fault."""
        self._faults: dict[tuple[str, str], list[Response]] = {}
        self._streams: set[asyncio.Future[None]] = set()
        # asyncio sends at once only on sockets that say they speak TCP
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(self, log_level="warning", lifespan="off", timeout_keep_alive=600, timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rpc = envd.applications(lambda headers: self.sandboxes[headers["e2b-sandbox-id"]].machine)
        routes = [
            ("POST", "/v2/sandboxes", self.create),
            ("GET", "/v2/sandboxes", self.list),
            ("GET", "/sandboxes/{identity}", self.info),
            ("DELETE", "/sandboxes/{identity}", self.delete),
            ("POST", "/sandboxes/{identity}/timeout", self.timeout),
            ("POST", "/sandboxes/{identity}/pause", self.pause),
            ("POST", "/v2/sandboxes/{identity}/connect", self.connect),
            ("POST", "/sandboxes/{identity}/fork", self.fork),
            ("POST", "/sandboxes/{identity}/snapshots", self.snapshot),
            ("POST", "/v3/templates", self.request_build),
            ("GET", "/templates/{template}/files/{hash}", self.build_files),
            ("POST", "/v2/templates/{template}/builds/{build}", self.start_build),
            ("GET", "/templates/{template}/builds/{build}/status", self.build_status),
            ("GET", "/templates/aliases/{alias}", self.alias),
        ]
        self._rest = Starlette(routes=[Route(path, endpoint, methods=[method]) for method, path, endpoint in routes])
        self._files = Starlette(
            routes=[
                Route("/health", self.health),
                Route("/files", self.download, methods=["GET"]),
                Route("/files", self.upload, methods=["POST"]),
            ]
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._kill_all(), self._loop).result(30)
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()

    async def _kill_all(self) -> None:
        for identity in list(self.sandboxes):
            await self._kill(identity)

    def kill(self, identity: str, *, commands_first: bool = False) -> None:
        """Kill a sandbox as its timeout would; its commands may be seen to be killed before it is seen to be gone."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._kill(identity, commands_first=commands_first), self._loop).result(30)

    def fail(self, method: str, path: str, *answers: Response) -> None:
        """Give these answers, one after the other, to requests whose path begins with ``path``; the last one to all that follow."""
        self._faults[method, path] = list(answers)

    def mend(self) -> None:
        """Answer everything as usual again."""
        self._faults.clear()

    def drop(self) -> None:
        """Break every connection that carries the output of a command; the commands run on."""
        assert self._loop is not None
        for stream in list(self._streams):
            self._loop.call_soon_threadsafe(stream.cancel)

    def _fault(self, scope: Scope) -> Response | None:
        for (method, path), answers in self._faults.items():
            if scope["method"] == method and scope["path"].startswith(path):
                self.failed.append(scope["path"])
                return answers.pop(0) if len(answers) > 1 else answers[0]
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the service, or to the sandbox it names."""
        self._loop = asyncio.get_running_loop()
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        path = scope["path"]
        application: Any = next((each for prefix, each in self._rpc if path.startswith(prefix)), None)
        if path in ("/health", "/files"):
            application = self._files
        if application is None:
            application = self._rest if headers.get("x-api-key") == KEY else refused(401, "Invalid API key")
        else:
            sandbox = self.sandboxes.get(headers.get("e2b-sandbox-id", ""))
            if sandbox is None or sandbox.state != "running":
                application = refused(502, envd.GONE)
            elif headers.get("x-access-token") != sandbox.machine.token:
                application = refused(401, "unauthorized access, please provide a valid access token")
        application = self._fault(scope) or application
        if path not in _STREAMS:
            await application(scope, receive, send)
            return
        stream = asyncio.ensure_future(application(scope, receive, send))
        self._streams.add(stream)
        try:
            # an application that ends without an end to its answer makes the server break the connection
            await asyncio.wait({stream})
        finally:
            stream.cancel()
            self._streams.discard(stream)
        if not stream.cancelled():
            stream.result()

    def _machine(self, request: Request) -> Machine:
        return self.sandboxes[request.headers["e2b-sandbox-id"]].machine

    async def health(self, _: Request) -> Response:
        return Response(status_code=204)

    async def download(self, request: Request) -> Response:
        return await envd.download(self._machine(request), request)

    async def upload(self, request: Request) -> Response:
        return await envd.upload(self._machine(request), request)

    async def create(self, request: Request) -> Response:
        body = await request.json()
        environment = self.templates.get(body["templateID"])
        if environment is None:
            return refused(404, f"template '{body['templateID']}' not found")
        self.created.append(body)
        internet = bool(body.get("allow_internet_access", True)) and not body.get("network")
        folder = self.folder / secrets.token_hex(4)
        folder.mkdir(parents=True)
        machine = Machine(environment, folder, internet=internet, variables=body.get("envVars") or {}, writable=self.writable)
        await machine.start()
        sandbox = Sandbox(machine, body)
        self.sandboxes[sandbox.identity] = sandbox
        self._set_timeout(sandbox, body.get("timeout", 300))
        return JSONResponse(sandbox.json(), 201)

    def _set_timeout(self, sandbox: Sandbox, seconds: int) -> None:
        if sandbox.alarm is not None:
            sandbox.alarm.cancel()
        sandbox.end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        loop = asyncio.get_running_loop()
        sandbox.alarm = loop.call_later(seconds, lambda: asyncio.ensure_future(self._kill(sandbox.identity)))

    async def _kill(self, identity: str, *, commands_first: bool = False) -> bool:
        sandbox = self.sandboxes.pop(identity, None)
        if sandbox is None:
            return False
        if commands_first:
            await sandbox.machine.kill_commands()
        if sandbox.alarm is not None:
            sandbox.alarm.cancel()
        await sandbox.machine.kill()
        return True

    async def list(self, request: Request) -> Response:
        wanted = dict(urllib.parse.parse_qsl(request.query_params.get("metadata", "")))
        states = (request.query_params.get("state") or "running,paused").split(",")
        found = [each.json() for each in self.sandboxes.values() if each.state in states]
        return JSONResponse([each for each in found if wanted.items() <= each["metadata"].items()])

    async def info(self, request: Request) -> Response:
        sandbox = self._find(request)
        return JSONResponse(sandbox.json()) if sandbox else refused(404, "sandbox not found")

    def _find(self, request: Request) -> Sandbox | None:
        return self.sandboxes.get(request.path_params["identity"])

    async def delete(self, request: Request) -> Response:
        done = await self._kill(request.path_params["identity"])
        return Response(status_code=204) if done else refused(404, "sandbox not found")

    async def timeout(self, request: Request) -> Response:
        if (sandbox := self._find(request)) is None:
            return refused(404, "sandbox not found")
        self.timeouts.append((await request.json())["timeout"])
        self._set_timeout(sandbox, self.timeouts[-1])
        return Response(status_code=204)

    async def pause(self, request: Request) -> Response:
        if (sandbox := self._find(request)) is None:
            return refused(404, "sandbox not found")
        if sandbox.state == "paused":
            return refused(409, "sandbox is already paused")
        sandbox.state = "paused"
        if sandbox.alarm is not None:
            sandbox.alarm.cancel()
        sandbox.machine.pause()
        return Response(status_code=204)

    async def connect(self, request: Request) -> Response:
        if (sandbox := self._find(request)) is None:
            return refused(404, "sandbox not found")
        resumed = sandbox.state == "paused"
        if resumed:
            sandbox.machine.resume()
            sandbox.state = "running"
        self._set_timeout(sandbox, (await request.json()).get("timeout", 300))
        return JSONResponse(sandbox.json(), 201 if resumed else 200)

    async def fork(self, request: Request) -> Response:
        if self._find(request) is None:
            return refused(404, "sandbox not found")
        return JSONResponse([{"error": {"code": 501, "message": "the stand-in cannot copy a running machine"}}], 201)

    async def snapshot(self, request: Request) -> Response:
        return refused(501, "the stand-in cannot copy a running machine")

    async def request_build(self, request: Request) -> Response:
        body = await request.json()
        identity, build = secrets.token_hex(6), secrets.token_hex(6)
        self.builds[build] = {"name": body["name"], "request": body, "template": identity}
        names = {"names": [body["name"]], "tags": body.get("tags") or [], "aliases": [body["name"]]}
        return JSONResponse({"templateID": identity, "buildID": build, "public": False, **names}, 202)

    async def build_files(self, request: Request) -> Response:
        return JSONResponse({"present": True}, 201)

    async def start_build(self, request: Request) -> Response:
        self.builds[request.path_params["build"]]["steps"] = await request.json()
        return Response(status_code=202)

    async def build_status(self, request: Request) -> Response:
        build = self.builds[request.path_params["build"]]
        answer = {"templateID": build["template"], "buildID": request.path_params["build"], "logs": [], "logEntries": []}
        if self.failing is not None:
            return JSONResponse({**answer, "status": "error", "reason": {"message": self.failing, "logEntries": []}})
        if self.built is not None:
            self.templates[build["name"]] = self.built
        return JSONResponse({**answer, "status": "ready"})

    async def alias(self, request: Request) -> Response:
        name = request.path_params["alias"]
        return JSONResponse({"templateID": name, "public": False}) if name in self.templates else refused(404, "template alias not found")
