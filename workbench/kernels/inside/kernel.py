"""Become an IPython kernel whose cells also say what they changed in the namespace.

Started by ``launch.py`` behind the walls, as ``kernel.py CONNECTION_FILE``; or prepared once and served by each fork of
``image.py``. It never imports workbench.
"""

import asyncio
import importlib
import logging
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import branch
import showing
import zmq
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.zmqshell import ZMQInteractiveShell
from tornado.ioloop import IOLoop
from traitlets.config import Config
from workbench_exchange import handlers

HERE = os.path.dirname(os.path.abspath(__file__))


class Kernel(IPKernelApp):
    """A kernel that keeps no history, reads no configuration, and takes over a shell that is there already."""

    def load_config_file(self, *_: object, **__: object) -> None:
        """Keep no history; an agent's kernel has no user who could have configured more."""
        self.update_config(Config({"HistoryManager": {"enabled": False}}))

    def log_connection_info(self) -> None:
        """Remember the sockets; nobody reads of them in the log."""
        self.log_level = logging.CRITICAL
        super().log_connection_info()

    def init_crash_handler(self) -> None:
        """Nothing: what goes wrong is in the log."""

    def init_shell(self) -> None:
        """Point a shell that was made before the kernel to it."""
        super().init_shell()
        self.shell.kernel = self.shell.parent = self.kernel


async def wake_on_signals() -> None:
    """Let a signal wake the loop where it sleeps: a cell that only awaits could not be interrupted otherwise."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, lambda: None)


def prepare(modules: list) -> list:
    """Import and make all that every kernel needs, and ``modules``; return those that cannot be imported.

    Called once, before the forks. What is made here is shared by all kernels, and nothing here may start a thread.
    """
    failed = []
    for name in [*LATE_IMPORTS, *modules]:
        try:
            importlib.import_module(name)
        except Exception as error:
            if name in modules:
                failed.append(f"{name}: {type(error).__name__}: {error}"[:200])
    return failed


LATE_IMPORTS = ("ipykernel.debugger",)


def serve(connection_file: str) -> None:
    """Serve on ``connection_file`` until killed."""
    # what the agent imports is its own: modules of the workspace, as in a notebook beside them, and none of these
    for name in [name for name, module in sys.modules.items() if (getattr(module, "__file__", None) or "").startswith(HERE)]:
        if name != "__main__" and not name.startswith("workbench_exchange"):
            del sys.modules[name]
    sys.path[:] = ["", *(path for path in sys.path if path != HERE)]
    while True:
        try:
            run(connection_file)
            return
        except branch.Branched as branched:
            branch.settle(Kernel.instance(), branched.request)
            for singleton in (Kernel, IPythonKernel):
                singleton.clear_instance()
            zmq.Context._instance = None
            connection_file = branched.request["connection_file"]


def run(connection_file: str) -> None:
    """Make a kernel around the shell, or a new one, and let it serve."""
    fresh = not ZMQInteractiveShell.initialized()
    app = Kernel.instance(connection_file=connection_file)
    app.initialize([])
    if fresh:
        showing.install(app.shell)
        if "matplotlib.pyplot" in sys.modules:
            # imported before there was a shell, it does not know of the one that is to show its figures
            app.shell.enable_matplotlib("inline")
    branch.install(app.kernel)
    handlers.install(app.kernel)
    IOLoop.current().add_callback(wake_on_signals)
    app.start()


if __name__ == "__main__":
    serve(sys.argv[1])
