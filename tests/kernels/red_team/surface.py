"""Hostile programs that go for the operating system's kernel."""
# ruff: noqa: E501  (programs as they are run)

from .attack import Attack
from .trials import refused

ATTACKS = [
    Attack(
        "kernel surface",
        "user namespaces",
        "Becomes root in a user namespace of its own, where most holes of the kernel are reached from.",
        "refused",
        refused,
        """
NAMESPACE = '''
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(int(sys.argv[1])):
    sys.exit(os.strerror(ctypes.get_errno()))
print('unshared')
'''
attempt('unshare', lambda: alone(NAMESPACE, str(0x10000000)))
attempt('unshare with mounts', lambda: alone(NAMESPACE, str(0x10020000)))
def cloned(number, *arguments):
    child = call(number, *arguments)
    if child == 0: os._exit(0)
    return os.waitpid(child, 0)
attempt('clone', lambda: cloned(56, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0))
attempt('clone3', lambda: cloned(435, struct.pack('8Q', 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0), 64))
""",
    ),
    Attack(
        "kernel surface",
        "namespaces of every other kind",
        "Makes mount, process, network, IPC, host name, control group and time namespaces.",
        "refused",
        refused,
        """
for name, flag in {'mount': 0x20000, 'control group': 0x2000000, 'host name': 0x4000000, 'IPC': 0x8000000, 'process': 0x20000000, 'network': 0x40000000, 'time': 0x80}.items():
    attempt(name, lambda: apart(lambda: call(libc.unshare, flag)))
""",
    ),
    Attack(
        "kernel surface",
        "entering namespaces",
        "Enters namespaces of other processes, of its keeper, and its own once more.",
        "refused",
        refused,
        """
for pid in ['self', 1, *facts['pids'], *facts['victim_pids']]:
    for name in ('user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup'):
        attempt(f'{name} of {pid}', lambda: apart(lambda: call(libc.setns, os.open(f'/proc/{pid}/ns/{name}', os.O_RDONLY), 0)))
""",
    ),
    Attack(
        "kernel surface",
        "programs in the kernel",
        "Loads a program into the kernel by bpf, and a module.",
        "refused",
        refused,
        """
attempt('map', lambda: call(321, 0, ctypes.create_string_buffer(bytes([1, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]) + bytes(112)), 128))
attempt('program', lambda: call(321, 5, ctypes.create_string_buffer(128), 128))
attempt('module', lambda: call(175, ctypes.create_string_buffer(8), 8, b''))
attempt('module from a file', lambda: call(313, os.open('/dev/null', os.O_RDONLY), b'', 0))
attempt('another kernel', lambda: call(246, 0, 0, None, 0))
""",
    ),
    Attack(
        "kernel surface",
        "keys",
        "Searches, requests and reads keys of the user's, and adds its own.",
        "refused",
        refused,
        """
attempt('search', lambda: call(250, 10, -3, b'user', facts.get('key', 'none').encode(), 0))
attempt('request', lambda: call(249, b'user', facts.get('key', 'none').encode(), None, 0))
attempt('add', lambda: call(248, b'user', b'mine', b'x', 1, -2))
attempt('session', lambda: call(250, 1, None))
""",
    ),
    Attack(
        "kernel surface",
        "performance counters",
        "Measures other programs by the processor's counters.",
        "refused",
        refused,
        "attempt('perf', lambda: call(298, ctypes.create_string_buffer(struct.pack('IIQQQQ', 1, 128, 0, 0, 0, 0) + bytes(88)), 0, -1, -1, 0))",
    ),
    Attack(
        "kernel surface",
        "io_uring",
        "Has the kernel do its work out of sight of the filter of system calls.",
        "refused",
        refused,
        """
attempt('setup', lambda: call(425, 8, ctypes.create_string_buffer(120)))
attempt('enter', lambda: call(426, 0, 1, 0, 0, None, 0))
attempt('register', lambda: call(427, 0, 0, None, 0))
""",
    ),
    Attack(
        "kernel surface",
        "userfaultfd",
        "Halts the kernel in the middle of a copy, as most exploits want to.",
        "refused",
        refused,
        "attempt('call', lambda: call(323, 0))\nattempt('device', lambda: os.open('/dev/userfaultfd', os.O_RDWR))",
    ),
    Attack(
        "kernel surface",
        "numbers of another architecture",
        "Makes system calls by the numbers of the 32-bit interface, which a filter could have forgotten.",
        "refused",
        refused,
        "attempt('x32', lambda: call(0x40000000 | 39))",
        beyond={"sandlock": "the fallback's filter is sandlock's own; what these calls reach is held by Landlock all the same"},
    ),
    Attack(
        "kernel surface",
        "rights over the machine",
        "Swaps, reboots, sets the clock, reads the kernel's log, opens ports of the processor.",
        "refused",
        refused,
        """
attempt('swap', lambda: call(libc.swapon, b'/nothing', 0))
attempt('reboot', lambda: call(169, 0xfee1dead, 672274793, 0, None))
attempt('clock', lambda: time.clock_settime(time.CLOCK_REALTIME, 0))
attempt('log', lambda: call(103, 3, ctypes.create_string_buffer(100), 100))
attempt('ports', lambda: call(172, 3))
attempt('accounting', lambda: call(163, b'/tmp/account'))
attempt('host name', lambda: socket.sethostname('agent'))
""",
    ),
    Attack(
        "kernel surface",
        "shared memory of System V",
        "Attaches and removes a segment of the host's.",
        "refused",
        refused,
        """
libc.shmat.restype = ctypes.c_void_p
def attach():
    address = libc.shmat(facts['segment'], None, 0o10000)
    if address in (None, 2 ** 64 - 1):
        raise OSError('not attached')
    return ctypes.string_at(address, 64)
attempt('attach', attach)
attempt('remove', lambda: call(libc.shmctl, facts['segment'], 0, None))
""",
    ),
]
