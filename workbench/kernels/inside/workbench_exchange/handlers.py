"""The kernel's side: two more messages on its shell channel, which put a value into the namespace and take one out."""

from __future__ import annotations

from typing import Any

from . import MOST, PART, Encoded, Refused, decode, encode


class _Exchange:
    """Keeps the value that is on its way; there is never more than one."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.coming = bytearray()
        self.leaving = Encoded("bytes", b"")

    def push(self, content: dict[str, Any], parts: list[Any]) -> tuple[dict[str, Any], list[Any]]:
        """Accept one part of a value; the last one completes it."""
        if content["offset"] == 0:
            self.coming = bytearray()
        if content["offset"] != len(self.coming):
            raise Refused("another value was sent meanwhile", "send one after the other")
        self.coming += parts[0]
        if len(self.coming) == content["size"]:
            data, self.coming = self.coming, bytearray()
            self.kernel.shell.push({content["name"]: decode(content["format"], data, most=max(MOST, len(data)))})
        return {}, []

    def pull(self, content: dict[str, Any], _: list[Any]) -> tuple[dict[str, Any], list[Any]]:
        """Give one part of a value, which stays as it was when the first part left."""
        name, offset = content["name"], content["offset"]
        if offset == 0:
            self.leaving = Encoded("bytes", b"")
            if name not in self.kernel.shell.user_ns:
                raise Refused(f"no variable is called {name}")
            encoded = encode(self.kernel.shell.user_ns[name])
            if len(encoded.data) > content["most"]:
                raise Refused(f"it has {len(encoded.data)} bytes, the most is {content['most']}", "ask for more with most=")
            self.leaving = encoded
        format, data = self.leaving
        if offset + PART >= len(data):
            self.leaving = Encoded("bytes", b"")
        return {"format": format, "size": len(data)}, [memoryview(data)[offset : offset + PART]]


def install(kernel: Any) -> None:
    """Let ``kernel``, an ipykernel, answer ``workbench_push_request`` and ``workbench_pull_request``."""
    exchange = _Exchange(kernel)
    # a send without a copy starts a thread of pyzmq's, which no branch of the kernel could take along
    kernel.session.copy_threshold = 2 * PART

    def serve(reply: str, work: Any) -> Any:
        def handle(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
            buffers: list[Any] = []
            try:
                content, buffers = work(parent["content"], parent["buffers"])
                content["status"] = "ok"
            except Refused as error:
                content = {"status": "error", "message": error.message, "hint": error.hint}
            except BaseException as error:
                # values run code of their own when they are written, which may raise anything, and a reply is owed
                content = {"status": "error", "message": _said(error), "hint": ""}
            kernel.session.send(stream, reply, content, parent, ident, buffers)

        return handle

    kernel.shell_handlers["workbench_push_request"] = serve("workbench_push_reply", exchange.push)
    kernel.shell_handlers["workbench_pull_request"] = serve("workbench_pull_reply", exchange.pull)


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__} in the kernel: {error}"[:500]
    except BaseException:
        # what an agent's exception says is code of the agent too
        return "an error in the kernel that cannot be shown"
