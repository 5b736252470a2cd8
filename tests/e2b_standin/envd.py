"""What answers inside a sandbox of the service: processes and files. The messages are those of the SDK's own protocol files."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from e2b.envd.filesystem import filesystem_connect, filesystem_pb
from e2b.envd.process import process_connect, process_pb
from protobuf import Oneof
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from .machine import ENVIRONMENT, Command, Gone, Machine

Find = Callable[[Any], Machine]
"""Returns the machine that a request's headers name."""

GONE = "The sandbox was not found"
# run inside, as the user who asks: no link leads out of the sandbox
_LOOK = """
import json, os, shutil, stat, sys
def entry(path):
    found = os.lstat(path)
    kinds = {stat.S_IFREG: 1, stat.S_IFDIR: 2}
    link = stat.S_ISLNK(found.st_mode)
    if link and os.path.exists(path): found = os.stat(path)
    return {"name": os.path.basename(path), "path": path, "type": kinds.get(stat.S_IFMT(found.st_mode), 0), "size": found.st_size,
            "mode": stat.S_IMODE(found.st_mode), "link": os.readlink(path) if link else None}
def walk(path, depth):
    for name in sorted(os.listdir(path)):
        inner = os.path.join(path, name)
        yield entry(inner)
        if depth > 1 and os.path.isdir(inner) and not os.path.islink(inner): yield from walk(inner, depth - 1)
what, path, *more = sys.argv[1:]
try:
    if what == "stat": answer = entry(path)
    elif what == "list": answer = list(walk(path, int(more[0])))
    elif what == "make": os.makedirs(path); answer = entry(path)
    elif what == "move": os.rename(path, more[0]); answer = entry(more[0])
    elif what == "remove": answer = shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
except FileExistsError as error: answer = {"error": "exists", "message": str(error)}
except FileNotFoundError as error: answer = {"error": "missing", "message": str(error)}
except OSError as error: answer = {"error": "other", "message": str(error)}
print(json.dumps(answer))
"""


def user_of(headers: Any) -> str:
    """Return whom a call is made as: the name in its basic authorization."""
    kind, _, value = (headers.get("authorization") or "").partition(" ")
    return base64.b64decode(value).decode().partition(":")[0] if kind == "Basic" else "user"


