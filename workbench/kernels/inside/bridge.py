"""Relay a kernel's messages over standard input and output, where no socket of it can be reached.

Started in a remote sandbox by the environment's own interpreter as ``python -I bridge.py CONFIG``. CONFIG is JSON:
``argv`` and ``environ`` of the kernel, ``folder`` for its sockets, ``connection`` to write there as ``kernel.json``,
``uid`` the folder is given to or null, ``message_bytes`` the largest message let out, ``waiting_bytes`` after which no
more is taken from the kernel until the reader has caught up. It never imports workbench and never looks into a message.

Lines of JSON go both ways, each after its number and a space, so that one that comes again is known.
``{"channel", "client", "frames"}`` is a message, its bytes in base64; ``{"kill": true}`` ends everything;
``{"heard": NUMBER, "again": BOOL}`` says up to which line the reader has heard us, or null for a reader who is new, and
whether the rest is to be written again because a connection broke. Lines are kept until they have been heard. Outwards
also ``{"event": "ready", "report"}`` with the first line the kernel's program wrote, ``{"event": "dropped", "channel",
"bytes"}`` and, last of all, ``{"event": "exit", "code", "log", "left"}``.
"""

import base64
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque

import zmq

PR_SET_CHILD_SUBREAPER = 36
PORTS = {"shell": 1, "iopub": 2, "stdin": 3, "hb": 4, "control": 5}
TALKING = ("stdin", "control", "shell")
CHUNK, MOST_REPORT, MOST_LOG, MOST_CLIENTS = 1 << 16, 1 << 16, 16 << 10, 256
KILL_SECONDS, LAST_SECONDS, QUIET_MILLISECONDS = 10, 1, 100
HEARD_SECONDS = 10


