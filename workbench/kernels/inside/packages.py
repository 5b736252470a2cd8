"""Where ``pip`` installs in a kernel: into a virtual environment of the kernel's own, on top of the one that it cannot change.

It lies in the kernel's home and ends with it. Packages of the environment below count as installed, and can be replaced by
other versions on top of them.
"""

import contextlib
import importlib
import importlib.util
import os
import shlex
import sys
import sysconfig

LASTS = "Note: what pip installs here lasts until this kernel is restarted or ends."


def lay_over() -> None:
    """Make the virtual environment, and let this process, its children and pip find it."""
    if importlib.util.find_spec("pip") is None:
        return
    folder = os.path.join(os.environ["HOME"], "packages")
    below = sysconfig.get_path("purelib")
    above = os.path.join(folder, "lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
    python = os.path.join(folder, "bin", "python")
    for path in (above, os.path.dirname(python)):
        os.makedirs(path, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.symlink(sys.executable, python)
    for path, text in (
        (os.path.join(folder, "pyvenv.cfg"), f"home = {sys.base_prefix}/bin\ninclude-system-site-packages = false\n"),
        (os.path.join(above, "environment.pth"), f"{below}\n"),
    ):
        with open(path, "w") as file:
            file.write(text)
    if above not in sys.path:
        sys.path.insert(sys.path.index(below) if below in sys.path else len(sys.path), above)
    os.environ.update(
        PYTHONPATH=above,
        PIP_PYTHON=python,
        # a sandbox has little room, and nobody who could answer
        PIP_NO_CACHE_DIR="1",
        PIP_NO_INPUT="1",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_ROOT_USER_ACTION="ignore",
        # most sandboxes have no network, and a host that was refused stays refused
        PIP_RETRIES="1",
    )


def install(shell: object) -> None:
    """Give ``shell`` a ``%pip`` after which the packages can be imported, and that says how long they last."""

    def pip(line: str) -> None:
        """Run pip in this kernel: ``%pip install PACKAGE``."""
        shell.system(f"{shlex.quote(sys.executable)} -m pip {line}")
        importlib.invalidate_caches()
        print(LASTS)

    shell.register_magic_function(pip, "line")
