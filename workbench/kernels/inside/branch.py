"""Fork a live kernel: a branch goes on with the same memory, on sockets, files and an event loop of its own.

The keeper (``image.py``) has made a root folder for the branch by then, with copies of the kernel's files at the same
paths. Threads, sockets and child processes do not cross a fork; which there were is reported (``survey.py``). The
branch confines itself to its root: it can neither see nor signal the kernel it was taken from, nor that kernel's others.
"""

import asyncio
import atexit
import contextlib
import ctypes
import json
import mmap
import os
import re
import socket
import stat
import sys
import warnings

import confine
import survey

COPIED = ("/workspace/", "/tmp/", "/dev/shm/")
MAP_FIXED = 16

kept = []
"""What belonged to the kernel before the fork: never closed, for its threads are gone and its destructors would wait."""


class Branched(SystemExit):
    """Unwinds a branch out of the event loop of the kernel it was."""

    def __init__(self, request: dict) -> None:
        super().__init__(0)
        self.request = request


def install(kernel: object) -> None:
    """Let ``kernel`` be asked for a branch."""
    kernel.shell_handlers["workbench_branch_request"] = lambda stream, ident, parent: answer(kernel, stream, ident, parent)


def answer(kernel: object, stream: object, ident: object, parent: dict) -> None:
    """Answer a request for a branch; in the branch this raises :class:`Branched`."""
    try:
        found = survey.survey(kernel)
    except Exception as error:
        found = survey.Survey(refused=f"{type(error).__name__}: {error}"[:300])
    content = {"refused": found.refused, "not_carried": found.not_carried}
    if not found.refused:
        for stream_ in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream_.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # twice, so that the branch is the keeper's child and not this kernel's
            between = os.fork()
            if between == 0 and os.fork() == 0:
                raise Branched({**parent["content"], "sockets": found.sockets})
        if between == 0:
            os._exit(0)
        os.waitpid(between, 0)
        found.resume()
        # the branch remembers the old one, with which it could have asked for code to be run here
        content["key"] = os.urandom(32).hex()
    kernel.session.send(stream, "workbench_branch_reply", content, parent=parent, ident=ident)
    if "key" in content:
        kernel.session.key = content["key"].encode()


def settle(app: object, request: dict) -> None:
    """In the branch, out of the old event loop: take possession of the new root, then wait for the host's word."""
    # a signal to the group of the kernel, which is how that interrupts its children, is none to its branches
    os.setsid()
    kept.append((app, app.kernel, sys.stdout, sys.stderr))
    atexit.unregister(app.close)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    cwd = os.getcwd()
    files, mappings = open_files(), shared_mappings()
    confine.keep_capabilities(confine.CAP_SYS_CHROOT, effective=True)
    os.chroot(request["root"])
    confine.keep_capabilities(confine.CAP_SYS_CHROOT)
    os.chdir(cwd if os.path.isdir(cwd) else "/workspace")
    silence(request["sockets"])
    for file in files:
        file.reopen()
    for mapping in mappings:
        mapping.replace()
    walls, missing = confine.confine_to(request["readable"], request["writable"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as host:
        host.connect(request["keeper"])
        host.send(json.dumps({"walls": walls, "missing": missing, "number": os.getpid()}).encode())
        _, descriptors, _, _ = socket.recv_fds(host, 4096, 1)
    for descriptor in (1, 2):
        os.dup2(descriptors[0], descriptor)
    os.close(descriptors[0])
    mend()
    asyncio.set_event_loop(asyncio.new_event_loop())


def mend() -> None:
    """Make libraries with worker processes start new ones; otherwise they would wait for those of the kernel."""
    executors = sys.modules.get("joblib.externals.loky.reusable_executor")
    if executors is not None:
        kept.append(executors._executor)
        executors._executor = None
    for name in ("multiprocessing.resource_tracker", "joblib.externals.loky.backend.resource_tracker"):
        tracker = getattr(sys.modules.get(name), "_resource_tracker", None)
        if tracker is not None:
            tracker._fd = tracker._pid = None


def silence(sockets: list) -> None:
    """Close the kernel's connections; their descriptor numbers stay in use, so that closing one later does no harm."""
    for each in sockets:
        with contextlib.suppress(OSError):
            each.detach()
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if int(name) != null and re.match(r"socket:|pipe:|anon_inode:", os.readlink(f"/proc/self/fd/{name}")):
                os.dup2(null, int(name), inheritable=False)
    os.close(null)


class OpenFile:
    """A file or folder of the kernel's that is open, at the number ``descriptor``."""

    def __init__(self, descriptor: int, path: str) -> None:
        self.descriptor, self.path = descriptor, path
        info = dict(line.split(":\t", 1) for line in open(f"/proc/self/fdinfo/{descriptor}").read().splitlines() if ":\t" in line)
        self.position, self.flags = int(info["pos"]), int(info["flags"], 8)

    def reopen(self) -> None:
        """Put the branch's own copy in its place; a file that has no name any more is copied now."""
        if stat.S_ISDIR(os.fstat(self.descriptor).st_mode):
            self.replace(self.own_folder())
            return
        if not self.path.endswith(" (deleted)"):
            flags = self.flags & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC)
            copy = os.open(self.path, flags)
        else:
            copy = os.memfd_create("copy", os.MFD_CLOEXEC)
            size, done = os.fstat(self.descriptor).st_size, 0
            while done < size and (sent := os.sendfile(copy, self.descriptor, done, size - done)):
                done += sent
        os.lseek(copy, self.position, os.SEEK_SET)
        self.replace(copy)

    def own_folder(self) -> int:
        """Open the folder that has the same path in the branch's root; where there is none, nothing is left to hold."""
        try:
            return os.open(self.path, self.flags)
        except OSError:
            return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)

    def replace(self, copy: int) -> None:
        """Give ``copy`` the number that this has."""
        os.dup2(copy, self.descriptor, inheritable=os.get_inheritable(self.descriptor))
        os.close(copy)


