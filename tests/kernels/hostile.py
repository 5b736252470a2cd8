"""Hostile programs and what they go for: the canaries of the host, and code that an agent might run."""
# ruff: noqa: E501  (programs as they are run)

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

libc = ctypes.CDLL(None, use_errno=True)
ADD_KEY, KEYCTL, JOIN_SESSION, REVOKE, SESSION_KEYRING = 248, 250, 1, 3, -3

PRELUDE = """
import contextlib, ctypes, json, mmap, os, resource, signal, socket, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)

def attempt(what, function):
    try:
        got = function()
    except (NameError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        # an attack that cannot even be tried proves nothing
        print('BROKEN', what, type(error).__name__, str(error)[:200])
    except BaseException as error:
        print('refused', what, type(error).__name__, str(error)[:200])
    else:
        print('THROUGH', what, repr(got)[:500])

def call(function, *arguments):
    '''A C function or, given a number, a system call; its failure is an OSError.'''
    ctypes.set_errno(0)
    arguments = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    answer = libc.syscall(ctypes.c_long(function), *arguments) if isinstance(function, int) else function(*arguments)
    if answer == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer

def read(path):
    with open(path, 'rb') as file:
        return file.read(65536)

def entries(path):
    found = os.listdir(path)
    if not found:
        raise FileNotFoundError('empty')
    return found

def write(path):
    with open(path, 'w') as file:
        file.write('written by an agent')

def alone(code, *arguments):
    '''Run code in a process with one thread; what it prints is what it got.'''
    done = subprocess.run([sys.executable, '-c', code, *arguments], capture_output=True, text=True)
    if done.returncode or not done.stdout:
        raise OSError(done.stderr[-200:])
    return done.stdout

facts = json.loads(%r)
"""


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
            nice, processors, files = self.facts["bystander"]
            if [process.nice(), process.cpu_affinity(), list(process.rlimit(psutil.RLIMIT_NOFILE))] != [nice, processors, files]:
                found.append("a process of the host has other limits now")
                process.nice(nice)
                process.cpu_affinity(processors)
                process.rlimit(psutil.RLIMIT_NOFILE, tuple(files))
        made = [path for path in self.folder.rglob("*") if path not in self.files and path.is_file() and path.name != "unix"]
        return found + [f"{path} was made" for path in made]


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
        host.facts["bystander"] = [process.nice(), process.cpu_affinity(), list(process.rlimit(psutil.RLIMIT_NOFILE))]
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


