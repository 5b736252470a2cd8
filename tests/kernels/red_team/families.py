"""Hostile programs that a branch runs against its family: the kernel it was taken from, and its siblings.

A family shares its process, network and IPC namespaces, its user, and one file system of which each branch has a root of
its own. What a kernel sees of its branches is no secret to it: it could have done in them whatever it likes before.
"""
# ruff: noqa: E501  (programs as they are run)

from .attack import Attack
from .trials import refused

ATTACKS = [
    Attack(
        "files",
        "above a branch's root",
        "Climbs out of its root, and looks for the files of the kernel it was taken from.",
        "refused",
        refused,
        """
def above(function):
    own = os.stat('/workspace').st_ino
    climb()
    if os.stat('/workspace').st_ino == own:
        raise FileNotFoundError('nothing above')
    return function('/workspace/secret')
attempt('stat', lambda: apart(lambda: above(os.stat)))
attempt('read', lambda: apart(lambda: above(read)))
attempt('mode', lambda: apart(lambda: above(lambda path: os.chmod(path, 0))))
attempt('list', lambda: apart(lambda: above(lambda path: os.listdir(os.path.dirname(path)))))
""",
        only="branch",
        weak={
            "branch": "a branch can climb above its root; Landlock keeps it from reading and writing there, but not from sizes, modes and times"
        },
    ),
    Attack(
        "files",
        "the roots of siblings",
        "Climbs out of its root, finds the names of its siblings' roots in the table of mounts, and goes there.",
        "refused",
        refused,
        """
def siblings():
    own = os.stat('/workspace').st_ino
    climb()
    found = {}
    for line in open('/proc/self/mountinfo'):
        path = line.split()[4]
        if path.startswith('/branches/') and path.endswith('/workspace'):
            with contextlib.suppress(OSError):
                if os.stat(path).st_ino != own:
                    found[path] = os.stat(path + '/secret').st_size
    return some(found)
attempt('look', lambda: apart(siblings))
""",
        only="branch",
        weak={"branch": "as above its own root: names, sizes, modes and times of a sibling's files can be had"},
    ),
    Attack(
        "files",
        "a folder from before the branch",
        "Goes on using a folder that was open when it was taken, to list, look at and change what has come since.",
        "refused",
        refused,
        """
attempt('list', lambda: some('secret' in os.listdir(folder)))
attempt('stat', lambda: os.stat('secret', dir_fd=folder))
attempt('mode', lambda: os.chmod('secret', 0o600, dir_fd=folder))
attempt('read', lambda: os.open('secret', os.O_RDONLY, dir_fd=folder))
attempt('write', lambda: os.open('secret', os.O_WRONLY, dir_fd=folder))
attempt('another folder', lambda: some(os.fstat(folder).st_ino != os.stat('.').st_ino))
""",
        only="branch",
    ),
    Attack(
        "files",
        "a file from before the branch",
        "Goes on using a file that was open when it was taken.",
        "refused",
        refused,
        """
file.seek(0)
file.write('by the branch')
file.flush()
attempt('the same file', lambda: some(os.fstat(file.fileno()).st_ino != os.stat('shared').st_ino))
attempt('above', lambda: os.stat(f'/proc/self/fd/{file.fileno()}/../secret'))
""",
        only="branch",
    ),
    Attack(
        "Jupyter surface",
        "the trunk's sockets, with its key",
        "Climbs out of its root, connects to the sockets of the kernel it was taken from, and signs requests with the key it remembers.",
        "refused",
        refused,
        """
import gc
from jupyter_client.session import Session
own = get_ipython().kernel.session.key
keys = [each.key for each in gc.get_objects() if isinstance(each, Session) and each.key != own]
VISIT = '''
import sys, zmq
from jupyter_client.session import Session
for key in sys.argv[1:]:
    session = Session(key=key.encode())
    visitor = zmq.Context.instance().socket(zmq.DEALER)
    visitor.linger = 0
    visitor.connect('ipc:///connection/k-1')
    session.send(visitor, 'execute_request', {'code': 'marker = 1', 'silent': True, 'user_expressions': {'s': 'canary'}, 'store_history': False, 'allow_stdin': False})
    if visitor.poll(3000):
        print(session.recv(visitor)[1]['content'])
'''
def visit():
    done = subprocess.run([sys.executable, '-c', VISIT, *(key.decode() for key in keys)], preexec_fn=climb, capture_output=True, text=True)
    if not done.stdout:
        raise OSError(done.stderr[-200:])
    return done.stdout
attempt('connect and ask', visit)
""",
        only="branch",
    ),
    Attack(
        "processes",
        "limits and priorities of its family",
        "Takes processor, files and memory from the kernel it was taken from, by limits, priorities and affinity.",
        "refused",
        refused,
        """
for pid in facts['victim_pids']:
    attempt(f'limits of {pid}', lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (900, 900)))
    attempt(f'priority of {pid}', lambda: os.setpriority(os.PRIO_PROCESS, pid, 5))
    attempt(f'processors of {pid}', lambda: os.sched_setaffinity(pid, {0}))
    attempt(f'scheduler of {pid}', lambda: os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0)))
    attempt(f'order of input and output of {pid}', lambda: call(251, 1, pid, (3 << 13)))
    attempt(f'group of {pid}', lambda: os.setpgid(pid, 0))
""",
        only="branch",
        weak={"branch": "a family has one user: limits, priority and processors of its members' processes can be changed by each"},
    ),
    Attack(
        "processes",
        "limits of its keeper",
        "Takes from the process that prepares branches what it needs for that.",
        "refused",
        refused,
        """
attempt('read', lambda: resource.prlimit(1, resource.RLIMIT_CORE))
attempt('set', lambda: resource.prlimit(1, resource.RLIMIT_CORE, (0, 0)))
attempt('priority', lambda: os.setpriority(os.PRIO_PROCESS, 1, 1))
""",
        weak=dict.fromkeys(
            ("local", "branch"),
            "the keeper has its kernels' user: they can take from it what it needs to make branches, and so harm themselves",
        ),
        beyond={
            "local alone": "there is no keeper; process 1 is bubblewrap's",
            "sandlock": "there is no keeper; process 1 is the machine's",
            **dict.fromkeys(("docker", "e2b"), "there is no keeper; process 1 is the container's or the sandbox's own"),
        },
    ),
    Attack(
        "kernel surface",
        "memory and messages shared with its family",
        "Attaches shared memory of System V and opens message queues that the kernel it was taken from has made since.",
        "refused",
        refused,
        """
libc.shmat.restype = ctypes.c_void_p
def attach():
    address = libc.shmat(call(libc.shmget, 0x7ea1, 4096, 0), None, 0o10000)
    if address in (None, 2 ** 64 - 1):
        raise OSError('not attached')
    return ctypes.string_at(address, 40)
attempt('memory', attach)
attempt('queue', lambda: call(libc.msgget, 0x7ea1, 0))
""",
        only="branch",
        weak={"branch": "a family shares one IPC namespace: what one member makes in System V's ways, the others can use"},
    ),
    Attack(
        "network",
        "servers of its family",
        "Connects to a server that the kernel it was taken from has opened since, on loopback.",
        "refused",
        refused,
        """
for port in facts['family_ports']:
    attempt(f'port {port}', lambda: socket.create_connection(('127.0.0.1', port), timeout=1))
""",
        only="branch",
        weak={"branch": "a family shares one network namespace: what one member serves on its loopback, the others can visit"},
    ),
    Attack(
        "network",
        "abstract sockets of its family",
        "Connects to an abstract socket that the kernel it was taken from has opened since.",
        "refused",
        refused,
        """
def connect():
    with socket.socket(socket.AF_UNIX) as made:
        made.connect('\\0trunk')
        return 'connected'
attempt('abstract', connect)
""",
        only="branch",
    ),
]
