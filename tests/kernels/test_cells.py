"""Cells that people and models write: what the model is told of each and what the record holds, by every backend.

All cells of a backend run in one kernel, one after the other. After each of them the kernel must be the same, with its
variables, and show what is printed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from workbench import background
from workbench.agents.show import as_text
from workbench.interactive import LiveKernel
from workbench.kernels.environments import Environment
from workbench.kernels.session import KernelSession
from workbench.observation import Observation, Output

from .backends import BACKENDS, backend
from .tools import PATIENCE, told

pytestmark = pytest.mark.walls


@dataclass(frozen=True)
class Cell:
    """A cell and what must come of it."""

    code: str
    told: str | tuple[str, ...]
    """What the model is told: all of it, or parts in the order in which they stand in it."""
    status: str = "ok"
    kinds: str | None = None
    """The kinds of the outputs in the record."""
    never: str = ""
    """What the model must not be told."""
    timeout: float = PATIENCE


ENDED = "[the cell ended here; the kernel goes on and keeps its variables]"
BACK = "it is the kernel's own again]"

PROGRESS = {
    "carriage returns": Cell(
        "for i in range(5):\n    print(f'\\r{25 * i}%', end='', flush=True)\nprint()", "100%\n[variables: i (int = 4)]"
    ),
    "like tqdm": Cell(
        "for i in range(30):\n    sys.stderr.write(f'\\r{i:3}%|{\"#\" * i:30}| {i}/29 [00:00<?, 9it/s]')\nsys.stderr.write('\\n');",
        f"[stderr]  29%|{'#' * 29} | 29/29 [00:00<?, 9it/s]\n[variables: i (int = 29)]",
        kinds="stderr",
    ),
    "like nested tqdm": Cell(
        "for i in range(3):\n    print(f'\\router {i}/2', end='\\n')\n    for j in range(3):\n"
        "        print(f'\\rinner {j}/2', end='')\n    print('\\x1b[A', end='')\nprint('\\n')",
        ("outer 2/2\ninner 2/2",),
        never="1/2",
    ),
    "like Keras": Cell(
        "line = ''\nfor i in range(1, 5):\n    back = '\\b' * len(line) + '\\r'\n    line = f'\\x1b[1m{i}/4\\x1b[0m loss: {1 / i:.4f}'\n"
        "    print(back + line, end='')\nprint()",
        ("4/4 loss: 0.2500\n",),
        never="3/4",
    ),
    "like pip": Cell(
        "print('Collecting six')\nfor i in range(9):\n    print(f'\\r\\x1b[K   {i}.0/8.0 kB', end='')\nprint()",
        ("Collecting six\n   8.0/8.0 kB",),
    ),
    "a spinner": Cell("for c in '|/-':\n    print(c, end='\\b', flush=True)\nprint('done')", ("done",), never="|"),
    "a shorter line over a longer one": Cell("print('loading...\\rdone')", "doneing..."),
    "Windows line ends": Cell("print('one\\r\\ntwo\\r')", "one\ntwo"),
    "of a child": Cell("!printf '\\r 1%%\\r 2%%\\r 3%%\\n'", "3%"),
    "ten thousand states": Cell("for i in range(10_000): print(f'\\r{i}', end='')", ("9999",), never="characters cut"),
    "beside prints": Cell(
        "for i in range(80):\n    print('epoch', i, flush=True)\n    print(f'\\r{i}', end='', file=sys.stderr, flush=True)",
        ("epoch 0", "epoch 79"),
    ),
    "cleared with wait": Cell(
        "from IPython.display import clear_output\nfor i in range(4):\n    clear_output(wait=True)\n    print('step', i)",
        ("step 3",),
        never="step 2",
    ),
    "cleared at once": Cell("print('old')\nclear_output()", "(no output)", kinds=""),
    "cleared before an error": Cell("print('o' + 'ld')\nclear_output(wait=True)\n1 / 0", ("ZeroDivisionError",), "error", kinds=""),
}

EXITS = {
    "exit()": Cell(
        "kept = 1\nprint('before')\nexit()\nprint('after')", ("before\n", "SystemExit", "kept (int = 1)", ENDED), "error", never="after"
    ),
    "quit()": Cell("quit()", ("SystemExit", ENDED), "error"),
    "exit alone": Cell("exit", ("SystemExit", ENDED), "error"),
    "exit with a code": Cell("exit(3)", ("SystemExit: 3", ENDED), "error"),
    "exit with a text": Cell("exit('no data')", ("SystemExit: no data", ENDED), "error"),
    "sys.exit": Cell("sys.exit(0)", ("SystemExit: 0", ENDED), "error", never="To exit"),
    "exit in a module": Cell("open('m.py', 'w').write('def f(): exit(4)')\nimport m\nm.f()", ("SystemExit: 4", ENDED), "error"),
    "exit that keeps the kernel": Cell("exit(keep_kernel=True)", ("SystemExit", ENDED), "error"),
    "IPython's own way to exit": Cell("get_ipython().ask_exit()", ("SystemExit", ENDED), "error"),
    "an exit that is caught": Cell("try:\n    exit(5)\nexcept SystemExit as e:\n    print('caught', e)", "caught 5"),
    "exit in a task": Cell(
        "import asyncio\nasync def leave(): sys.exit(1)\ntask = asyncio.ensure_future(leave())\nawait asyncio.sleep(0.05)\nprint('on')",
        ("on",),
    ),
    "exit in a thread": Cell("import threading\nt = threading.Thread(target=sys.exit)\nt.start()\nt.join()\nprint('on')", ("on",)),
    "exit in a child": Cell("import subprocess\nsubprocess.run([sys.executable, '-c', 'exit(6)']).returncode", ("6",)),
    "argparse": Cell(
        "import argparse\nargparse.ArgumentParser('prog').parse_args(['--no'])", ("[stderr] usage: prog", "SystemExit: 2", ENDED), "error"
    ),
}

STREAMS = {
    "closed": Cell("print('a')\nsys.stdout.close()\nprint('b')", "a\nb"),
    "None": Cell(
        "sys.stdout = sys.stderr = None\nprint('lost')\n5", ("5", "[sys.stdout was left as None, sys.stderr was left as None", BACK)
    ),
    "None and an error": Cell("sys.stderr = None\n1 / 0", ("sys.stderr was left as None", "ZeroDivisionError: division by zero"), "error"),
    "a file in with": Cell(
        "with open('out', 'w') as sys.stdout:\n    print('filed')\n6", ("6", "[sys.stdout was left as TextIOWrapper", BACK)
    ),
    "what the file got": Cell("open('out').read()", "'filed\\n'"),
    "a writer without flush": Cell(
        "class Writer:\n    def write(self, text): pass\nsys.stdout = sys.stderr = Writer()\nprint('x')\ndisplay('shown')\n7",
        ("'shown'\n7\n", "[sys.stdout was left as Writer, sys.stderr was left as Writer"),
    ),
    "a writer that fails": Cell(
        "class Failing:\n    def write(self, text): raise OSError('full')\n    flush = write\nsys.stdout = Failing()\nprint(1)",
        ("OSError: full",),
        "error",
    ),
    "a StringIO": Cell("import io\nsys.stdout = io.StringIO()\nprint('x')", ("[sys.stdout was left as StringIO",)),
    "redirected and back": Cell(
        "import contextlib\nwith contextlib.redirect_stdout(io.StringIO()) as f:\n    print('x')\nf.getvalue()", ("'x\\n'",), never=BACK
    ),
    "Python's own": Cell("sys.stdout = sys.__stdout__\nprint('a')\nsys.__stdout__.write('b\\n')\nprint('c')", "a\nb\nc"),
    "Python's own, closed": Cell("sys.__stdout__.close()\nsys.__stderr__ = None\n8", "8"),
    "Python's own, opened again": Cell("print('a', file=sys.__stdout__)", "a"),
    "methods": Cell("sys.stdout.flush = None\n9", ("9", "[sys.stdout.flush was left replaced")),
    "descriptors closed": Cell(
        "import os\nos.close(1)\nos.close(2)\n10", ("10", "[file descriptor 1 was left closed, file descriptor 2 was left closed")
    ),
    "a descriptor redirected": Cell(
        "os.dup2(os.open('fd', os.O_CREAT | os.O_WRONLY), 1)\nos.system('echo into the file')\n11",
        ("11", "[file descriptor 1 was left redirected"),
        never="into",
    ),
    "closed in an endless loop": Cell(
        "sys.stdout = open('x', 'w')\nsys.stdout.close()\nwhile True: pass", ("KeyboardInterrupt", "stopped after"), "timeout", timeout=0.5
    ),
    "standard input closed": Cell("sys.stdin.close()\nos.close(0)\n12", ("12", "[file descriptor 0 was left closed")),
}

SURROGATES = {
    "printed": Cell("print('a\\ud800b')", "a?b"),
    "much of it": Cell("print('x' * 10_000 + '\\udfff' + 'y')", ("xxx", "x?y")),
    "in a representation": Cell("class C:\n    def __repr__(self): return 'r\\ud800r'\nC()", ("r?r",)),
    "displayed": Cell("from IPython.display import Markdown\ndisplay(Markdown('m\\ud800m'))", ("Markdown",)),
    "in an error": Cell("raise ValueError('e\\ud800e')", ("Cell In", "ValueError: e?e"), "error", never="tornado"),
    "in the name of a variable": Cell("globals()['v\\ud800'] = 1", "[variables: v? (int = 1)]"),
    "in the name of a file": Cell("open(b'caf\\xe9', 'w').close()\nprint(*[n for n in os.listdir() if n.startswith('caf')])", "caf\ufffd"),
    "in the code": Cell("'\ud800'", "'?'"),
}

COMMANDS = {
    "!cat": Cell("!cat; echo done", "done"),
    "! that asks": Cell("!python -c \"input('name ')\"\n_exit_code", ("name", "EOFError", "1")),
    "! and its code": Cell("!exit 3\n_exit_code", "3"),
    "! with a variable": Cell("word = 'hello'\n!echo {word} $word", ("hello hello",)),
    "! that is assigned": Cell("lines = !echo one; cat; echo two\nlines", ("['one', 'two']",)),
    "! in order": Cell("print('a')\n!echo b; echo c >&2\nprint('d')", "a\nb\nc\nd", kinds="stdout"),
    "! in the background": Cell("!sleep 600 &\nprint('on')", "on"),
    "! captured": Cell("%%capture seen\n!echo inner\nprint('py')", "[variables: seen (CapturedIO)]"),
    "what was captured": Cell("seen.stdout", "'inner\\npy\\n'"),
    "! without a terminal": Cell('!python -c "import sys; print(sys.stdin.isatty(), sys.stdout.isatty())"', "False False"),
    "%%sh": Cell("%%sh\necho from sh\npython -c 'import sys; print(len(sys.stdin.read()))'", ("from sh",)),
    "subprocess": Cell("subprocess.run(['cat'], timeout=60).returncode", "0"),
    "subprocess into sys.stdout": Cell("subprocess.run(['sh', '-c', 'echo x'], stdout=sys.stdout, stderr=sys.stderr).returncode", "x\n0"),
    "os.system": Cell("print('a')\nos.system('cat; echo b')\nprint('c')", "a\nb\nc"),
    "accents cut in two": Cell('os.system("python -c \\"print(\'é\' * 70000)\\"");', ("ééé",), never="\ufffd"),
    "input": Cell("name = input('name? ')", ("StdinNotImplementedError", "nobody to answer"), "error", kinds=""),
    "getpass": Cell("import getpass\ngetpass.getpass()", ("nobody to answer",), "error"),
    "input from a StringIO": Cell("sys.stdin = io.StringIO('3\\n4\\n')\nint(input()) + int(input('n '))", "n\n7"),
    "its end": Cell("input()", ("EOFError",), "error"),
    "sys.stdin": Cell("sys.stdin = open('/dev/null')\nsys.stdin.read()", "''"),
    "a breakpoint": Cell("breakpoint()\nprint('on')", ("on",)),
}

MAGICS = {
    "name?": Cell("import json\njson.dumps?", ("Signature", "Docstring", "Serialize"), kinds="display"),
    "name??": Cell("def mine(x):\n    'Doc.'\n    return x + 1\nmine??", ("Source", "return x + 1", "[variables: mine (function)]")),
    "%pinfo": Cell("%pinfo len", ("Return the number of items",)),
    "help": Cell("help(len)", ("Help on built-in function len",)),
    "?nothing": Cell("nosuchname?", ("`nosuchname` not found",)),
    "%load": Cell("%load m.py", ("def f(): exit(4)",)),
    "%who": Cell("%who_ls str", ("word",)),
    "an unknown magic": Cell("%nosuch", ("`%nosuch` not found",), "error"),
    "%timeit": Cell("%timeit -n1 -r1 pass", ("per loop",)),
    "%cd": Cell("%cd -q /\nprint(os.getcwd())\nos.chdir(start)", "/"),
}

DISPLAYS = {
    "updated in place": Cell(
        "h = display('0%', display_id='bar')\nprint('between')\ndisplay('100%', display_id='bar', update=True)",
        ("'100%'\nbetween",),
        never="0%'\nb0",
    ),
    "by a handle": Cell("h = display('a', display_id=True)\nfor s in 'bcd': h.update(s)", ("'d'",), never="'a'"),
    "from the next cell": Cell("h.update('later')", "'later'", kinds="display"),
    "of a type that is not shown": Cell(
        "from IPython.display import JSON\ndisplay(JSON({'a': 1}))", ("not shown", "application/json"), never="beyond the limit"
    ),
    "of a type of its own": Cell("display({'application/x-mine': 'x'}, raw=True)", ("[not shown", "application/x-mine"), kinds=""),
    "text beside that": Cell("display({'application/x-mine': 'x', 'text/plain': 'mine'}, raw=True)", ("mine\n[not shown",)),
    "a picture": Cell(
        "import base64\nfrom IPython.display import Image\n"
        "Image(base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=='))",
        ("[figure: <IPython.core.display.Image object>",),
        kinds="result",
    ),
    "HTML": Cell("from IPython.display import HTML\nHTML('<b>bold</b>')", ("IPython.core.display.HTML",), kinds="result"),
    "a result that cannot be shown": Cell(
        "class Bad:\n    def __repr__(self): raise ValueError('no repr')\nBad()", ("ValueError: no repr",), "error"
    ),
    "in colours": Cell("print('\\x1b[31mred\\x1b[0m')", "red"),
}

TOGETHER = {
    "a thread": Cell("t = threading.Thread(target=print, args=('from a thread',))\nt.start()\nt.join()", ("from a thread",)),
    "a thread that fails": Cell(
        "t = threading.Thread(target=lambda: 1 / 0)\nt.start()\nt.join()\nprint('on')", ("on", "ZeroDivisionError")
    ),
    "a thread that goes on": Cell(
        "go = threading.Event()\nt = threading.Thread(target=lambda: (go.wait(), print('late')))\nt.start()", ("go (Event)",)
    ),
    "what it prints": Cell("go.set()\nt.join()", ("late",)),
    "a thread that redirects": Cell(
        "t = threading.Thread(target=lambda: setattr(sys, 'stdout', None))\nt.start()\nt.join()\n13", ("13", "sys.stdout was left as None")
    ),
    "a child": Cell(
        "subprocess.run(['sh', '-c', 'echo from a child; echo wrong >&2']).returncode", ("from a child", "[stderr] wrong", "0")
    ),
    "a child and then Python": Cell("subprocess.run(['sh', '-c', 'echo first'])\nprint('second')", "first\nsecond"),
    "a fork": Cell(
        "if not os.fork():\n    os.write(1, b'from a fork\\n')\n    os._exit(0)\nos.wait()\nprint('and from the parent')",
        ("from a fork\nand from the parent",),
    ),
    "a process": Cell(
        "import multiprocessing\np = multiprocessing.get_context('fork').Process(target=print, args=('from a process',))\n"
        "p.start()\np.join()\np.exitcode",
        ("from a process\n0",),
    ),
    "a fork that prints": Cell(
        "print('once')\nif not os.fork():\n    print('from a fork')\n    os._exit(0)\nos.wait();", "once\nfrom a fork"
    ),
    "an awaited child": Cell("p = await asyncio.create_subprocess_exec('sh', '-c', 'echo awaited')\nawait p.wait()", ("awaited\n0",)),
    "a warning": Cell("import warnings\nwarnings.warn('careful')", ("[stderr]", "UserWarning: careful")),
    "logging": Cell("import logging\nlogging.warning('logged')", ("[stderr] WARNING:root:logged",)),
    "a recursion without end": Cell("def down(): down()\ndown()", ("RecursionError",), "error"),
}

TABLES = {
    "progress": PROGRESS,
    "exits": EXITS,
    "streams": STREAMS,
    "surrogates": SURROGATES,
    "commands": COMMANDS,
    "magics": MAGICS,
    "displays": DISPLAYS,
    "together": TOGETHER,
}
CELLS = {f"{table}: {name}": cell for table, cells in TABLES.items() for name, cell in cells.items()}

SETUP = (
    "import argparse, asyncio, contextlib, io, os, subprocess, sys, threading\n"
    "from IPython.display import clear_output\nhere = []\nstart = os.getcwd()"
)


@pytest.fixture(scope="module", params=BACKENDS)
def kernel(request: pytest.FixtureRequest, minimal: Environment) -> Iterator[LiveKernel]:
    """One kernel for all cells of a backend."""
    with backend(request.param) as sandbox:
        workspace = Path(tempfile.mkdtemp())
        session = KernelSession(minimal, workspace, sandbox=sandbox, cell_seconds=PATIENCE)
        live = LiveKernel(session, fresh=True)
        try:
            background.wait(session.start())
            assert live.run(SETUP).status == "ok"
            yield live
        finally:
            live.close()
            shutil.rmtree(workspace, ignore_errors=True)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell(kernel: LiveKernel, name: str) -> None:
    cell = CELLS[name]
    before = kernel.run("print(id(here), os.getpid())")
    heard: list[Output] = []
    observation = kernel.run(cell.code, timeout=cell.timeout, on_output=heard.append)
    shown = as_text(observation, sees_images=False)
    assert observation.status == cell.status, told(observation)
    assert not observation.state_lost
    if isinstance(cell.told, str):
        assert shown == cell.told
    else:
        place = 0
        for part in cell.told:
            assert part in shown[place:], shown
            place = shown.index(part, place) + len(part)
    assert not cell.never or cell.never not in shown, shown
    if cell.kinds is not None:
        assert " ".join(output.kind for output in observation.outputs) == cell.kinds
    # whole, and without anything that moves a cursor or cannot be stored
    assert Observation.model_validate_json(observation.model_dump_json()) == observation
    assert not any(sign in output.text for output in observation.outputs for sign in "\r\x08\x1b")
    assert not any(sign in output.text.removeprefix("\r") for output in heard for sign in "\r\x08\x1b")
    # the same process, with its variables and its output
    after = kernel.run("print(id(here), os.getpid())")
    assert [output.text for output in after.outputs] == [output.text for output in before.outputs], told(after)