READS = {
    "the system's passwords": "attempt('shadow', lambda: read('/etc/shadow'))",
    "files of the user's": """
for place in ('outside', 'home', 'shm'):
    attempt(place, lambda: read(facts.get(place, '/nothing')))
""",
    "files of the user's by detours": """
for place in ('outside', 'home'):
    path = facts[place]
    with contextlib.suppress(FileExistsError):
        os.symlink(path, 'link-' + place)
    attempt('symbolic link', lambda: read('link-' + place))
    attempt('hard link', lambda: os.link(path, 'hard-' + place))
    attempt('rename', lambda: os.rename(path, 'moved-' + place))
    attempt('climb', lambda: read('../' * 30 + path))
    for root in ('/proc/self/root', '/proc/1/root', '/proc/self/cwd/' + '../' * 30, '/proc/thread-self/root', '/dev/fd/../root'):
        attempt(root, lambda: read(root + path))
    for pid in facts['pids']:
        attempt('root of a host process', lambda: read(f'/proc/{pid}/root{path}'))
    folder = os.open('.', os.O_PATH)
    attempt('relative to a descriptor', lambda: os.open('../' * 30 + path, os.O_RDONLY, dir_fd=folder))
    attempt('in another process', lambda: subprocess.run(['cat', path], check=True, capture_output=True).stdout)
""",
    "descriptors that leaked in": """
for fd in range(3, 1024):
    try:
        target = os.readlink(f'/proc/self/fd/{fd}')
        folder = os.open('..', os.O_RDONLY, dir_fd=fd)
    except OSError:
        continue
    attempt(f'above {target}', lambda: os.listdir(folder))
attempt('none more', lambda: read('/etc/shadow'))
""",
    "graders, solutions and workbench itself": """
for folder in facts['private']:
    attempt(folder, lambda: entries(folder))
attempt('import', lambda: __import__('workbench'))
attempt('import litellm', lambda: __import__('litellm'))
""",
    "another run's files": """
for path in facts['victim_files']:
    attempt(path, lambda: read(path) if not os.path.isdir(path) else entries(path))
""",
    "other processes' secrets": """
for pid in facts['pids'] + facts['victim_pids']:
    for name in ('environ', 'mem', 'maps', 'cmdline', 'status', 'auxv'):
        attempt(f'{name} of {pid}', lambda: read(f'/proc/{pid}/{name}') if name != 'mem' else open(f'/proc/{pid}/mem', 'rb'))
    for name in ('fd', 'root', 'cwd', 'task'):
        attempt(f'{name} of {pid}', lambda: os.listdir(f'/proc/{pid}/{name}'))
""",
    "the host's variables": """
attempt('none of its own', lambda: open('/nothing'))
try:
    names = os.listdir('/proc')
except OSError:
    names = ['self', '1', *map(str, facts['pids'])]
for name in names:
    with contextlib.suppress(OSError):
        print(read(f'/proc/{name}/environ'))
print(dict(os.environ))
""",
    "devices": """
import stat
# opened and not read: opening any device but these may have effects of its own
import contextlib
entries = []
with contextlib.suppress(OSError): entries = list(os.scandir('/dev'))
disks = [entry.path for entry in entries if stat.S_ISBLK(entry.stat(follow_symlinks=False).st_mode) and entry.name.startswith(('vd', 'sd', 'nvme', 'xvd', 'dm-', 'loop'))]
for path in [*disks[:5], '/dev/mem', '/dev/kmsg', '/dev/vsock', '/dev/port']:
    attempt(path, lambda: os.open(path, os.O_RDONLY | os.O_NONBLOCK))
attempt('a disk made here', lambda: os.mknod('disk', 0o60666, os.makedev(7, 0)))
""",
    "shared memory of System V": """
libc.shmat.restype = ctypes.c_void_p
def attach():
    address = libc.shmat(facts['segment'], None, 0o10000)
    if address in (None, 2 ** 64 - 1):
        raise OSError('not attached')
    return ctypes.string_at(address, 64)
attempt('attach', attach)
attempt('remove', lambda: call(libc.shmctl, facts['segment'], 0, None))
""",
    "the user's keys": """
attempt('search', lambda: call(250, 10, -3, b'user', facts['key'].encode(), 0))
attempt('request', lambda: call(249, b'user', facts['key'].encode(), None, 0))
attempt('read', lambda: (lambda buffer: (call(250, 11, call(250, 10, -3, b'user', facts['key'].encode(), 0), buffer, 100), buffer.value))(ctypes.create_string_buffer(100)))
""",
}