class Process:
    """Starts commands and carries their input and output."""

    def __init__(self, find: Find) -> None:
        self.find = find

    def _command(self, ctx: Any, selector: process_pb.ProcessSelector | None) -> Command:
        pid = selector.selector.value if selector is not None and selector.selector is not None else None
        command = self.find(ctx.request_headers).commands.get(pid)
        if command is None or command.ended.done():
            raise ConnectError(Code.NOT_FOUND, f"process with pid {pid} not found")
        return command

    async def list(self, request: process_pb.ListRequest, ctx: Any) -> process_pb.ListResponse:
        commands = self.find(ctx.request_headers).commands
        return process_pb.ListResponse(
            processes=[process_pb.ProcessInfo(pid=pid, config=each.config) for pid, each in commands.items() if not each.ended.done()]
        )

    async def start(self, request: process_pb.StartRequest, ctx: Any) -> AsyncIterator[process_pb.StartResponse]:
        machine, config = self.find(ctx.request_headers), request.process
        cwd = config.cwd if config.has_field("cwd") else None
        try:
            process = await machine.run(
                [config.cmd, *config.args], user=user_of(ctx.request_headers), envs=config.envs, cwd=cwd, stdin=request.stdin
            )
        except LookupError as error:
            raise ConnectError(Code.UNAUTHENTICATED, str(error)) from None
        command = machine.commands[process.pid] = Command(process, config)
        async for event in self._events(machine, process.pid, command):
            yield process_pb.StartResponse(event=event)

    async def connect(self, request: process_pb.ConnectRequest, ctx: Any) -> AsyncIterator[process_pb.ConnectResponse]:
        machine, command = self.find(ctx.request_headers), self._command(ctx, request.process)
        async for event in self._events(machine, command.process.pid, command):
            yield process_pb.ConnectResponse(event=event)

    async def _events(self, machine: Machine, pid: int, command: Command) -> AsyncIterator[process_pb.ProcessEvent]:
        event = process_pb.ProcessEvent
        with command.listening() as queue:
            yield event(event=Oneof("start", event.StartEvent(pid=pid)))
            gone = asyncio.ensure_future(machine.gone.wait())
            try:
                while True:
                    coming = asyncio.ensure_future(queue.get())
                    await asyncio.wait({coming, gone}, return_when=asyncio.FIRST_COMPLETED)
                    if gone.done():
                        coming.cancel()
                        raise ConnectError(Code.UNAVAILABLE, GONE)
                    if (output := coming.result()) is None:
                        break
                    name, data = output
                    yield event(event=Oneof("data", event.DataEvent(output=Oneof(name, data))))
            finally:
                gone.cancel()
        code = await command.ended
        # a command that a signal killed has the code -1, and the signal in words
        status = f"signal: {signal.strsignal(-code)}" if code < 0 else f"exit status {code}"
        end = event.EndEvent(exit_code=max(code, -1), exited=code >= 0, status=status, error=status if code else None)
        yield event(event=Oneof("end", end))

    async def send_input(self, request: process_pb.SendInputRequest, ctx: Any) -> process_pb.SendInputResponse:
        stdin = self._command(ctx, request.process).process.stdin
        if stdin is None or stdin.is_closing():
            raise ConnectError(Code.FAILED_PRECONDITION, "stdin is not open")
        stdin.write(request.input.input.value)
        await stdin.drain()
        return process_pb.SendInputResponse()

    async def close_stdin(self, request: process_pb.CloseStdinRequest, ctx: Any) -> process_pb.CloseStdinResponse:
        if (stdin := self._command(ctx, request.process).process.stdin) is not None:
            stdin.close()
        return process_pb.CloseStdinResponse()

    async def send_signal(self, request: process_pb.SendSignalRequest, ctx: Any) -> process_pb.SendSignalResponse:
        self._command(ctx, request.process).signal(int(request.signal))
        return process_pb.SendSignalResponse()

    async def stream_input(self, request: AsyncIterator[process_pb.StreamInputRequest], ctx: Any) -> process_pb.StreamInputResponse:
        raise ConnectError(Code.UNIMPLEMENTED, "the stand-in has no streamed input")

    async def update(self, request: process_pb.UpdateRequest, ctx: Any) -> process_pb.UpdateResponse:
        raise ConnectError(Code.UNIMPLEMENTED, "the stand-in has no terminals")


class Filesystem(filesystem_connect.Filesystem):
    """Looks at files and moves them; whatever touches them runs inside the sandbox. It watches none."""

    def __init__(self, find: Find) -> None:
        self.find = find

    async def _look(self, ctx: Any, *arguments: str) -> Any:
        return await look(self.find(ctx.request_headers), user_of(ctx.request_headers), *arguments)

    async def stat(self, request: filesystem_pb.StatRequest, ctx: Any) -> filesystem_pb.StatResponse:
        return filesystem_pb.StatResponse(entry=_entry(await self._look(ctx, "stat", request.path)))

    async def make_dir(self, request: filesystem_pb.MakeDirRequest, ctx: Any) -> filesystem_pb.MakeDirResponse:
        return filesystem_pb.MakeDirResponse(entry=_entry(await self._look(ctx, "make", request.path)))

    async def move(self, request: filesystem_pb.MoveRequest, ctx: Any) -> filesystem_pb.MoveResponse:
        return filesystem_pb.MoveResponse(entry=_entry(await self._look(ctx, "move", request.source, request.destination)))

    async def list_dir(self, request: filesystem_pb.ListDirRequest, ctx: Any) -> filesystem_pb.ListDirResponse:
        found = await self._look(ctx, "list", request.path, str(request.depth or 1))
        return filesystem_pb.ListDirResponse(entries=[_entry(each) for each in found])

    async def remove(self, request: filesystem_pb.RemoveRequest, ctx: Any) -> filesystem_pb.RemoveResponse:
        await self._look(ctx, "remove", request.path)
        return filesystem_pb.RemoveResponse()


