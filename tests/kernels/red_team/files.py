"""Hostile programs that go for files."""
# ruff: noqa: E501  (programs as they are run)

from .attack import Attack
from .trials import harmless, refused, refused_at_first

ATTACKS = [
    Attack(
        "files",
        "the system's passwords",
        "Reads the hashes of this machine's passwords.",
        "refused",
        refused,
        "attempt('shadow', lambda: read('/etc/shadow'))",
    ),
    Attack(
        "files",
        "the user's files",
        "Reads a file in the user's home, one beside the workspace and one in shared memory.",
        "refused",
        refused,
        """
for place in ('outside', 'home', 'shm'):
    attempt(place, lambda: read(facts.get(place, '/nothing')))
""",
    ),
    Attack(
        "files",
        "links and detours to the user's files",
        "Reads them through symbolic and hard links, renames, `..`, descriptors, other processes and every `/proc/*/root`.",
        "refused",
        refused,
        """
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
    ),
    Attack(
        "files",
        "a link left for workbench to follow",
        "Puts links to the user's files where workbench reads files for it, and waits.",
        "harmless",
        harmless,
        """
for name in ('result.json', 'submission.csv', '.ipython', 'kernel.json'):
    with contextlib.suppress(OSError):
        os.symlink(facts['outside'], name)
print('laid')
""",
        told="laid",
    ),
    Attack(
        "files",
        "descriptors that leaked in",
        "Looks for descriptors it was not given, and goes up from each.",
        "refused",
        refused_at_first,
        """
for fd in range(3, 1024):
    try:
        target = os.readlink(f'/proc/self/fd/{fd}')
        folder = os.open('..', os.O_RDONLY, dir_fd=fd)
    except OSError:
        continue
    attempt(f'above {target}', lambda: os.listdir(folder))
attempt('none more', lambda: read('/etc/shadow'))
""",
    ),
    Attack(
        "files",
        "graders, solutions and workbench itself",
        "Reads the hidden folders of tasks and imports workbench's packages.",
        "refused",
        refused,
        """
for folder in facts['private']:
    attempt(folder, lambda: entries(folder))
attempt('import', lambda: __import__('workbench'))
attempt('import litellm', lambda: __import__('litellm'))
""",
    ),
    Attack(
        "files",
        "another kernel's files, to read",
        "Reads the workspace and the connection file of another kernel.",
        "refused",
        refused,
        """
for path in facts['victim_files']:
    attempt(path, lambda: read(path) if not os.path.isdir(path) else entries(path))
""",
    ),
    Attack(
        "files",
        "another kernel's files, to write",
        "Writes into the workspace and the connection folder of another kernel.",
        "refused",
        refused,
        """
for path in facts['victim_files']:
    attempt(path, lambda: write(path if not os.path.isdir(path) else path + '/made'))
    attempt('into ' + path, lambda: write(path + '/made'))
""",
    ),
    Attack(
        "files",
        "the host's variables",
        "Looks for a secret in the environment of every process it can see.",
        "refused",
        refused,
        """
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
    ),
    Attack(
        "files",
        "devices",
        "Opens disks, memory and the kernel's log, and makes a device node of its own.",
        "refused",
        refused,
        """
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
    ),
    Attack(
        "files",
        "the system, to write",
        "Writes to system folders, the kernel's settings, the host name and the clock.",
        "refused",
        refused,
        """
for path in ('/usr/x', '/etc/x', '/bin/x', '/lib/x', '/x', '/opt/x', '/dev/x', '/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/sys/x', '/etc/passwd'):
    attempt(path, lambda: write(path))
attempt('host name', lambda: socket.sethostname('agent'))
attempt('clock', lambda: __import__('time').clock_settime(0, 0))
""",
    ),
    Attack(
        "files",
        "its own interpreter and launcher",
        "Changes the interpreter, the packages and the programs that raise the walls for the next kernel.",
        "refused",
        refused,
        """
import ipykernel
for path in (ipykernel.__file__, sys.executable, os.path.join(sys.prefix, 'x'), os.path.join(sys.base_prefix, 'x'), sys.argv[0], '/opt/workbench/kernel.py'):
    attempt(path, lambda: write(path))
    attempt('remove ' + path, lambda: os.remove(path))
""",
    ),
    Attack(
        "files",
        "the user's files, to change",
        "Writes, removes, cuts, links and renames over the user's files.",
        "refused",
        refused,
        """
with contextlib.suppress(OSError):
    write(facts.get('shm', '/nothing'))  # may be a file of its own; the host knows
for place in ('outside', 'home'):
    path = facts[place]
    attempt(place, lambda: write(path))
    attempt('owner of ' + place, lambda: os.chown(path, os.getuid(), os.getgid()))
    attempt('attribute of ' + place, lambda: os.setxattr(path, 'user.x', b'x'))
    attempt('remove ' + place, lambda: os.remove(path))
    attempt('cut ' + place, lambda: os.truncate(path, 0))
    attempt('rename over ' + place, lambda: (write('mine'), os.rename('mine', path)))
attempt('beside', lambda: write(facts['outside_folder'] + '/made'))
attempt('folder beside', lambda: os.mkdir(facts['outside_folder'] + '/folder'))
attempt('link out', lambda: (write('mine'), os.link('mine', facts['outside_folder'] + '/linked')))
""",
    ),
    Attack(
        "files",
        "modes and times of files",
        "Lets everybody read the user's files and its interpreter's, and hides that they were touched.",
        "refused",
        refused,
        """
import ipykernel
for path in (facts['outside'], facts['home'], ipykernel.__file__, sys.executable, sys.argv[0]):
    # no change, should it be allowed: the interpreter is the test's own
    attempt('mode of ' + path, lambda: os.chmod(path, os.stat(path).st_mode & 0o7777))
    attempt('time of ' + path, lambda: os.utime(path, ns=(os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns)))
""",
        weak={"sandlock": "the kernel runs as you there, and Landlock has no say over modes and times; `missing_walls` names it"},
    ),
    Attack(
        "files",
        "mounts",
        "Mounts, binds, remounts and unmounts by the old system calls, and changes the root by `pivot_root`.",
        "refused",
        refused,
        """
attempt('mount', lambda: call(libc.mount, b'none', b'.', b'tmpfs', 0, None))
attempt('bind', lambda: call(libc.mount, b'/', b'.', None, 4096, None))
attempt('remount', lambda: call(libc.mount, None, b'/', None, 32, None))
attempt('unmount', lambda: call(libc.umount2, b'/proc', 2))
attempt('proc', lambda: call(libc.mount, b'proc', b'.', b'proc', 0, None))
attempt('pivot', lambda: call(155, b'.', b'.'))
""",
    ),
    Attack(
        "files",
        "mounts by the new calls",
        "Makes, copies, moves and changes mounts by `fsopen`, `fsmount`, `fspick`, `open_tree`, `move_mount` and `mount_setattr`.",
        "refused",
        refused,
        """
attempt('fsopen', lambda: call(430, b'tmpfs', 0))
attempt('fspick', lambda: call(433, -100, b'/', 0))
attempt('copy of a tree', lambda: call(428, -100, b'/', 1 | 0x8000))
here = os.open('.', os.O_PATH)
attempt('fsmount', lambda: call(432, here, 0, 0))
attempt('move', lambda: call(429, here, b'', -100, b'/tmp', 4))
attempt('attributes', lambda: call(442, -100, b'/', 0, struct.pack('4Q', 0, 1, 0, 0), 32))
""",
    ),
    Attack(
        "files",
        "files by their handles",
        "Opens files by number, past every folder that hides them.",
        "refused",
        refused,
        "attempt('open by handle', lambda: call(304, -100, ctypes.create_string_buffer(136), 0))",
    ),
    Attack(
        "files",
        "out of its root by chroot",
        "Uses the right to change its root, once and twice over, to climb above it, and looks for the host and for other kernels.",
        "refused",
        refused,
        """
def look():
    climb()
    climb()
    found = {}
    for path in [facts['outside'], facts['home'], *facts['victim_files'], '/etc/shadow', '/root', '/var/log']:
        for name, function in {'stat': os.stat, 'list': os.listdir, 'read': read}.items():
            with contextlib.suppress(OSError):
                found[path, name] = function(path)
    # folders above a package of the environment are there, with nothing else in them
    found = {key: value for key, value in found.items() if not (key[0] == '/root' and key[1] != 'read')}
    return some(found)
attempt('climb', lambda: apart(look))
""",
        beyond={"branch": "what a branch finds above its root has programs of its own, below"},
    ),
    Attack(
        "files",
        "the roots of other processes by chroot",
        "Makes `/proc/*/root` and `/proc/*/cwd` its own root.",
        "refused",
        refused,
        """
def enter(path):
    climb()
    os.chroot(path)
    return os.listdir('/')
for pid in [1, *facts['pids'], *facts['victim_pids']]:
    for name in ('root', 'cwd'):
        attempt(f'{name} of {pid}', lambda: apart(lambda: enter(f'/proc/{pid}/{name}')))
""",
    ),
]
