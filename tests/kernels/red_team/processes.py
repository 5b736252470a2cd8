"""Hostile programs that go for processes."""
# ruff: noqa: E501  (programs as they are run)

from .attack import Attack
from .trials import harmless, outlived, refused

NO_NAMESPACE = "without a process namespace signals to everyone would end the machine's processes: not tried"

ATTACKS = [
    Attack(
        "processes",
        "secrets of other processes",
        "Reads environment, memory, maps, descriptors and roots of other processes in `/proc`.",
        "refused",
        refused,
        """
for pid in facts['pids'] + facts['victim_pids']:
    for name in ('environ', 'mem', 'maps', 'auxv'):
        attempt(f'{name} of {pid}', lambda: read(f'/proc/{pid}/{name}') if name != 'mem' else open(f'/proc/{pid}/mem', 'rb'))
    attempt(f'map_files of {pid}', lambda: os.listdir(f'/proc/{pid}/map_files'))
    for number in range(3):
        attempt(f'descriptor {number} of {pid}', lambda: read(f'/proc/{pid}/fd/{number}'))
""",
    ),
    Attack(
        "processes",
        "what others have open",
        "Reads which files other processes have open, where they are and what they run.",
        "refused",
        refused,
        """
for pid in facts['pids'] + facts['victim_pids']:
    for name in ('root', 'cwd', 'exe', 'fd/0', 'fd/1', 'fd/2'):
        attempt(f'{name} of {pid}', lambda: os.readlink(f'/proc/{pid}/{name}'))
""",
        weak={
            "sandlock": "the supervisor follows links in `/proc` for the kernel: it sees the paths of your processes' files, not what is in them"
        },
    ),
    Attack(
        "processes",
        "who else is there",
        "Reads the names, arguments and states of other processes in `/proc`.",
        "refused",
        refused,
        """
for pid in facts['pids'] + facts['victim_pids']:
    for name in ('cmdline', 'status', 'stat', 'comm'):
        attempt(f'{name} of {pid}', lambda: read(f'/proc/{pid}/{name}'))
    for name in ('task', 'fd'):
        attempt(f'{name} of {pid}', lambda: os.listdir(f'/proc/{pid}/{name}'))
""",
        weak={
            "branch": "a family shares one process namespace: a branch sees the names and arguments of its trunk's processes, not their memory or files"
        },
    ),
    Attack(
        "processes",
        "killing",
        "Ends and stops other processes by signal, by group and by descriptor.",
        "refused",
        refused,
        """
for pid in facts['pids'][:1] + facts['victim_pids']:
    for number in (0, signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):
        attempt(f'{number} to {pid}', lambda: os.kill(pid, number))
    attempt(f'group {pid}', lambda: os.killpg(pid, signal.SIGKILL))
    def by_descriptor():
        signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGKILL)
    attempt(f'descriptor of {pid}', by_descriptor)
""",
    ),
    Attack(
        "processes",
        "stopping its keeper",
        "Kills, stops and traces the process that reaps for it, and those that hold its walls.",
        "harmless",
        harmless,
        """
for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGKILL):
    with contextlib.suppress(OSError):
        os.kill(1, number)
    with contextlib.suppress(OSError):
        os.kill(os.getppid(), number)
with contextlib.suppress(OSError):
    call(101, 16, 1, 0, 0)
print('tried')
""",
        told="tried|SIGKILL|SIGTERM|died|stopped after",
        timeout=5,
        beyond={"sandlock": "its parent is the supervisor's, and process 1 the machine's: not tried"},
    ),
    Attack(
        "processes",
        "signals to everyone",
        "Kills everything it may send a signal to.",
        "harmless",
        harmless,
        "try: os.kill(-1, 9)\nexcept OSError: pass\nprint('tried')",
        told="tried|died",
        beyond={"sandlock": NO_NAMESPACE},
    ),
    Attack(
        "processes",
        "tracing",
        "Attaches to other processes, reads their memory and takes their descriptors.",
        "refused",
        refused,
        """
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
    ),
    Attack(
        "processes",
        "meddling",
        "Changes priority, processors, limits and control group of a process of the host.",
        "refused",
        refused,
        """
for pid in facts['pids'][:1]:
    attempt('priority', lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
    attempt('processors', lambda: os.sched_setaffinity(pid, {0}))
    attempt('limits', lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (100, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1])))
    attempt('out-of-memory score', lambda: write(f'/proc/{pid}/oom_score_adj'))
    attempt('cgroup', lambda: write('/sys/fs/cgroup/cgroup.procs'))
    attempt('its own memory limit', lambda: write('/sys/fs/cgroup/memory/memory.limit_in_bytes'))
attempt('its own limits', lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1)))
""",
        weak={
            "sandlock": "the kernel runs as you there: priority and processors of your processes stay open to change; `missing_walls` names it"
        },
    ),
    Attack(
        "processes",
        "root",
        "Becomes root, by itself or by programs that may, and looks for capabilities it kept.",
        "refused",
        refused,
        """
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
    ),
    Attack(
        "processes",
        "zombies",
        "Starts children and never asks how they ended.",
        "harmless",
        harmless,
        """
for _ in range(15):
    if os.fork() == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
while True:
    try: os.waitpid(-1, 0)
    except ChildProcessError: break
print('left')
""",
        told="left",
    ),
    *(
        Attack("processes", name, f"Outlives its kernel: {how}.", "killed and told", outlived, code)
        for name, how, code in (
            ("a daemon", "a child in a session of its own", ""),
            (
                "a daemon that ignores every signal",
                "one that handles all it can",
                "for n in set(range(1, 65)) - {9, 19, 32, 33}: signal.signal(n, signal.SIG_IGN)",
            ),
            (
                "a daemon that is not to be found out of memory",
                "one that asks to be the last one killed",
                "with contextlib.suppress(OSError): open('/proc/self/oom_score_adj', 'w').write('-1000')",
            ),
            ("a daemon that is stopped", "one that runs no more", "os.kill(os.getpid(), signal.SIGSTOP)"),
            ("a daemon that is traced", "one whose end its tracer holds up", "ctypes.CDLL(None).ptrace(0, 0, 0, 0)"),
            (
                "a daemon that keeps moving",
                "one that is another process whenever it is looked for",
                "while not os.path.exists('stop'):\n    with contextlib.suppress(OSError):\n        if os.fork(): os._exit(0)\n        os.setsid()",
            ),
            (
                "daemons that start each other",
                "a fork bomb that is in the background",
                "while not os.path.exists('stop'):\n    with contextlib.suppress(OSError): os.fork()",
            ),
        )
    ),
]