async def look(machine: Machine, user: str, *arguments: str) -> Any:
    """Run one file operation inside."""
    try:
        _, out, error = await machine.output([f"{ENVIRONMENT}/bin/python", "-I", "-c", _LOOK, *arguments], user=user)
    except Gone:
        raise ConnectError(Code.UNAVAILABLE, GONE) from None
    except LookupError as unknown:
        raise ConnectError(Code.UNAUTHENTICATED, str(unknown)) from None
    if not out:
        raise ConnectError(Code.INTERNAL, error.decode(errors="replace"))
    answer = json.loads(out)
    if isinstance(answer, dict) and "error" in answer:
        codes = {"exists": Code.ALREADY_EXISTS, "missing": Code.NOT_FOUND}
        raise ConnectError(codes.get(answer["error"], Code.INTERNAL), answer["message"])
    return answer


def _entry(found: dict[str, Any]) -> filesystem_pb.EntryInfo:
    return filesystem_pb.EntryInfo(
        name=found["name"],
        path=found["path"],
        type=filesystem_pb.FileType(found["type"]),
        size=found["size"],
        mode=found["mode"],
        symlink_target=found["link"],
        is_symlink=found["link"] is not None,
    )


async def download(machine: Machine, request: Request) -> Response:
    """Answer ``GET /files``."""
    path, user = request.query_params["path"], request.query_params.get("username", "user")
    try:
        found = await look(machine, user, "stat", path)
    except ConnectError as error:
        return refused(404 if error.code is Code.NOT_FOUND else 400, error.message)
    if found["type"] != 1:
        return refused(400, f"path '{path}' is a directory")
    process = await machine.run(["/bin/cat", "--", path], user=user, cwd="/")
    assert process.stdout is not None
    first = await process.stdout.read(2**16)
    if not first and await process.wait():
        return refused(403, f"path '{path}' cannot be read")

    async def rest() -> AsyncIterator[bytes]:
        data = first
        try:
            while data:
                yield data
                data = await process.stdout.read(2**16)
            await process.wait()
        finally:
            # the reader may have had enough; nothing public closes the pipe of a process that is still writing
            process._transport.close()

    return StreamingResponse(rest(), media_type="application/octet-stream")


async def upload(machine: Machine, request: Request) -> Response:
    """Answer ``POST /files``: one body, or a form of several files that are named by their paths."""
    user = request.query_params.get("username", "user")
    files: list[tuple[str, bytes]] = []
    if request.headers["content-type"].startswith("application/octet-stream"):
        files.append((request.query_params["path"], await request.body()))
    else:
        async with request.form(max_files=100_000) as form:
            for upload in form.getlist("file"):
                files.append((request.query_params.get("path") or upload.filename, await upload.read()))
    for path, data in files:
        write = 'mkdir -p "$(dirname "$0")" && exec cat > "$0"'
        code, _, error = await machine.output(["/bin/sh", "-c", write, path], user=user, data=data)
        if code:
            return refused(507 if b"No space" in error else 400, error.decode(errors="replace"))
    return JSONResponse([{"name": path.rpartition("/")[2], "type": "file", "path": path} for path, _ in files])


def refused(status: int, message: str) -> Response:
    """Return an error as the service words it."""
    return JSONResponse({"code": status, "message": message}, status)


def applications(find: Find) -> list[tuple[str, Any]]:
    """Return the paths and the applications of the two RPC services."""
    return [
        ("/process.Process", process_connect.ProcessASGIApplication(Process(find))),
        ("/filesystem.Filesystem", filesystem_connect.FilesystemASGIApplication(Filesystem(find))),
    ]
