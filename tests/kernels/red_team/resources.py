"""Hostile programs that take more than they may have."""
# ruff: noqa: E501  (programs as they are run)

from .arena import MIB
from .attack import Attack
from .prelude import BEHIND_THE_BACK
from .trials import HUGE, filled, flooded, flooded_behind_the_back, held, late, starved

MEMORY = "MemoryError|memory limit|No space left|Errno 28|Permission denied"
PROCESSES = "memory limit|BlockingIOError|Resource temporarily unavailable|timeout|can't start new thread|SIGKILL"

ATTACKS = [
    *(
        Attack("resources", name, goes_for, "held to a limit", held, code, told)
        for name, goes_for, code, told in (
            ("memory at once", "Asks for 10 GiB in one piece.", f"kept = b'x' * {HUGE}", MEMORY),
            (
                "memory in many pieces",
                "Asks for 10 GiB in pieces of 8 MiB.",
                f"kept = [b'x' * {8 * MIB} for _ in range({HUGE} // {8 * MIB})]",
                MEMORY,
            ),
            (
                "memory in a loop",
                "Lets one object grow to 10 GiB.",
                f"kept = bytearray()\nwhile len(kept) < {HUGE}: kept += bytes({16 * MIB})",
                MEMORY,
            ),
            (
                "memory in /dev/shm",
                "Writes 10 GiB to files that lie in memory.",
                f"for i in range({HUGE} // {16 * MIB}):\n    with open(f'/dev/shm/big{{i}}', 'wb') as file: file.write(bytes({16 * MIB}))",
                MEMORY,
            ),
            (
                "memory in a memory file",
                "Writes 10 GiB to a file without a name.",
                f"import os\nfd = os.memfd_create('big')\nfor i in range({HUGE} // {MIB}): os.pwrite(fd, bytes({MIB}), i * {MIB})",
                f"{MEMORY}|File too large",
            ),
            (
                "memory that is shared",
                "Maps 10 GiB of shared memory, which no limit of a process counts.",
                f"import mmap\nm = mmap.mmap(-1, {HUGE})\nfor i in range(0, {HUGE}, 4096): m[i] = 1",
                "memory limit|Cannot allocate memory|MemoryError",
            ),
            (
                "memory of many children",
                "Spreads 3 GiB over twelve children.",
                """
import subprocess, sys, time
code = "import mmap; m = mmap.mmap(-1, 1 << 28); m.write(bytes(1 << 28)); print(1, flush=True); import signal; signal.pause()"
children = [subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE) for _ in range(12)]
lines = [child.stdout.readline() for child in children]
time.sleep(0.5)
print('alive', sum(line == b'1\\n' and child.poll() is None for child, line in zip(children, lines)))
for child in children: child.kill()
""",
                r"memory limit|alive [0-3]\b",
            ),
        )
    ),
    Attack(
        "resources",
        "the share of others",
        "Starts all the processes it may, and keeps them, so that nobody else can start one.",
        "held to a limit",
        starved,
        "import os, signal\ntry:\n    while True:\n        if os.fork() == 0: signal.pause()\nexcept OSError as error: print(error)",
        PROCESSES,
        weak={"branch": "a family has one user, whose processes are counted together: one member can take what the others would need"},
    ),
    *(
        Attack("resources", name, goes_for, "held to a limit", held, code, told, seconds)
        for name, goes_for, seconds, code, told in (
            (
                "a fork bomb",
                "Forks from every fork.",
                3,
                "import os\nwhile True:\n    if os.fork() == 0:\n        while True: os.fork()",
                PROCESSES,
            ),
            (
                "a fork bomb of a shell",
                "Starts a function that starts itself twice.",
                3,
                "import subprocess\nprint(subprocess.run(['sh', '-c', 'bomb() { bomb | bomb & }; bomb; wait'], capture_output=True, text=True).stderr)",
                f"{PROCESSES}|annot fork",
            ),
            (
                "processes by subprocess",
                "Starts programs until there can be no more.",
                20,
                "import subprocess, sys\nkept = []\nwhile True: kept.append(subprocess.Popen(['sleep', '1000']))",
                PROCESSES,
            ),
            (
                "threads",
                "Starts threads until there can be no more.",
                60,
                "import threading\nstop = threading.Event()\ntry:\n    while True: threading.Thread(target=stop.wait).start()\nfinally: stop.set()",
                PROCESSES,
            ),
            (
                "open files",
                "Opens files until there can be no more.",
                60,
                "kept = []\ntry:\n    while True: kept.append(open('/dev/null'))\nfinally:\n    for file in kept: file.close()",
                "Too many open files|Permission denied",
            ),
            (
                "a large file",
                "Writes one file of 10 GiB.",
                60,
                f"with open('big', 'wb') as file:\n    for _ in range({HUGE} // {MIB}): file.write(bytes({MIB}))",
                "File too large",
            ),
            (
                "a large file that is empty",
                "Makes a file of 3 GiB that holds nothing.",
                60,
                "import os\nwith open('big', 'wb') as file: os.truncate(file.fileno(), 3 << 30)",
                "File too large",
            ),
            (
                "a large file in /tmp",
                "Writes one file of 10 GiB for temporary files.",
                60,
                f"import tempfile\nwith tempfile.TemporaryFile() as file:\n    for _ in range({HUGE} // {MIB}): file.write(bytes({MIB}))",
                "File too large|No space left|memory limit",
            ),
            (
                "its stack",
                "Recurses without an end.",
                2,
                "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(): return [f()]\nf()",
                "RecursionError|SIGSEGV|died|MemoryError|stopped after",
            ),
        )
    ),
    *(
        Attack("resources", name, goes_for, "killed and told", filled, code)
        for name, goes_for, code in (
            (
                "the disk, by many files",
                "Fills the workspace with files of 16 MiB.",
                f"for i in range({HUGE} // {16 * MIB}):\n    with open(f'f{{i}}', 'wb') as file: file.write(bytes({16 * MIB}))",
            ),
            (
                "the disk, by files without a name",
                "Fills the disk with files that are removed and still open.",
                f"import os\nkept = []\nfor i in range({HUGE} // {16 * MIB}):\n    kept.append(open('f', 'wb', buffering=0))\n    os.remove('f')\n    kept[-1].write(bytes({16 * MIB}))",
            ),
            (
                "the disk, by the kernel's own folder",
                "Fills the folder of its sockets.",
                f"import os, ipykernel\nos.chdir(os.path.dirname(ipykernel.get_connection_file()))\n"
                f"for i in range({HUGE} // {16 * MIB}):\n    with open(f'f{{i}}', 'wb') as file: file.write(bytes({16 * MIB}))",
            ),
            (
                "the disk, by temporary files",
                "Fills the folder for temporary files.",
                f"import os, tempfile\nos.chdir(tempfile.gettempdir())\n"
                f"for i in range({HUGE} // {16 * MIB}):\n    with open(f'f{{i}}', 'wb') as file: file.write(bytes({16 * MIB}))",
            ),
            ("inodes, by empty files", "Makes 30,000 files with nothing in them.", "for i in range(30_000): open(f'f{i}', 'w').close()"),
            ("inodes, by folders", "Makes 30,000 folders.", "import os\nfor i in range(30_000): os.mkdir(f'd{i}')"),
        )
    ),
    *(
        Attack("resources", name, goes_for, "held to a limit", flooded, code, over_the_line=True)
        for name, goes_for, code in (
            ("a flood of lines", "Prints 10 GiB, a MiB a line.", f"for _ in range({HUGE} // {MIB}): print('x' * {MIB})"),
            ("a flood of short lines", "Prints a thousand million numbers.", f"for i in range({HUGE} // 10): print(i)"),
            (
                "a flood without a line's end",
                "Writes 10 GiB as one line, a MiB at a time.",
                f"import sys\nfor _ in range({HUGE} // {MIB}): sys.stdout.write('x' * {MIB})",
            ),
            ("one huge line", "Prints 200 MiB at once.", f"print('x' * {200 * MIB})"),
            (
                "a flood past Python",
                "Writes 10 GiB to the descriptor of its output.",
                f"import os\nfor _ in range({HUGE} // {MIB}): os.write(1, b'x' * {MIB})",
            ),
            (
                "a flood of errors past Python",
                "Writes 10 GiB to the descriptor of its errors.",
                f"import os\nfor _ in range({HUGE} // {MIB}): os.write(2, b'x' * {MIB})",
            ),
            (
                "a flood from a child",
                "Lets a child write 10 GiB.",
                f"import subprocess\nsubprocess.run('head -c {HUGE} /dev/zero | tr \"\\\\0\" x', shell=True);",
            ),
            (
                "a flood to the program's own log",
                "Writes 10 GiB where the kernel's own errors go.",
                f"import sys\nfor _ in range({HUGE} // {MIB}): sys.__stderr__.write('x' * {MIB})",
            ),
            (
                "a flood of displays",
                "Displays 8 MiB a thousand times.",
                f"from IPython.display import display\nfor _ in range({HUGE} // {8 * MIB}): display({{'text/plain': 'x' * {8 * MIB}}}, raw=True)",
            ),
            (
                "huge displays of no known type",
                "Displays 8 MiB of a type that nobody knows, a thousand times.",
                f"from IPython.display import display\nfor _ in range({HUGE} // {8 * MIB}): display({{'application/x': ['x' * 100] * {8 * MIB // 104}}}, raw=True)",
            ),
            (
                "huge pictures",
                "Displays pictures of 30 MiB.",
                f"from IPython.display import display\nfor _ in range(20): display({{'image/png': 'A' * {30 * MIB}}}, raw=True)",
            ),
            ("a huge result", "Has a result of 120 MiB.", f"'x' * {120 * MIB}"),
            ("a huge error", "Raises an error of 60 MiB.", f"raise ValueError('x' * {60 * MIB})"),
            ("a huge name", "Calls a variable by a name of 30 MiB.", f"globals()['x' * {30 * MIB}] = 1"),
        )
    ),
    Attack(
        "resources",
        "a flood by a thread",
        "Sends 2400 MiB from a thread that no interrupt stops.",
        "held to a limit",
        flooded_behind_the_back,
        BEHIND_THE_BACK.format(then="flooding.join()"),
        timeout=5,
        over_the_line=True,
    ),
    Attack(
        "resources",
        "a flood between cells",
        "Sends 2400 MiB from a thread when nobody asks for anything.",
        "held to a limit",
        flooded_behind_the_back,
        BEHIND_THE_BACK.format(then=""),
        timeout=5,
        over_the_line=True,
    ),
    Attack(
        "resources",
        "output of another cell",
        "Sends between two cells what would be taken for the second one's.",
        "harmless",
        late,
        "import threading\ngo = threading.Event()\nthreading.Thread(target=lambda: (go.wait(), print('late'))).start()",
        over_the_line=True,
    ),
]
