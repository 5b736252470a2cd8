"""Hostile programs that go for the messages between kernel and workbench, and for whoever looks at what they show."""
# ruff: noqa: E501  (programs as they are run)

from .arena import MIB
from .attack import Attack
from .trials import branched, displayed, forged, harmless, pulled, refused

IMAGES_ONLY = "no kernel there is forked with its memory"

ATTACKS = [
    Attack(
        "Jupyter surface",
        "another kernel's connection file",
        "Reads the key by which another kernel knows its messages.",
        "refused",
        refused,
        """
for path in facts['victim_files']:
    for name in ('kernel.json', 'inside.json'):
        attempt(path, lambda: read(os.path.join(path, name)))
""",
    ),
    *(
        Attack("Jupyter surface", name, goes_for, "harmless", forged, code, over_the_line=True)
        for name, goes_for, code in (
            (
                "garbage on every socket",
                "Sends what is no message to each of its kernel's sockets.",
                """
for port, kind in (('shell_port', zmq.DEALER), ('control_port', zmq.DEALER), ('stdin_port', zmq.DEALER), ('iopub_port', zmq.SUB), ('hb_port', zmq.REQ)):
    made = dial(port, kind)
    if kind != zmq.SUB:
        for frames in ([b''], [b'x'], [b'<IDS|MSG>'], [b'<IDS|MSG>', b'bad', b'{}', b'{}', b'{}', b'{}'], [os.urandom(1000)] * 10):
            made.send_multipart(frames[:1] if kind == zmq.REQ else frames)
            if kind == zmq.REQ: break
""",
            ),
            (
                "forged requests",
                "Sends its own kernel requests with a valid signature, as if workbench had.",
                """
made = dial('shell_port', zmq.DEALER)
for content in ([], 'text', None, 7, {}, {'code': 5}, {'code': 'raise SystemExit', 'silent': 'x'}, {'code': '1/0', 'stop_on_error': True}):
    session.send(made, 'execute_request', content)
for kind in ('no_such_request', 'complete_request', 'inspect_request', 'comm_open', 'comm_msg', 'is_complete_request', '_x', ''):
    session.send(made, kind, {})
""",
            ),
            (
                "a forged shutdown",
                "Asks its own kernel to end.",
                "session.send(dial('control_port', zmq.DEALER), 'shutdown_request', {'restart': True})\nimport time\nwhile True: time.sleep(1)",
            ),
            (
                "outputs without a signature",
                "Sends outputs that nobody signed.",
                "raw(b'', b'{}', b'{}', b'{}', b'{}')\nraw(b'bad', b'{}')\nraw()\nraw(b'\\xff' * 9)\niopub.send_multipart([b'x'])\niopub.send_multipart([b'kernel.x', b'x'] * 50)",
            ),
            (
                "outputs that are no JSON",
                "Signs what cannot be parsed.",
                "for junk in (b'', b'{', b'[]', b'null', b'7', b'\\xff\\xfe', b'NaN', b'[' * 50000): signed(junk, junk, junk, junk); signed(headed('stream'), this, {}, junk)",
            ),
            (
                "headers of a wrong shape",
                "Signs messages whose headers are lists, numbers and dates that never were.",
                """
for header in ({}, {'msg_type': 7}, {'msg_type': None, 'msg_id': []}, {'msg_type': 'status', 'msg_id': {}}, [], 'x', {**headed('stream'), 'date': 'never'}, {**headed('stream'), 'date': 10 ** 400}):
    for parent_ in ({}, [], None, 'x', {'msg_id': []}, this):
        signed(header, parent_, {}, {'name': 'stdout', 'text': 'forged'})
""",
            ),
            (
                "contents of a wrong shape",
                "Signs outputs that hold the wrong things, nested 900 deep.",
                """
deep = []
for _ in range(900): deep = [deep]
for kind in ('stream', 'status', 'display_data', 'execute_result', 'error', 'update_display_data', 'clear_output', 'execute_input'):
    for content in ({}, [], None, 'x', {'text': 7, 'name': 'stdout'}, {'text': deep, 'name': 'stdout'}, {'data': []}, {'data': {'text/plain': 7, 'image/png': {}}}, {'data': {'text/plain': deep}},
                    {'execution_state': []}, {'execution_state': 7}, {'ename': 7}, {'ename': 'E', 'evalue': 'v', 'traceback': [deep, 7, None]}, {'data': {'text/plain': 'x'}, 'transient': []},
                    {'data': {'application/vnd.workbench.namespace+json': {'changes': [deep, {'name': deep, 'change': 'new'}, {'name': 'x', 'change': []}]}}}):
        signed(headed(kind), this, {}, content)
""",
            ),
            (
                "half a character",
                "Shows text that no file can hold.",
                """
for kind, content in (('stream', {'name': 'stdout', 'text': '\\ud800'}), ('error', {'ename': '\\ud800', 'evalue': '\\ud800', 'traceback': ['\\ud800']}),
                      ('display_data', {'data': {'text/plain': '\\ud800', 'text/html': '\\ud800'}}),
                      ('display_data', {'data': {'application/vnd.workbench.namespace+json': {'changes': [{'name': '\\ud800', 'change': 'new', 'summary': '\\ud800'}]}}})):
    signed(headed(kind), this, {}, content)
""",
            ),
            (
                "escapes in two halves",
                "Cuts an escape for the terminal in two, so that no part of it is one.",
                "say('stream', {'name': 'stdout', 'text': '\\x1b'})\nsay('stream', {'name': 'stdout', 'text': ']0;owned\\x07\\x1b\\x1b[2J[2J'})",
            ),
            (
                "an early end",
                "Says that its cell is over, and goes on.",
                "say('status', {'execution_state': 'idle'})\nimport time\nfor _ in range(10): say('status', {'execution_state': 'idle'})",
            ),
            (
                "an early end and a reply",
                "Answers its own cell before it is over.",
                """
say('status', {'execution_state': 'idle'})
for stream in [kernel.shell_stream] if getattr(kernel, 'shell_stream', None) else []:
    session.send(stream, 'execute_reply', {'status': 'ok'}, parent=parent, ident=kernel._parent_ident.get('shell') if isinstance(kernel._parent_ident, dict) else kernel._parent_ident)
""",
            ),
            (
                "a huge frame",
                "Sends a message with a frame of 100 MiB.",
                f"iopub.send_multipart([b'kernel.x', b'<IDS|MSG>', b'x' * {100 * MIB}])",
            ),
            (
                "a message of many large frames",
                "Sends one message of 400 MiB in 50 frames, each of which would be let in.",
                f"part = bytes({8 * MIB})\niopub.send_multipart([b'kernel.x', b'<IDS|MSG>', *[part] * 50], copy=False)",
            ),
            (
                "a message of a million frames",
                "Sends one message of a million empty frames.",
                "iopub.send_multipart([b'kernel.x', b'<IDS|MSG>', *[b''] * 1_000_000])",
            ),
            (
                "its own files exchanged",
                "Puts links and folders where its connection file and its sockets were.",
                """
folder = os.path.dirname(ipykernel.get_connection_file())
for name in os.listdir(folder):
    os.remove(os.path.join(folder, name))
    os.symlink(facts['outside'], os.path.join(folder, name)) if name.endswith('json') else os.mkdir(os.path.join(folder, name))
""",
            ),
            (
                "its sockets closed",
                "Hangs up.",
                "for name in ('iopub_thread', 'shell_socket', 'control_socket'): getattr(getattr(kernel, name, None), 'close', lambda: None)()",
            ),
            (
                "its heart and threads stopped",
                "Ends the threads that answer for it.",
                "import ctypes\nfor each in threading.enumerate():\n    if each is not threading.current_thread(): ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(each.ident), ctypes.py_object(SystemExit))",
            ),
            (
                "other words on its sockets",
                "Serves on its own sockets itself, and speaks anything but the protocol.",
                """
folder = os.path.dirname(ipykernel.get_connection_file())
kept = []
for name in os.listdir(folder):
    if '-' in name:
        os.remove(os.path.join(folder, name))
        server = socket.socket(socket.AF_UNIX)
        server.bind(os.path.join(folder, name))
        server.listen()
        kept.append(server)
def speak(server):
    while True:
        visitor = server.accept()[0]
        try:
            visitor.sendall(os.urandom(64) * 1000)
        except OSError: pass
for server in kept: threading.Thread(target=speak, args=[server], daemon=True).start()
""",
            ),
            (
                "comms",
                "Opens comms that nobody asked for, and sends through them.",
                "from comm import create_comm\nfor i in range(300):\n    made = create_comm(target_name=f'x{i}', data={'code': '1', 'deep': [[[]]]})\n    made.send({'x' * 1000: 'y' * 100000})\n    made.close()",
            ),
            (
                "questions to the user",
                "Asks for input and for a password, behind the back of what refuses that.",
                """
for prompt in ('name? ', 7, None, 'x' * 1000000):
    session.send(kernel.stdin_socket, 'input_request', {'prompt': prompt, 'password': True}, parent=parent, ident=kernel._parent_ident.get('shell') if isinstance(kernel._parent_ident, dict) else None)
""",
            ),
            (
                "payloads",
                "Has its reply ask the user's frontend to run more code, leave, and open a file.",
                "get_ipython().payload_manager.write_payload({'source': 'set_next_input', 'text': '!rm -rf ~', 'replace': True})\n"
                "get_ipython().payload_manager.write_payload({'source': 'ask_exit', 'keepkernel': False})\n"
                "get_ipython().payload_manager.write_payload({'source': 'edit_magic', 'filename': facts['outside'], 'line_number': 1})",
            ),
        )
    ),
    *(
        Attack("Jupyter surface", name, goes_for, "harmless", displayed, code, told)
        for name, goes_for, code, told in (
            (
                "hostile markup",
                "Shows HTML, JavaScript and SVG that would run in the user's page with the user's rights.",
                "from IPython.display import display\nhook = '<script>fetch(\"/api/contents\")</script><img src=x onerror=alert(1)>'\n"
                "display({'text/plain': 'shown', 'text/html': hook, 'application/javascript': 'alert(1)', 'image/svg+xml': '<svg onload=\"alert(1)\"/>',"
                " 'text/markdown': '[x](javascript:alert(1))', 'application/vnd.jupyter.widget-view+json': {'model_id': 'x'},"
                " 'application/x-python-pickle': 'gASV'}, raw=True)",
                "shown",
            ),
            (
                "a picture that is none",
                "Shows as pictures what is script, or no base64.",
                "from IPython.display import display\nfor data in ('<script>alert(1)</script>', '\"onerror=alert(1)//', 'javascript:alert(1)', 'A' * 7, 7, ['x'], None):\n"
                "    display({'text/plain': 'shown', 'image/png': data, 'image/jpeg': data}, raw=True)",
                "shown",
            ),
            (
                "escapes for the terminal",
                "Prints escapes that rename the window, clear it, and write the clipboard.",
                "print('before\\x1b]0;owned\\x07\\x1b[2J\\x1b]52;c;cm0gLXJm\\x07\\x9b31m\\x08\\x08after')\n'\\x1b[31mred'",
                "before",
            ),
        )
    ),
    *(
        Attack(
            "Jupyter surface",
            name,
            goes_for,
            "harmless",
            pulled,
            f"{code}\nget_ipython().kernel.shell_handlers['workbench_pull_request'] = reply",
            beyond={},
        )
        for name, goes_for, code in (
            (
                "a pickle offered as a value",
                "Answers with a pickle that runs code where it is opened, under the name of every format.",
                """
import pickle
class Trap:
    def __reduce__(self): return (exec, (f"open({facts['outside_folder'] + '/made'!r}, 'w').write('sprung')",))
data = pickle.dumps(Trap())
formats = iter(['pickle', 'npy', 'arrow', 'json', 'png', 'bytes; pickle'])
def reply(stream, ident, parent):
    kernel = get_ipython().kernel
    kernel.session.send(stream, 'workbench_pull_reply', {'status': 'ok', 'format': next(formats, 'npy'), 'size': len(data)}, parent=parent, ident=ident, buffers=[data])
""",
            ),
            (
                "an array of objects offered as a value",
                "Answers with an npy file whose elements are pickles.",
                """
import pickle
class Trap:
    def __reduce__(self): return (exec, (f"open({facts['outside_folder'] + '/made'!r}, 'w').write('sprung')",))
header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
header += b' ' * (118 - len(header) - 1) + b'\\n'
data = b'\\x93NUMPY\\x01\\x00' + struct.pack('<H', len(header)) + header + pickle.dumps([Trap()])
def reply(stream, ident, parent):
    kernel = get_ipython().kernel
    kernel.session.send(stream, 'workbench_pull_reply', {'status': 'ok', 'format': 'npy', 'size': len(data)}, parent=parent, ident=ident, buffers=[data])
""",
            ),
            (
                "a value without an end",
                "Announces a value of any size and sends another, or none.",
                """
answers = iter([{'format': 'json', 'size': 2 ** 62}])
def reply(stream, ident, parent):
    kernel = get_ipython().kernel
    kernel.session.send(stream, 'workbench_pull_reply', {'status': 'ok', **next(answers, {'format': 'json', 'size': -1})}, parent=parent, ident=ident, buffers=[b'x'] * 100)
""",
            ),
            (
                "an answer of a wrong shape",
                "Answers a request for a value with what is no answer.",
                """
def reply(stream, ident, parent):
    kernel = get_ipython().kernel
    kernel.session.send(stream, 'workbench_pull_reply', {'status': [], 'message': {'x': ['\\x1b[2J'] * 1000}, 'hint': 7, 'format': {}, 'size': 'x'}, parent=parent, ident=ident)
""",
            ),
        )
    ),
    *(
        Attack("Jupyter surface", name, goes_for, "harmless", branched, code, beyond={"local alone": IMAGES_ONLY, "sandlock": IMAGES_ONLY})
        for name, goes_for, code in (
            (
                "a branch of a wrong shape",
                "Answers the request for a branch with lists where text should be, nested and huge.",
                """
deep = []
for _ in range(900): deep = [deep]
def reply(stream, ident, parent):
    kernel = get_ipython().kernel
    kernel.session.send(stream, 'workbench_branch_reply', {'refused': [deep], 'not_carried': ['x' * 100000] * 100}, parent=parent, ident=ident)
get_ipython().kernel.shell_handlers['workbench_branch_request'] = reply
""",
            ),
            (
                "a branch that is somebody else",
                "Reports in the place of its branch, with the numbers of other processes and walls that do not stand.",
                """
kept = []
def reply(stream, ident, parent):
    request = parent['content']
    root = request['root']
    for number in (os.getpid(), 2 ** 70, 'x', None, -1, 1):
        with contextlib.suppress(OSError):
            made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            made.settimeout(0.1)
            kept.append(made)
            made.connect(root + request['keeper'])
            made.send(json.dumps({'walls': ['every'], 'missing': [], 'number': number}).encode())
    kernel = get_ipython().kernel
    kernel.session.send(stream, 'workbench_branch_reply', {'refused': '', 'not_carried': []}, parent=parent, ident=ident)
get_ipython().kernel.shell_handlers['workbench_branch_request'] = reply
""",
            ),
        )
    ),
    Attack(
        "Jupyter surface",
        "a branch nobody asked for",
        "Asks its own kernel for a branch whose root is the whole of what it sees, or lies above.",
        "harmless",
        harmless,
        """
from ipykernel.kernelapp import IPKernelApp
kernel = get_ipython().kernel
import branch as taken
class Nobody:
    def send(self, *_, **__): pass
for root in ('/', '/..', '/proc/1/root', '/workspace'):
    child = os.fork()
    if child == 0:
        try:
            taken.settle(IPKernelApp.instance(), {'root': root, 'sockets': [], 'readable': ['/'], 'writable': ['/'], 'keeper': '/nothing', 'connection_file': '/nothing'})
        except BaseException:
            pass
        finally:
            with contextlib.suppress(BaseException):
                print(read(facts['outside']))
            os._exit(0)
    os.waitpid(child, 0)
print('tried')
""",
        told="tried|ModuleNotFoundError",
        beyond={"local alone": IMAGES_ONLY, "sandlock": IMAGES_ONLY},
    ),
]
