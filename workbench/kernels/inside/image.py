"""The image process: imports once, then forks a kernel for each request. No code of an agent ever runs in it.

It is the first process behind the outer wall and may make namespaces. Each kernel gets a user, process, network, mount,
IPC and host name namespace of its own, so that two kernels of one image are as far apart as two sandboxes. The first
process of a kernel's namespace (:class:`Keeper`) lays out what the kernel sees, forks it, and stays: it reaps, it
prepares branches, and with it everything in the namespace dies.

Started as ``image.py CONFIG``, with a SEQPACKET socket as standard input. CONFIG is JSON: ``first_uid`` (of a range of
users that nobody has; null where workbench is not root) and ``preload`` (module names). A request is JSON and carries
two descriptors: the keeper's own socket and the pipe for the kernel's log. It never imports workbench.
"""

import contextlib
import ctypes
import fcntl
import gc
import json
import os
import select
import shutil
import signal
import socket
import stat
import struct
import sys
import traceback

sys.path.insert(0, os.path.dirname(__file__))

import confine
import kernel

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
OF_ITS_OWN = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_UNBINDABLE, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 17, 1 << 18
PR_SET_DUMPABLE = 4
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
FICLONE = 0x40049409
USERS = 65536
TERMINALS = 64
"""Maximum for a kernel; the whole system has 4096."""
AGENT = 1000
RUNS, BRANCHES, WORKSPACE = "/runs", "/branches", "/workspace"

