"""An IPython kernel that survives what cells do to it: to its streams, to its standard input, to the encoding of its messages."""

import contextlib
import json
import os
import subprocess
import sys
import warnings

from ipykernel.ipkernel import IPythonKernel
from IPython.core.autocall import ZMQExitAutocall
from IPython.core.error import StdinNotImplementedError
from jupyter_client.jsonutil import json_default

NOBODY = "there is nobody to answer: put the value into the code instead of asking for it"


class CellKernel(IPythonKernel):
    """A kernel whose cells end, and whose output goes on, whatever a cell does to the streams.

    ``streams`` is set when they have been made.
    """

    streams = None

    def set_parent(self, ident: object, parent: dict, channel: str = "shell") -> None:
        """Begin to handle a request; a thread may have replaced a stream since the last one."""
        if channel == "shell" and self.streams is not None:
            self.put_back_streams()
        super().set_parent(ident, parent, channel)

    async def process_control(self, message: object) -> None:
        """Handle a request that comes while a cell runs, for example an interrupt, with whatever streams the cell has now."""
        try:
            await super().process_control(message)
        except Exception:
            # they cannot be flushed; all else was done
            self._publish_status("idle", "control")

    async def do_execute(self, *args: object, **kwargs: object) -> dict:
        """Run a cell, then put back the streams that it has replaced: what follows would fail to flush them."""
        try:
            return await super().do_execute(*args, **kwargs)
        finally:
            self.put_back_streams()

    def put_back_streams(self) -> None:
        """Put back the streams as well as it can be done: a kernel without memory or descriptors must answer all the same."""
        with contextlib.suppress(Exception):
            self.streams.put_back()

    def raw_input(self, prompt: object = "") -> str:
        """Answer ``input`` from the ``sys.stdin`` that a cell has put there, or from whoever is there to answer."""
        if sys.stdin is not None and sys.stdin is not sys.__stdin__:
            print(prompt, end="", flush=True)
            line = sys.stdin.readline()
            if not line:
                raise EOFError("EOF when reading a line")
            return line.rstrip("\n")
        if not self._allow_stdin:
            raise StdinNotImplementedError(f"input() was called, and {NOBODY}")
        return super().raw_input(prompt)

    def getpass(self, *args: object, **kwargs: object) -> str:
        """Ask for a password, if somebody is there to answer."""
        if not self._allow_stdin:
            raise StdinNotImplementedError(f"getpass() was called, and {NOBODY}")
        return super().getpass(*args, **kwargs)


class Exit(ZMQExitAutocall):
    """``exit`` and ``quit``: they end the cell, as ``sys.exit`` does, and not the kernel."""

    def __call__(self, code: object = None, *, keep_kernel: object = None) -> None:  # noqa: ARG002 - what IPython's own takes
        """End the cell."""
        raise SystemExit if code is None else SystemExit(code)


def install(shell: object) -> None:
    """Let cells of ``shell`` exit, show things and run commands without harm to its kernel, which has ``streams`` by then."""
    exiter = shell.exiter = Exit(shell)
    for name in ("exit", "quit"):
        shell.user_ns[name] = shell.user_ns_hidden[name] = exiter
        # for modules that a cell imports
        shell.builtin_trap.auto_builtins[name] = exiter
    # said on exit, and wrong here
    warnings.filterwarnings("ignore", message="To exit: use 'exit'")
    shell.ask_exit = exiter
    shell.display_pub._flush_streams = lambda: shell.kernel.streams.flush()
    for owner, name in ((shell.displayhook, "finish_displayhook"), (shell, "_showtraceback")):
        setattr(owner, name, speaking(shell, getattr(owner, name)))
    shell.system = lambda command: system(shell, shell.var_expand(command, depth=1))


def speaking(shell: object, method: object) -> object:
    """Return ``method``, which flushes the streams, so that it finds the kernel's own."""

    def spoken(*args: object) -> object:
        with shell.kernel.streams.speaking():
            return method(*args)

    return spoken


def system(shell: object, command: str) -> None:
    """Run a command for ``!``: it reads the end of file at once, and its output is that of the cell, or of whoever captures it."""
    captured = sys.stdout is not shell.kernel.streams.own["stdout"]
    done = subprocess.run(
        command,
        shell=True,
        executable=os.environ.get("SHELL"),
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if captured else 1,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if captured:
        print(done.stdout.decode(errors="replace"), end="")
    # of a command that a signal ended, the shell returns 128 and the signal
    code = 128 - done.returncode if done.returncode > 128 else done.returncode
    shell.user_ns["_exit_code"] = code
    if code and shell.system_raise_on_error:
        raise subprocess.CalledProcessError(code, command)


def tolerant(pack: object) -> object:
    """Return ``pack``, which makes bytes of a message, so that it replaces characters that UTF-8 cannot encode."""

    def packed(message: object) -> bytes:
        try:
            return pack(message)
        except UnicodeEncodeError:
            return json.dumps(message, default=json_default, ensure_ascii=False).encode("utf-8", "replace")

    return packed
