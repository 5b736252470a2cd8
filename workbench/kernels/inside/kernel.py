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
import cells
import packages
import showing
import streams
import workbench_tools  # noqa: F401 - an agent's kernel finds it imported
import zmq
from ipykernel import iostream, ipkernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.profiledir import ProfileDir
from tornado.ioloop import IOLoop
from traitlets.config import Config
from workbench_exchange import handlers

HERE = os.path.dirname(os.path.abspath(__file__))


class SysWithoutModules:
    """Stands for ``sys`` where only its modules are looked at."""

    modules: dict = {}

    def __getattr__(self, name: str) -> object:
        return getattr(sys, name)


class Kernel(IPKernelApp):
    """A kernel that keeps no history, reads no configuration, and takes over an existing shell."""

    def parse_command_line(self, *_: object, **__: object) -> None:
        """Nothing: what it would say is given as traits."""

    def init_config_files(self) -> None:
        """Nothing: there are none."""

    def load_config_file(self, *_: object, **__: object) -> None:
        """Keep no history; an agent's kernel has no user who could have configured more."""
        self.update_config(CONFIG)

    def log_connection_info(self) -> None:
        """Remember the sockets, without logging them."""
        self.log_level, level = logging.CRITICAL, self.log_level
        super().log_connection_info()
        self.log_level = level

    def init_crash_handler(self) -> None:
        """Nothing: what goes wrong is in the log."""

    def init_io(self) -> None:
        """Make streams that no cell can close; by the name that the trait has, they could not be imported any more."""
        iostream.OutStream = streams.Stream
        try:
            super().init_io()
        finally:
            iostream.OutStream = streams.OutStream

    def init_kernel(self) -> None:
        """Make the kernel without its look at every module there is, which would unshare the image's memory for nothing."""
        ipkernel.sys = SysWithoutModules()
        try:
            super().init_kernel()
        finally:
            ipkernel.sys = sys

    def init_path(self) -> None:
        """Nothing: until the first cell, modules of the workspace cannot be imported."""

    def init_code(self) -> None:
        """Run nothing; what is there to begin with is hidden from ``%who``, and kept by ``%reset``."""
        if "" not in sys.path:
            self.shell.events.register("pre_run_cell", see_workspace)
        self.shell.user_ns_hidden.update(self.shell.user_ns)
        self.shell._sys_modules_keys = MODULES_AT_FIRST

    def init_shell(self) -> None:
        """Point a shell that was made before the kernel to it."""
        super().init_shell()
        self.shell.kernel = self.shell.parent = self.kernel


def see_workspace(_: object = None) -> None:
    """Let cells import modules of the workspace, as in a notebook beside them.

    Not before the first cell: a previous kernel may have left files there that are named like modules which this one
    needs to start. If it could not start, the agent would have decided that its run does not count.
    """
    sys.path.insert(0, "")
    ZMQInteractiveShell.instance().events.unregister("pre_run_cell", see_workspace)


async def wake_on_signals() -> None:
    """Let a signal wake the loop where it sleeps: a cell that only awaits could not be interrupted otherwise."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, lambda: None)


def prepare(modules: list) -> list:
    """Import and make all that every kernel needs, and ``modules``; return those that cannot be imported.

    Called once, before the forks. What is made here is shared by all kernels, and nothing here may start a thread.
    """
    os.makedirs(os.environ["IPYTHONDIR"], exist_ok=True)
    profile = ProfileDir.create_profile_dir_by_name(os.environ["IPYTHONDIR"], "default")
    # there before matplotlib, whose figures it shows when a cell is over
    shell = ZMQInteractiveShell.instance(config=CONFIG, profile_dir=profile, compiler_class=cells.CellKernel.compiler_class.default_value)
    showing.install(shell)
    cells.install(shell)
    packages.install(shell)
    failed = []
    for name in [*LATE_IMPORTS, *modules]:
        try:
            importlib.import_module(name)
        except Exception as error:
            if name in modules:
                failed.append(f"{name}: {type(error).__name__}: {error}"[:200])
    # what the first cell of every kernel would look up, import and allocate
    shell.run_cell("pass", silent=True)
    MODULES_AT_FIRST.update(sys.modules)
    return failed


OURS = ("branch", "cells", "confine", "image", "kernel", "packages", "showing", "streams", "survey", "system_calls")
"""Names of modules that the agent may give to its own."""

CONFIG = Config({"HistoryManager": {"enabled": False}})
MODULES_AT_FIRST: set = set()

LATE_IMPORTS = ("ipykernel.debugger", "IPython.core.debugger", "pdb", "sandlock", "socket", "uuid")


def serve(connection_file: str) -> None:
    """Serve on ``connection_file`` until killed."""
    # what the agent imports is its own, and none of these
    for name in OURS:
        sys.modules.pop(name, None)
    sys.path[:] = [path for path in sys.path if path != HERE]
    packages.lay_over()
    while True:
        try:
            run(connection_file)
            return
        except branch.Branched as branched:
            branch.settle(Kernel.instance(), branched.request)
            for singleton in (Kernel, cells.CellKernel):
                singleton.clear_instance()
            zmq.Context._instance = None
            connection_file = branched.request["connection_file"]


def run(connection_file: str) -> None:
    """Make a kernel around the shell, or a new one, and let it serve."""
    fresh = not ZMQInteractiveShell.initialized()
    if not fresh:
        # the folders lay in the image's own /tmp
        profile = ZMQInteractiveShell.instance().profile_dir
        os.makedirs(profile.location, exist_ok=True)
        profile.check_dirs()
    app = Kernel.instance(connection_file=connection_file, log_level=logging.ERROR, kernel_class=cells.CellKernel)
    app.initialize([])
    app.session.pack = cells.tolerant(app.session.pack)
    if fresh:
        showing.install(app.shell)
        cells.install(app.shell)
        packages.install(app.shell)
    app.kernel.streams = streams.Streams()
    branch.install(app.kernel)
    handlers.install(app.kernel)
    IOLoop.current().add_callback(wake_on_signals)
    start = app.start
    while True:
        try:
            start()
            return
        except branch.Branched:
            raise
        except SystemExit:
            # a task that a cell left to the event loop exits: it ends, and the kernel goes on
            start = IOLoop.current().start


if __name__ == "__main__":
    serve(sys.argv[1])