class Kernel:
    """The kernel's process, and everything that came of it."""

    def __init__(self, argv: list, environ: dict) -> None:
        # what the kernel's children leave behind becomes ours, and is found when all is killed
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            argv, env=environ, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, cwd="/", start_new_session=True
        )
        self.pipes = [self.process.stdout.fileno(), self.process.stderr.fileno()]
        for pipe in self.pipes:
            os.set_blocking(pipe, False)
        self.code = None
        self.report, self.reported = b"", False
        self.log = b""

    def reap(self) -> None:
        """Bury the dead; note the kernel's own exit code."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self.process.pid:
                    self.code = os.waitstatus_to_exitcode(found[1])

    def hear(self, pipe: int) -> None:
        """Take what it wrote: the first line of its output is its report, of its errors the end is kept."""
        try:
            data = os.read(pipe, CHUNK)
        except BlockingIOError:
            return
        if not data:
            self.pipes.remove(pipe)
        if pipe == self.process.stderr.fileno():
            self.log = (self.log + data)[-MOST_LOG:]
        elif not self.reported:
            line, end, _ = data.partition(b"\n")
            self.report = (self.report + line)[:MOST_REPORT]
            self.reported = bool(end)

    def kill(self) -> int:
        """Kill it and all that came of it, whatever session that moved to; return how many could not be."""
        deadline = time.monotonic() + KILL_SECONDS
        while living := descendants():
            for pid in living:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self.reap()
            if time.monotonic() > deadline:
                return len(living)
            time.sleep(0.001)
        self.reap()
        return 0


def descendants() -> list:
    """Return the processes below this one."""
    below = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError):
                continue
            below.setdefault(parent, []).append(int(name))
    found, waiting = [], [os.getpid()]
    while waiting:
        children = below.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


class Bridge:
    """One loop between standard input and output and the sockets of one kernel."""

    def __init__(self, config: dict) -> None:
        self.message_bytes, self.waiting_bytes = config["message_bytes"], config["waiting_bytes"]
        self.prefix = os.path.join(config["folder"], "k")
        self.context = zmq.Context()
        self.clients = {}
        self.iopub = self.connect("iopub", zmq.SUB)
        self.iopub.subscribe(b"")
        self.kernel = Kernel(config["argv"], config["environ"])
        self.outgoing = deque()
        self.unheard, self.waiting, self.number = deque(), 0, 0
        self.incoming, self.heard = [], 0
        self.ready = self.over = False
        self.died = self.ended = None

    def connect(self, channel: str, kind: int, client: bytes = b"") -> zmq.Socket:
        """Return a socket on one of the kernel's channels; the kernel need not be there yet."""
        socket = self.context.socket(kind)
        socket.linger, socket.reconnect_ivl, socket.rcvhwm = 0, 10, 16
        if client:
            # an identity that begins with a zero byte is one that zmq made up, and may not be asked for
            socket.routing_id = client if client[:1] != b"\0" else b"\1" + client
        socket.connect(f"ipc://{self.prefix}-{PORTS[channel]}")
        return socket

    def write(self, **line: object) -> None:
        """Queue a line for the reader."""
        self.number += 1
        data = b"%d %s\n" % (self.number, json.dumps(line).encode())
        self.outgoing.append(memoryview(data))
        self.unheard.append((self.number, data))
        self.waiting += len(data)

    def flush(self) -> None:
        """Write what the reader takes now."""
        while self.outgoing:
            try:
                done = os.write(1, self.outgoing[0][:CHUNK])
            except BlockingIOError:
                return
            if done == len(self.outgoing[0]):
                self.outgoing.popleft()
            else:
                self.outgoing[0] = self.outgoing[0][done:]

    def read(self) -> None:
        """Take what was written to us; the end of it is the end of everything."""
        try:
            data = os.read(0, CHUNK)
        except BlockingIOError:
            return
        if not data:
            raise SystemExit
        first, *rest = data.split(b"\n")
        self.incoming.append(first)
        for part in rest:
            line, self.incoming = b"".join(self.incoming), [part]
            number, _, order = line.partition(b" ")
            # a line that was cut off comes again, and one that was not may come twice
            if number.isdigit() and int(number) > self.heard:
                with contextlib.suppress(ValueError, KeyError):
                    self.obey(json.loads(order))
                    self.heard = int(number)

    def obey(self, line: dict) -> None:
        """Do what a line says."""
        if line.get("kill"):
            self.end()
            return
        if "heard" in line:
            self.forget(self.number if line["heard"] is None else int(line["heard"]))
            if line.get("again"):
                # whatever is half written ends here, and comes again
                self.outgoing = deque([memoryview(b"\n"), *(memoryview(data) for _, data in self.unheard)])
            return
        sockets = self.sockets(base64.b64decode(line["client"]))
        try:
            sockets[line["channel"]].send_multipart([base64.b64decode(frame) for frame in line["frames"]], zmq.NOBLOCK)
        except zmq.Again:
            self.write(event="dropped", channel=line["channel"], bytes=0)

    def forget(self, number: int) -> None:
        """Drop the lines that the reader has, up to this one."""
        while self.unheard and self.unheard[0][0] <= number:
            self.waiting -= len(self.unheard.popleft()[1])

    def sockets(self, client: bytes) -> dict:
        """Return a client's own sockets, so that the kernel tells clients apart as it would without us."""
        if client in self.clients:
            self.clients[client] = self.clients.pop(client)
        else:
            if len(self.clients) >= MOST_CLIENTS:
                for socket in self.clients.pop(next(iter(self.clients))).values():
                    socket.close()
            # stdin first: when a cell asks for input, the kernel must know the client there though it has said nothing yet
            self.clients[client] = {channel: self.connect(channel, zmq.DEALER, client) for channel in TALKING}
        return self.clients[client]

    def talking(self) -> dict:
        """Return channel and client of every socket."""
        sockets = {self.iopub: ("iopub", b"")}
        for client, channels in self.clients.items():
            sockets.update({socket: (channel, client) for channel, socket in channels.items()})
        return sockets

    def hear(self, socket: zmq.Socket, channel: str, client: bytes) -> None:
        """Queue one message of the kernel, unless it is too large to be let out."""
        frames = socket.recv_multipart()
        if not self.ready:
            # what comes first on iopub says that the subscription stands
            self.ready = True
            self.write(event="ready", report=self.kernel.report.decode(errors="replace"))
        if (size := sum(map(len, frames))) > self.message_bytes:
            self.write(event="dropped", channel=channel, bytes=size)
        else:
            self.write(
                channel=channel,
                client=base64.b64encode(client).decode(),
                frames=[base64.b64encode(frame).decode() for frame in frames],
            )

    def end(self) -> None:
        """Kill whatever lives, and say what there was to say."""
        if not self.over:
            left = self.kernel.kill()
            for pipe in list(self.kernel.pipes):
                self.kernel.hear(pipe)
            self.over, self.ended = True, time.monotonic()
            self.write(event="exit", code=self.kernel.code, log=self.kernel.log.decode(errors="replace"), left=left)

    def run(self) -> None:
        """Relay until the kernel is dead and everything is heard, or nobody is listening any more."""
        woken, wake = os.pipe()
        for pipe in (0, 1, woken, wake):
            os.set_blocking(pipe, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.kernel.reap()
        while not self.over or ((self.outgoing or self.unheard) and time.monotonic() < self.ended + HEARD_SECONDS):
            talking = {} if self.over or self.waiting > self.waiting_bytes else self.talking()
            poller = zmq.Poller()
            for pipe in (0, woken, *([] if self.over else self.kernel.pipes)):
                poller.register(pipe, zmq.POLLIN)
            if self.outgoing:
                poller.register(1, zmq.POLLOUT)
            for socket in talking:
                poller.register(socket, zmq.POLLIN)
            dying = self.kernel.code is not None and not self.over
            ready = dict(poller.poll(QUIET_MILLISECONDS if dying else HEARD_SECONDS * 1000 if self.over else None))
            if woken in ready:
                os.read(woken, CHUNK)
                self.kernel.reap()
            for pipe in [pipe for pipe in self.kernel.pipes if pipe in ready]:
                self.kernel.hear(pipe)
            for socket, (channel, client) in talking.items():
                if socket in ready:
                    self.hear(socket, channel, client)
            if 0 in ready:
                self.read()
            if 1 in ready:
                self.flush()
            if dying:
                # its last messages may come after its death
                self.died = self.died or time.monotonic()
                if not talking.keys() & ready.keys() or time.monotonic() > self.died + LAST_SECONDS:
                    self.end()


def main() -> None:
    """Write the connection, start the kernel, relay."""
    config = json.loads(sys.argv[1])
    folder = config["folder"]
    os.makedirs(folder, mode=0o700, exist_ok=True)
    connection = {**config["connection"], "transport": "ipc", "ip": os.path.join(folder, "k")}
    connection.update({f"{channel}_port": port for channel, port in PORTS.items()})
    file = os.path.join(folder, "kernel.json")
    with open(file, "w") as opened:
        json.dump(connection, opened)
    if config["uid"] is not None:
        for path in (folder, file):
            os.chown(path, config["uid"], config["uid"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    bridge = Bridge(config)
    try:
        # an error here is that of a reader who has gone
        with contextlib.suppress(OSError):
            bridge.run()
    finally:
        bridge.kernel.kill()


if __name__ == "__main__":
    main()