WRITES = {
    "the system": """
for path in ('/usr/x', '/etc/x', '/bin/x', '/lib/x', '/x', '/opt/x', '/dev/x', '/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/sys/x', '/etc/passwd'):
    attempt(path, lambda: write(path))
attempt('host name', lambda: socket.sethostname('agent'))
attempt('clock', lambda: __import__('time').clock_settime(0, 0))
""",
    "its own interpreter and launcher": """
import ipykernel
for path in (ipykernel.__file__, sys.executable, os.path.join(sys.prefix, 'x'), os.path.join(sys.base_prefix, 'x'), sys.argv[0], '/opt/workbench/kernel.py'):
    attempt(path, lambda: write(path))
    attempt('remove ' + path, lambda: os.remove(path))
    # no change, should it be allowed: the interpreter is the test's own
    attempt('mode of ' + path, lambda: os.chmod(path, os.stat(path).st_mode & 0o7777))
    attempt('time of ' + path, lambda: os.utime(path, ns=(os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns)))
""",
    "files of the user's": """
with contextlib.suppress(OSError):
    write(facts.get('shm', '/nothing'))  # may be a file of its own; the host knows
for place in ('outside', 'home'):
    path = facts[place]
    attempt(place, lambda: write(path))
    attempt('mode of ' + place, lambda: os.chmod(path, 0o755))
    attempt('time of ' + place, lambda: os.utime(path, (1, 1)))
    attempt('owner of ' + place, lambda: os.chown(path, os.getuid(), os.getgid()))
    attempt('attribute of ' + place, lambda: os.setxattr(path, 'user.x', b'x'))
    attempt('remove ' + place, lambda: os.remove(path))
    attempt('cut ' + place, lambda: os.truncate(path, 0))
    attempt('rename over ' + place, lambda: (write('mine'), os.rename('mine', path)))
attempt('beside', lambda: write(facts['outside_folder'] + '/made'))
attempt('folder beside', lambda: os.mkdir(facts['outside_folder'] + '/folder'))
attempt('link out', lambda: (write('mine'), os.link('mine', facts['outside_folder'] + '/linked')))
""",
    "another run's files": """
for path in facts['victim_files']:
    attempt(path, lambda: write(path if not os.path.isdir(path) else path + '/made'))
    attempt('into ' + path, lambda: write(path + '/made'))
""",
}

SOCKETS = {
    "the internet": """
attempt('tcp', lambda: socket.create_connection(('1.1.1.1', 53), timeout=1))
attempt('udp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53)))
attempt('names', lambda: socket.getaddrinfo('example.org', 80))
""",
    "servers of this machine": """
attempt('tcp', lambda: socket.create_connection(tuple(facts['tcp'][:2]), timeout=1))
attempt('tcp6', lambda: socket.create_connection(tuple(facts['tcp6'][:2]) if 'tcp6' in facts else ('::1', 1), timeout=1))
# a datagram to one's own loopback may be sent; the host says whether it came
with contextlib.suppress(OSError):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'hello', tuple(facts['udp']))
""",
    "unix sockets": """
def connect(kind, address):
    with socket.socket(socket.AF_UNIX, kind) as made:
        made.connect(address)
        return address
attempt('abstract', lambda: connect(socket.SOCK_STREAM, facts['abstract']))
attempt('abstract datagram', lambda: connect(socket.SOCK_DGRAM, facts['abstract_datagram']))
attempt('path', lambda: connect(socket.SOCK_STREAM, facts['unix']))
for path in facts['victim_sockets']:
    attempt('socket of another kernel', lambda: connect(socket.SOCK_STREAM, path))
""",
    "raw and odd sockets": """
attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
attempt('packet', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
# virtual sockets lead to the host of a virtual machine and belong to no network namespace
attempt('vsock', lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM))
""",
    "serving to the host": """
def serve():
    server = socket.create_server(('127.0.0.1', 0))
    facts['served'] = server
    return server.getsockname()[1]
with contextlib.suppress(OSError):
    print('SERVING', serve())
attempt('on a port of the system', lambda: socket.create_server(('0.0.0.0', 22)))
""",
}