def open_files() -> list:
    """Return the open files that lie where a branch has copies, and all folders: each leads to what lies beside and above."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError, KeyError, ValueError):
            path = os.readlink(f"/proc/self/fd/{name}")
            mode = os.stat(f"/proc/self/fd/{name}").st_mode
            if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and path.startswith((*COPIED, "/memfd:"))):
                found.append(OpenFile(int(name), path))
    return found


class Mapping:
    """A piece of memory that the kernel shares with whoever else has it mapped."""

    def __init__(self, start: int, end: int, access: str, offset: int, path: str) -> None:
        self.start, self.size, self.offset, self.path = start, end - start, offset, path
        self.protection = sum(bit for letter, bit in zip("rwx", (1, 2, 4)) if letter in access)  # noqa: B905

    def replace(self) -> None:
        """Map the branch's own copy at the same address."""
        libc = confine.libc
        libc.mmap.restype = ctypes.c_void_p
        address, size, offset = ctypes.c_void_p(self.start), ctypes.c_size_t(self.size), ctypes.c_long(self.offset)
        named = self.path.startswith(COPIED) and not self.path.endswith(" (deleted)")
        if named:
            file = os.open(self.path, os.O_RDWR if self.protection & 2 else os.O_RDONLY)
            got = libc.mmap(address, size, self.protection, mmap.MAP_SHARED | MAP_FIXED, file, offset)
            os.close(file)
        else:
            was = ctypes.string_at(self.start, self.size)
            everything = mmap.PROT_READ | mmap.PROT_WRITE
            got = libc.mmap(address, size, everything, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | MAP_FIXED, -1, ctypes.c_long(0))
            if got == self.start:
                ctypes.memmove(self.start, was, self.size)
                libc.mprotect(address, size, self.protection)
        if got != self.start:
            raise OSError(ctypes.get_errno(), f"shared memory of {self.path or 'no name'} cannot be copied")


def shared_mappings() -> list:
    """Return the memory shared with other processes that can be read."""
    found = []
    for line in open("/proc/self/maps"):
        bounds, access, offset, _, _, *path = line.rstrip("\n").split(None, 5)
        if access[3] == "s" and access[0] == "r":
            start, end = (int(each, 16) for each in bounds.split("-"))
            found.append(Mapping(start, end, access, int(offset, 16), path[0] if path else ""))
    return found
