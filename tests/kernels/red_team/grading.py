"""Hostile programs that want a score: as submitted code while it is graded, and as an agent's code that calls a task's functions."""
# ruff: noqa: E501  (programs as they are run)

from .attack import Attack
from .graded import called, counted, ended, looked_around

BURN = """
def burn():
    while time.process_time() < 1:
        pass
"""
"""A second of processor time."""

ATTACKS = [
    Attack(
        "grading",
        "what its task hides",
        "Reads a hidden folder of a package by every spelling of its path, and in every other place where packages lie.",
        "refused",
        looked_around,
        """
for path in (facts['hides'], facts['hides'].replace('/', '//'), '/proc/self/root' + facts['hides'], facts['hides'] + '/../' + os.path.basename(facts['hides'])):
    attempt(path, lambda: entries(path))
    attempt(path, lambda: read(path + '/__init__.py'))
os.symlink(facts['hides'], '/tmp/link')
attempt('by a link', lambda: entries('/tmp/link'))
folder = os.open(os.path.dirname(facts['hides']), os.O_RDONLY)
attempt('from its parent', lambda: some(os.listdir(os.open(os.path.basename(facts['hides']), os.O_RDONLY, dir_fd=folder))))
attempt('by importing it', lambda: __import__(facts['hides_module'], fromlist=['x']).__file__ or some(''))
for path in facts['private']:
    attempt(path, lambda: entries(path) if os.path.isdir(path) else read(path))
""",
        only="local",
    ),
    Attack(
        "grading",
        "the grader and other submitted code",
        "Looks for the files, processes, shared memory and descriptors of whoever grades it and of other submitted code.",
        "refused",
        looked_around,
        """
attempt('processes', lambda: some([pid for pid in os.listdir('/proc') if pid.isdigit() and int(pid) not in (1, os.getpid())]))
attempt('memory of process 1', lambda: read('/proc/1/mem'))
attempt('environment of process 1', lambda: os.environ['SECRET'] if 'SECRET' in os.environ else some(b'SECRET' in read('/proc/1/environ')))
attempt('descriptors', lambda: some([fd for fd in os.listdir('/proc/self/fd') if int(fd) > 2 and os.path.exists(f'/proc/self/fd/{fd}') and not os.readlink(f'/proc/self/fd/{fd}').startswith('/proc/')]))
attempt('input', lambda: some(sys.stdin.read()))
attempt('folders', lambda: some([name for name in os.listdir('/grading') if name != 'submission']))
attempt('hidden', lambda: entries('/grading/hidden'))
attempt('shared memory', lambda: entries('/dev/shm'))
attempt('left in /tmp', lambda: some(set(os.listdir('/tmp')) - {'home'}))
for pid in facts['pids']:
    attempt(f'process {pid}', lambda: os.kill(pid, 0))
for path in (facts['outside'], facts['home']):
    attempt(path, lambda: read(path))
attempt('network', lambda: socket.create_connection(tuple(facts['tcp'][:2]), timeout=2))
""",
        only="local",
    ),
    *(
        Attack("grading", name, goes_for, "held to a limit", counted, BURN + code, only="local")
        for name, goes_for, code in (
            (
                "time in a child nobody waits for",
                "Ignores the end of its children, and works in one that was forked into a session of its own.",
                """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
heard, told = os.pipe()
if os.fork() == 0:
    os.setsid()
    burn()
    os.write(told, b'1')
    os._exit(0)
os.close(told)
if not os.read(heard, 1):
    raise OSError('the child did not work')
""",
            ),
            (
                "time in a daemon that stays",
                "Works in a daemon whose parent is gone, and that lives on until it is killed.",
                """
heard, told = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    burn()
    os.write(told, b'1')
    while True:
        signal.pause()
os.wait()
os.close(told)
if not os.read(heard, 1):
    raise OSError('the daemon did not work')
os._exit(0)
""",
            ),
            (
                "time in another program",
                "Has another interpreter do its work, started by `posix_spawn`, and does not wait for it.",
                """
heard, told = os.pipe()
os.set_inheritable(told, True)
code = f'import os, time\\nwhile time.process_time() < 1: pass\\nos.write({told}, b"1")'
os.posix_spawn(sys.executable, [sys.executable, '-c', code], os.environ, setsid=True)
os.close(told)
if not os.read(heard, 1):
    raise OSError('the program did not work')
os._exit(0)
""",
            ),
            (
                "time in threads that are left",
                "Works in threads, and leaves by a system call that ends them without their end.",
                """
done = threading.Event()
def work():
    began = time.thread_time()
    while time.thread_time() - began < 1:
        pass
    done.set()
threading.Thread(target=work, daemon=True).start()
done.wait()
os._exit(0)
""",
            ),
        )
    ),
    *(
        Attack("grading", name, goes_for, "killed and told", ended, code, only="local")
        for name, goes_for, code in (
            (
                "a tracer of its own child",
                "Has its own child trace it, which makes its end wait for the tracer.",
                """
if (parent := os.getpid()) and os.fork() == 0:
    os.setsid()
    libc.ptrace(0x4206, parent, None, None)
    while True:
        signal.pause()
while True:
    signal.pause()
""",
            ),
            (
                "sessions without end",
                "Forks into sessions of their own for as long as it is graded, so that whoever waits for each waits for ever.",
                """
while True:
    with contextlib.suppress(OSError):
        if os.fork() == 0:
            os.setsid()
""",
            ),
            (
                "folders without end",
                "Nests three thousand folders where it may write, so that whoever removes them one in another fails.",
                """
os.chdir('/tmp')
for _ in range(3000):
    os.mkdir('d')
    os.chdir('d')
while True:
    signal.pause()
""",
            ),
            (
                "a stopped process",
                "Stops itself and a child, so that neither is ever ended by what asks it to end.",
                """
os.fork()
os.kill(os.getpid(), signal.SIGSTOP)
while True:
    signal.pause()
""",
            ),
        )
    ),
    *(
        Attack("grading", name, goes_for, "refused", called, code)
        for name, goes_for, code in (
            (
                "answers to other calls",
                "Asks for a task's functions under numbers of its own, out of order and twice, to be told another call's answer.",
                """
ask = get_ipython().kernel.raw_input
question = json.dumps({'tool': 'add', 'args': [1, 1], 'kwargs': {}})
for text in ('', ' ', '-1', '1' * 100, '7 ' + question, '7', '7 ' + question, '0', '8', '7 {}', 'x ' + question, '9 [1]', '\\0', '\\ud800'):
    try:
        ask(text)
    except BaseException:
        pass
""",
            ),
            (
                "calls that are abandoned",
                "Interrupts its own calls while they are made, from a timer and from threads.",
                """
def stop(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, stop)
for i in range(20):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005 * i + 0.0001)
        add(i, 1)
    except (KeyboardInterrupt, Exception):
        pass
signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_DFL)
threads = [threading.Thread(target=lambda i=i: add(i, 2)) for i in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
""",
            ),
            (
                "arguments too deep and too large",
                "Sends arguments that are nested 900 deep, huge, no JSON or no numbers, past the function that would refuse them.",
                """
ask = get_ipython().kernel.raw_input
for text in ('[' * 900 + ']' * 900, '[' * 100000, '1' + '0' * 5000, 'NaN', '1e999', '"\\\\ud800"', '"' + 'x' * 3 * 2**20 + '"', '{"a": 1, "a": 2}'):
    for number, question in enumerate(('{"tool": "add", "args": [%s, 1], "kwargs": {}}' % text, text)):
        try:
            ask(f'{1000 + number} {question}')
        except BaseException:
            pass
""",
            ),
            (
                "calls from a child",
                "Calls a task's functions from processes that it forked, which would read each other's answers.",
                """
for i in range(4):
    if os.fork() == 0:
        try:
            add(i, 3)
        finally:
            os._exit(0)
for _ in range(4): os.wait()
""",
            ),
        )
    ),
]