PROCESSES = {
    "killing": """
for pid in facts['pids'][:1] + facts['victim_pids']:
    for number in (0, signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):
        attempt(f'{number} to {pid}', lambda: os.kill(pid, number))
    attempt(f'group {pid}', lambda: os.killpg(pid, signal.SIGKILL))
    def by_descriptor():
        signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGKILL)
    attempt(f'descriptor of {pid}', by_descriptor)
""",
    "tracing": """
class Vector(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]
buffer = ctypes.create_string_buffer(8)
def peek(pid):
    try:
        return call(310, pid, ctypes.byref(Vector(ctypes.addressof(buffer), 8)), 1, ctypes.byref(Vector(4096, 8)), 1, 0)
    except OSError as error:
        if error.errno == 14:
            return 'allowed, at a wrong address'
        raise
for pid in facts['pids'] + facts['victim_pids']:
    attempt(f'attach to {pid}', lambda: call(101, 16, pid, 0, 0))
    attempt(f'seize {pid}', lambda: call(101, 0x4206, pid, 0, 0))
    attempt(f'read memory of {pid}', lambda: peek(pid))
    attempt(f'take a descriptor of {pid}', lambda: call(438, os.pidfd_open(pid), 0, 0))
""",
    "meddling": """
for pid in facts['pids'][:1]:
    attempt('priority', lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
    attempt('processors', lambda: os.sched_setaffinity(pid, {0}))
    attempt('limits', lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (100, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1])))
    attempt('out-of-memory score', lambda: write(f'/proc/{pid}/oom_score_adj'))
    attempt('cgroup', lambda: write('/sys/fs/cgroup/cgroup.procs'))
    attempt('its own memory limit', lambda: write('/sys/fs/cgroup/memory/memory.limit_in_bytes'))
attempt('its own limits', lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1)))
""",
    "other namespaces": """
NAMESPACE = '''
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(int(sys.argv[1])):
    sys.exit(os.strerror(ctypes.get_errno()))
print('unshared')
'''
for name, flag in {'user': 0x10000000, 'mount': 0x20000, 'pid': 0x20000000, 'network': 0x40000000, 'user and mount': 0x10020000}.items():
    attempt(name, lambda: alone(NAMESPACE, str(flag)))
for pid in facts['pids']:
    attempt('enter', lambda: call(libc.setns, os.open(f'/proc/{pid}/ns/mnt', os.O_RDONLY), 0))
""",
    "mounts and roots": """
attempt('mount', lambda: call(libc.mount, b'none', b'.', b'tmpfs', 0, None))
attempt('bind', lambda: call(libc.mount, b'/', b'.', None, 4096, None))
attempt('remount', lambda: call(libc.mount, None, b'/', None, 32, None))
attempt('unmount', lambda: call(libc.umount2, b'/proc', 2))
attempt('proc', lambda: call(libc.mount, b'proc', b'.', b'proc', 0, None))
attempt('pivot', lambda: call(155, b'.', b'.'))
attempt('chroot', lambda: alone("import os; os.chroot('.'); print('in')"))
attempt('open by handle', lambda: call(304, -100, ctypes.create_string_buffer(136), 0))
attempt('module', lambda: call(175, ctypes.create_string_buffer(8), 8, b''))
attempt('kernel program', lambda: call(321, 0, ctypes.create_string_buffer(bytes([1, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]) + bytes(112)), 128))
attempt('swap', lambda: call(libc.swapon, b'/nothing', 0))
attempt('reboot', lambda: call(169, 0xfee1dead, 672274793, 0, None))
""",
    "more rights": """
attempt('root', lambda: alone("import os; before = os.getuid(); os.setuid(0); print('root') if before else 1 / 0"))
# setuid programs must not work, whatever they are asked; root needs none of them
for program, arguments in ({} if os.getuid() == 0 else {'su': ['-c', 'id'], 'sudo': ['-n', 'id'], 'mount': ['-t', 'tmpfs', 'none', '/tmp'], 'passwd': ['-d']}).items():
    path = next((os.path.join(folder, program) for folder in ('/usr/bin', '/bin') if os.path.exists(os.path.join(folder, program))), None)
    if path:
        attempt(program, lambda: alone("import os, sys; os.environ['UID'] = str(os.getuid()); os.execv(sys.argv[1], sys.argv[1:])", path, *arguments))
status = read('/proc/self/status').decode()
attempt('effective capabilities', lambda: next(line for line in status.splitlines() if line.startswith('CapEff') and int(line.split()[1], 16)))
attempt('privileges by exec', lambda: next(line for line in status.splitlines() if line.startswith('NoNewPrivs') and line.split()[1] == '0'))
""",
}

ATTACKS = {
    f"{kind}: {name}": code
    for kind, table in {"read": READS, "write": WRITES, "connect": SOCKETS, "process": PROCESSES}.items()
    for name, code in table.items()
}