check, libc = confine.check, confine.libc


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount ``source`` on ``target``."""
    arguments = [text.encode() if text else None for text in (source, target, kind)]
    check(libc.mount(*arguments, ctypes.c_ulong(flags), data.encode() if data else None), f"mount {target}")


def become_nobody(first_uid: int) -> None:
    """Enter a user namespace over a range of users that nobody has: what is imported from here on has no rights of root's."""
    ready, go = os.pipe()
    this = os.getpid()
    helper = os.fork()
    if helper == 0:
        # a range can only be written from outside, by who may become those users
        try:
            os.close(go)
            os.read(ready, 1)
            for name in ("uid_map", "gid_map"):
                with open(f"/proc/{this}/{name}", "w") as file:
                    file.write(f"0 {first_uid} {USERS}")
            os._exit(0)
        finally:
            os._exit(1)
    os.close(ready)
    check(libc.unshare(CLONE_NEWUSER), "unshare")
    os.close(go)
    if os.waitpid(helper, 0)[1]:
        raise OSError("the users of the kernels could not be set up")
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def loopback_up() -> None:
    """Bring up the loopback interface of a new network namespace; it leads nowhere but to itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        flags = struct.unpack("16sh14x", fcntl.ioctl(probe, SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0)))[1]
        fcntl.ioctl(probe, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def own_namespaces(uid: int) -> None:
    """Leave the image's namespaces for new ones, as a user of one's own."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        # changing the user made /proc/self unwritable, where the namespace's users are written
        check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "dumpable")
    user, group = os.getuid(), os.getgid()
    check(libc.unshare(OF_ITS_OWN), "unshare")
    for name, line in (("setgroups", "deny"), ("uid_map", f"{AGENT} {user} 1"), ("gid_map", f"{AGENT} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)


def close_all_but(kept: set) -> None:
    """Close every descriptor but those of ``kept`` and the standard ones."""
    for name in os.listdir("/proc/self/fd"):
        if (number := int(name)) > 2 and number not in kept:
            with contextlib.suppress(OSError):
                os.close(number)


def copy_tree(source: str, target: str, left: int) -> int:
    """Copy files, folders and links, sharing blocks where the file system can; return how many bytes are ``left``.

    Raises
    ------
    OSError
        If there is more than that.
    """
    with os.scandir(source) as entries:
        for entry in entries:
            to = os.path.join(target, entry.name)
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                os.symlink(os.readlink(entry.path), to)
            elif stat.S_ISDIR(found.st_mode):
                os.mkdir(to, 0o700)
                left = copy_tree(entry.path, to, left)
                shutil.copystat(entry.path, to)
            elif stat.S_ISREG(found.st_mode):
                left -= found.st_blocks * 512
                if left < 0:
                    raise OSError("there is more in it than a branch may have")
                copy_file(entry.path, to)
    return left


def copy_file(source: str, target: str) -> None:
    """Copy one file, sharing its blocks where the file system can."""
    with open(source, "rb", buffering=0) as old, open(target, "xb", buffering=0) as new:
        try:
            fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
        except OSError:
            shutil.copyfileobj(old, new, 2**20)
    shutil.copystat(source, target)


def data_bytes() -> int:
    """Return how much private memory this process has mapped, as RLIMIT_DATA counts it."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmData"))


class Keeper:
    """The first process of a kernel's namespaces; it keeps the rights that the kernel gives up."""

    def __init__(self, request: dict, control: socket.socket, log: int) -> None:
        self.request, self.control, self.log = request, control, log
        self.runs = -1
        self.roots = {"": ""}
        self.watched: set = set()

    def tell(self, **message: object) -> None:
        """Say something to the host."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.control.send(json.dumps(message).encode())

    def run(self) -> None:
        """Lay everything out, start the kernel, serve the host until it hangs up."""
        # the message carries this process's number, translated into the host's, and so the host can hold it to its limits
        self.tell(born=True)
        self.lay_out()
        descriptors = [self.listen()] if self.request["proxy_port"] else []
        socket.send_fds(self.control, [b'{"arranged": true}'], descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        if not self.control.recv(4096):
            return
        pid = os.fork()
        if pid == 0:
            self.become_kernel()
        self.watched.add(pid)
        os.close(self.log)
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        self.serve()

    def lay_out(self) -> None:
        """Make what the kernel sees: its own files over the image's, and nothing of other kernels'."""
        request = self.request
        mount("", "/", flags=MS_REC | MS_PRIVATE)
        socket.sethostname("sandbox")
        # every kernel's folder lies below this one, so it is held open before it is covered
        covered = os.open(RUNS, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.runs = covered
        self.private_folders("")
        for host, inside in request["mounts"]:
            mount(self.run_path(host), inside, flags=MS_BIND)
        for folder in request["hide"]:
            mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV | MS_RDONLY, "size=4k,mode=0755")
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, f"newinstance,ptmxmode=0666,mode=620,max={TERMINALS}")
        mount("tmpfs", RUNS, "tmpfs", MS_NOSUID | MS_NODEV | MS_RDONLY, "size=4k,mode=0755")
        loopback_up()
        confine.hold_counters()

    def run_path(self, name: str) -> str:
        """Return the path of a folder of the host's that is covered by now."""
        return f"/proc/self/fd/{self.runs}/{name}"

    def private_folders(self, root: str) -> None:
        """Mount the folders that lie in memory, empty; branches of branches are made within the branch's own."""
        for folder in ("/tmp", "/dev/shm"):
            mount("tmpfs", root + folder, "tmpfs", MS_NOSUID | MS_NODEV, f"size={self.request['scratch_bytes']},mode=1777")
        mount("tmpfs", root + BRANCHES, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0711")
        mount("", root + BRANCHES, flags=MS_UNBINDABLE)

    def listen(self) -> int:
        """Open the socket at which the kernel finds the host's proxy; it is handed to the host."""
        return socket.create_server(("127.0.0.1", self.request["proxy_port"])).detach()

    def become_kernel(self) -> None:
        """Give up every right and serve as the kernel; never returns."""
        try:
            request = self.request
            os.setsid()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            null = os.open("/dev/null", os.O_RDONLY)
            for descriptor, to in ((null, 0), (self.log, 1), (self.log, 2)):
                os.dup2(descriptor, to)
            os.environ.clear()
            os.environ.update(request["environ"])
            os.makedirs(os.environ["HOME"], exist_ok=True)
            os.chdir(request["cwd"])
            # it may change its root and nothing else: a branch of it finds its own files at the paths of the old ones
            confine.keep_capabilities(confine.CAP_SYS_CHROOT)
            # what was imported before the fork is not the kernel's own, though the system counts it in
            limits = {**request["limits"], "RLIMIT_DATA": request["limits"]["RLIMIT_DATA"] + data_bytes()}
            walls = [confine.hold_to(limits), "unprivileged user"]
            raised, missing = confine.raise_walls(request["readable"], request["writable"])
            self.tell(walls=walls + raised, missing=missing, number=os.getpid())
            close_all_but(set())
            kernel.serve(request["connection_file"])
            # asked to shut down
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def serve(self) -> None:
        """Reap what dies and do what the host asks for, until it hangs up."""
        wake, woken = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        self.reap()
        while True:
            ready, _, _ = select.select([self.control, wake], [], [])
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
                self.reap()
            if self.control in ready:
                asked = self.control.recv(65536)
                if not asked:
                    return
                self.answer(json.loads(asked))

    def reap(self) -> None:
        """Bury the dead, and tell the host of the kernels among them."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] in self.watched:
                    self.watched.remove(found[0])
                    self.tell(exited=os.waitstatus_to_exitcode(found[1]), number=found[0])

    def answer(self, asked: dict) -> None:
        """Do one thing for the host."""
        if "watch" in asked:
            self.watched.add(asked["watch"])
            self.tell(watched=True)
            return
        if "hold" in asked:
            # all at once: no fork escapes a signal to everybody, and what is stopped stays where it was seen
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGSTOP if asked["hold"] else signal.SIGCONT)
            self.tell(held=asked["hold"])
            return
        try:
            self.make_root(asked["branch"], asked["of"], asked["mounts"], asked["most_bytes"])
        except Exception as error:
            # the host falls back on replay, and says why
            self.tell(failed=f"{type(error).__name__}: {error}"[:500])
        else:
            self.tell(made=asked["branch"])

    def make_root(self, name: str, of: str, mounts: list, most_bytes: int) -> None:
        """Make a root folder like this namespace's, with copies of the files that the kernel (or the branch) ``of`` sees."""
        source = self.roots[of]
        root = f"{source}{BRANCHES}/{name}"
        os.mkdir(root, 0o711)
        mount("/", root, flags=MS_BIND | MS_REC)
        self.private_folders(root)
        for host, inside in mounts:
            mount(self.run_path(host), root + inside, flags=MS_BIND)
        for folder in (WORKSPACE, "/tmp", "/dev/shm"):
            copy_tree(source + folder, root + folder, most_bytes)
        self.roots[name] = root


def main() -> None:
    """Prepare, then fork a kernel for each request until the host is gone."""
    config = json.loads(sys.argv[1])
    requests = socket.socket(fileno=os.dup(0))
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    if config["first_uid"] is not None:
        # kernels may only mount theirs where one is seen whole, and for root bubblewrap covers parts of it
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        become_nobody(config["first_uid"])
    if lacking := rehearse():
        requests.send(json.dumps({"lacking": lacking}).encode())
        os._exit(1)
    failed = kernel.prepare(config["preload"])
    threads = len(os.listdir("/proc/self/task"))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    # what is there stays where it is, so that its pages are shared with every kernel
    gc.freeze()
    requests.send(json.dumps({"ready": True, "failed": failed, "threads": threads}).encode())
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, 2**18, 2)
        if not data:
            # the host is gone; as the first process of the namespace this one takes everything with it
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            start(json.loads(data), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def rehearse() -> str:
    """Try in a process of its own whether kernels can be given namespaces; return what goes wrong, or nothing."""
    heard, told = os.pipe()
    if os.fork() == 0:
        try:
            own_namespaces(1)
            if os.fork() == 0:
                mount("", "/", flags=MS_REC | MS_PRIVATE)
                mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
                os.write(told, b"well")
        except OSError as error:
            os.write(told, f"{error}".encode())
        finally:
            os._exit(0)
    os.close(told)
    with open(heard, "rb") as answer:
        said = answer.read(1000).decode()
    os.wait()
    return "" if said == "well" else said or "no answer"


def start(request: dict, descriptors: list) -> None:
    """In a new process: make namespaces, and in them the keeper; never returns."""
    control, log = socket.socket(fileno=descriptors[0]), descriptors[1]
    keeper = Keeper(request, control, log)
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        own_namespaces(request["uid"])
        # a process namespace begins with the next process
        if os.fork() == 0:
            keeper.run()
    except BaseException as error:
        keeper.tell(failed=f"{type(error).__name__}: {error}"[:500])
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
