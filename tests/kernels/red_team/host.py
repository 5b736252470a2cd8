"""Things of this machine that no agent may read, change, reach or kill: the canaries."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from .prelude import PRELUDE

libc = ctypes.CDLL(None, use_errno=True)
ADD_KEY, KEYCTL, JOIN_SESSION, REVOKE, SESSION_KEYRING = 248, 250, 1, 3, -3


@dataclass
class Host:
    """Things of this machine that no agent may read, change, reach or kill."""

    canary: str
    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    sockets: dict[str, socket.socket] = field(default_factory=dict)
    bystander: subprocess.Popen[bytes] | None = None
    files: dict[Path, tuple[object, ...]] = field(default_factory=dict)

    def prelude(self) -> str:
        """Code that goes before an attack; it names the canaries' places and never what they say."""
        return PRELUDE % json.dumps(self.facts)

    def harm(self) -> list[str]:
        """What an attack has done to the host so far; empty if nothing."""
        found = [f"{path} was changed" for path in self.files if not path.is_file() or state(path) != self.files[path]]
        for path in self.files:
            plant(path, self.canary)
        for name, heard in self.sockets.items():
            with contextlib.suppress(BlockingIOError):
                if heard.type == socket.SOCK_DGRAM:
                    found.append(f"{name} heard {heard.recv(100)!r}")
                else:
                    heard.accept()[0].close()
                    found.append(f"{name} was connected to")
        assert self.bystander is not None
        if self.bystander.poll() is not None:
            found.append(f"a process of the host died: {self.bystander.poll()}")
        else:
            process = psutil.Process(self.bystander.pid)
            if (limits := limits_of(process)) != self.facts["bystander"]:
                found.append("a process of the host has other limits now")
                # only root could give it the old ones back
                self.facts["bystander"] = limits
        made = [path for path in self.folder.rglob("*") if path not in self.files and path.is_file() and path.name != "unix"]
        return found + [f"{path} was made" for path in made]


def limits_of(process: psutil.Process) -> list[Any]:
    """What must stay as it is of a process."""
    return [process.nice(), process.cpu_affinity(), list(process.rlimit(psutil.RLIMIT_NOFILE))]


def plant(path: Path, canary: str) -> None:
    """Write a canary file anew, readable and writable by whoever gets at it."""
    path.write_text(canary)
    path.chmod(0o666)
    os.chown(path, os.getuid(), os.getgid())
    os.utime(path, (10**9, 10**9))


def state(path: Path) -> tuple[object, ...]:
    """What must stay as it is of a canary file."""
    found = path.stat()
    return (path.read_text(), found.st_mode, found.st_uid, found.st_gid, found.st_nlink, int(found.st_mtime))


@contextlib.contextmanager
def canaries(folder: Path) -> Iterator[Host]:
    """Put out a host's canaries below ``folder``, in the user's home, in shared memory, on sockets and in a keyring."""
    host = Host(f"canary-{secrets.token_hex(8)}", folder)
    with contextlib.ExitStack() as stack:
        places = {"outside": folder / "secret", "home": Path.home() / f".workbench-test-{secrets.token_hex(4)}"}
        if Path("/dev/shm").is_dir():
            places["shm"] = Path(f"/dev/shm/workbench-test-{secrets.token_hex(4)}")
        for name, path in places.items():
            plant(path, host.canary)
            stack.callback(path.unlink, missing_ok=True)
            host.files[path] = state(path)
            host.facts[name] = str(path)
        host.facts["outside_folder"] = str(folder)

        abstract, path = f"\0workbench-test-{secrets.token_hex(4)}", folder / "unix"
        for name, family, kind, address in (
            ("tcp", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            ("tcp6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
            ("udp", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            ("abstract", socket.AF_UNIX, socket.SOCK_STREAM, abstract),
            ("abstract_datagram", socket.AF_UNIX, socket.SOCK_DGRAM, f"{abstract}-d"),
            ("unix", socket.AF_UNIX, socket.SOCK_STREAM, str(path)),
            ("vsock", getattr(socket, "AF_VSOCK", -1), socket.SOCK_STREAM, (0xFFFFFFFF, 0xFFFFFFFF)),
        ):
            try:
                heard = stack.enter_context(socket.socket(family, kind))
                heard.bind(address)
                if kind == socket.SOCK_STREAM:
                    heard.listen()
            except OSError:
                continue
            heard.setblocking(False)
            host.sockets[name] = heard
            host.facts[name] = heard.getsockname() if isinstance(address, tuple) else address
        if path.exists():
            path.chmod(0o777)

        code = "import sys; print(1, flush=True); sys.stdin.read()"
        environ = {"PATH": os.defpath, "SECRET": host.canary}
        host.bystander = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", code], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        )
        stack.callback(host.bystander.kill)
        assert host.bystander.stdout is not None
        host.bystander.stdout.readline()
        process = psutil.Process(host.bystander.pid)
        host.facts["bystander"] = limits_of(process)
        host.facts["pids"] = [host.bystander.pid, os.getpid()]

        segment = libc.shmget(0, 4096, 0o1666)
        if segment != -1:
            libc.shmat.restype = ctypes.c_void_p
            address = libc.shmat(segment, None, 0)
            ctypes.memmove(address, host.canary.encode(), len(host.canary))
            stack.callback(libc.shmctl, segment, 0, None)
            stack.callback(libc.shmdt, ctypes.c_void_p(address))
            host.facts["segment"] = segment

        # a session keyring of the tests' own, as a login or a Kerberos ticket would have filled it
        if libc.syscall(KEYCTL, JOIN_SESSION, None) != -1:
            secret = host.canary.encode()
            key = libc.syscall(ADD_KEY, b"user", b"workbench-test", secret, len(secret), SESSION_KEYRING)
            stack.callback(libc.syscall, KEYCTL, REVOKE, key)
            host.facts["key"] = "workbench-test"
        yield host
