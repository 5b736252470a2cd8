"""Image processes: one a kind of kernel, with everything imported; each forks kernels that start in a tenth of the time.

The program that runs behind the walls is ``inside/image.py``, which says what stands between two kernels of one image.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakSet

from workbench import cancellation
from workbench.errors import SandboxError
from workbench.kernels import runtime
from workbench.kernels.environments import Environment
from workbench.kernels.limits import Limits
from workbench.kernels.view import BRANCHES, CONNECTION, IN_MEMORY, PROGRAMS, RUNS, WORKSPACE, Mount, View, sight
from workbench.kernels.walls import protection

_USERS = 65536
_FIRST_KERNEL = 1000
_READY_SECONDS = 120.0
_MOST_IDLE = 3

_guard = threading.Lock()
_images: dict[Path, Image] = {}
_running: WeakSet[Image] = WeakSet()
_lacking: NoImages | None = None


class NoImages(SandboxError):
    """Namespaces cannot be made within bubblewrap's here; a kernel can still have a bubblewrap of its own."""


@dataclass(eq=False)
class Image:
    """A running image process.

    Attributes
    ----------
    environment : Environment
        Whose interpreter it runs.
    mounts : tuple of Mount
        Shown to all its kernels, beside what each has of its own.
    shared : bool
        Whether kernels of other runs may come from it too.
    devices : tuple of Path
        That all its kernels may use.
    """

    environment: Environment
    mounts: tuple[Mount, ...]
    shared: bool
    devices: tuple[Path, ...] = ()
    walls: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    readable: list[str] = field(default_factory=list)
    users: int = 0
    _first_uid: int | None = None
    _kernels: int = 0
    _folder: Path | None = None
    _process: subprocess.Popen[bytes] | None = None
    _requests: socket.socket | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def alive(self) -> bool:
        """Whether kernels can be forked from it: it runs, and its folders still exist."""
        return self._process is not None and self._process.poll() is None and self._folder is not None and self._folder.exists()

    def start(self) -> None:
        """Start it and wait until everything is imported.

        Raises
        ------
        SandboxError
            If it does not start; the message holds its last words.
        """
        given = protection()
        self._folder = runtime.folder(f"i-{secrets.token_hex(4)}")
        if os.geteuid() == 0:
            # unused user ids: they own no file and no process on this machine
            self._first_uid = 0x40000000 + secrets.randbelow(2**13) * _USERS
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        log = self._folder / "log"
        try:
            with theirs, log.open("wb") as errors:
                self._process = subprocess.Popen(
                    self._command(), env={"PATH": os.defpath}, stdin=theirs.fileno(), stdout=errors, stderr=errors, start_new_session=True
                )
            self._requests = ours
            _running.add(self)
            ours.settimeout(_READY_SECONDS)
            with contextlib.suppress(OSError, ValueError):
                answer = json.loads(ours.recv(65536) or b"{}")
                if "lacking" in answer:
                    raise NoImages(f"kernels cannot be forked from an image here: {answer['lacking']}")
                if "ready" in answer:
                    self.walls = [*given.walls, "namespaces and a user of its own, forked from an image"]
                    return
        except NoImages:
            self.close()
            raise
        finally:
            last = log.read_text(errors="replace").strip()[-600:] if log.exists() else ""
        self.close()
        raise SandboxError(f"the image of environment {self.environment.name} did not start: {last or 'no answer'}")

    def _command(self) -> list[str]:
        assert self._folder is not None
        view = View(self.environment, self.mounts, devices=self.devices)
        seen = sight(view, self._folder, Limits().scratch_bytes, _FIRST_KERNEL)
        for folder in (WORKSPACE, CONNECTION, BRANCHES, RUNS):
            seen.folder(Path(folder))
        seen.arguments += ["--bind", str(runtime.mine()), RUNS]
        self.readable = seen.readable
        config = {"first_uid": self._first_uid, "preload": list(self.environment.preload) if self.shared else []}
        namespaces = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--new-session"]
        rights = ["--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN"]
        if os.geteuid() == 0:
            rights += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        else:
            namespaces.append("--unshare-user")
        program = [str(self.environment.python), "-I", str(PROGRAMS / "image.py"), json.dumps(config)]
        return [
            *(shutil.which("bwrap") or "bwrap", *namespaces, *rights, "--as-pid-1", "--hostname", "sandbox", "--clearenv"),
            *(*seen.arguments, "--remount-ro", "/dev", "--remount-ro", "/", *program),
        ]

    def disown(self) -> None:
        """Leave the image to the parent that started it, of which this process is a fork; it ends with the parent."""
        if self._requests is not None:
            self._requests.close()
        self._process = self._folder = None

    def new_user(self) -> tuple[int, int | None]:
        """Return a user for one kernel: its number for the image, and on this machine (None: it is this process's own)."""
        with self._lock:
            self._kernels += 1
            inside = _FIRST_KERNEL + self._kernels % (_USERS - 2 * _FIRST_KERNEL)
        return inside, None if self._first_uid is None else self._first_uid + inside

    def fork(self, request: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Ask for a kernel.

        Raises
        ------
        SandboxError
            If the image is gone.
        """
        assert self._requests is not None
        try:
            with self._lock:
                socket.send_fds(self._requests, [json.dumps(request).encode()], list(descriptors))
        except OSError as error:
            raise SandboxError(f"the image of environment {self.environment.name} is gone: {error.strerror}") from None

    def close(self) -> None:
        """End it, and with it every kernel that came from it."""
        if self._requests is not None:
            self._requests.close()
        if self._process is not None:
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def borrow(environment: Environment, mounts: Sequence[Mount] = (), devices: Sequence[Path] = ()) -> Image:
    """Return a running image for kernels of ``environment``; blocks while it starts.

    One that shows nothing of a run's own is shared by all kernels of its kind and stays for the next; give each back.

    Raises
    ------
    NoImages
        If this machine does not give what images need.
    SandboxError
        If it does not start.
    """
    global _lacking
    if _lacking is not None:
        raise _lacking
    for path in (environment.prefix, environment.base_prefix):
        if own := next((own for own in IN_MEMORY if path.resolve().is_relative_to(own)), None):
            raise NoImages(f"kernels cannot be forked from an image: {path} lies below {own}, of which every kernel has its own")
    try:
        return _borrow(environment, tuple(mounts), tuple(devices))
    except NoImages as lacking:
        _lacking = lacking
        raise


def _borrow(environment: Environment, mounts: tuple[Mount, ...], devices: tuple[Path, ...]) -> Image:
    if mounts or devices:
        image = Image(environment, mounts, shared=False, devices=devices, users=1)
        image.start()
        return image
    with _guard:
        image = _images.get(environment.prefix) or Image(environment, (), shared=True)
        if not image.alive:
            if not image.users:
                image.close()
            image = Image(environment, (), shared=True)
            image.start()
            _images[environment.prefix] = image
        image.users += 1
        return image


@contextlib.asynccontextmanager
async def lent(environment: Environment, mounts: Sequence[Mount] = (), devices: Sequence[Path] = ()) -> AsyncIterator[Image]:
    """Borrow an image for starting a kernel, which returns it when it ends; if the start fails, it is returned here.

    Raises
    ------
    NoImages, SandboxError
        As :func:`borrow`.
    """
    borrowing = asyncio.ensure_future(asyncio.to_thread(borrow, environment, mounts, devices))
    try:
        image = await asyncio.shield(borrowing)
    except asyncio.CancelledError:
        # the image is started nevertheless
        borrowing.add_done_callback(_give_back_unused)
        raise
    try:
        yield image
    except BaseException:
        await cancellation.finish(asyncio.to_thread(give_back, image))
        raise


def warm(environment: Environment) -> None:
    """Begin to start the image of an environment, in a thread of the running event loop, if kernels are forked from one here.

    If it cannot be started, whoever asks for a kernel is told.
    """
    # an image dies with the thread that started it, and this one lives as long as the loop
    asyncio.get_running_loop().run_in_executor(None, _warm, environment)


def _warm(environment: Environment) -> None:
    with contextlib.suppress(SandboxError, OSError):
        if environment.built and protection().kind == "bubblewrap":
            give_back(borrow(environment))


def _give_back_unused(borrowed: asyncio.Future[Image]) -> None:
    if borrowed.exception() is None:
        asyncio.get_running_loop().run_in_executor(None, give_back, borrowed.result())


def _forked() -> None:
    """Reset the state in a fork of this process, which does not own its parent's images."""
    global _guard
    _guard = threading.Lock()
    _images.clear()
    for image in list(_running):
        image.disown()
    _running.clear()


os.register_at_fork(after_in_child=_forked)


def give_back(image: Image) -> None:
    """Note that a kernel of ``image`` is gone; an unused image is kept while there are few."""
    with _guard:
        image.users -= 1
        if not image.shared:
            image.close()
            return
        idle = [key for key, each in _images.items() if each.users == 0]
        for key in idle[:-_MOST_IDLE]:
            _images.pop(key).close()


def close_idle() -> None:
    """End every image that no kernel comes from."""
    with _guard:
        for key in [key for key, each in _images.items() if each.users == 0]:
            _images.pop(key).close()
