"""Asking submitted code what it does: programs that run beside it, and the one value each prints."""

import json
from pathlib import Path

from workbench_grading.confined import run_submitted

# compiled files that came with the submission are not used
_PREAMBLE = """
import importlib, json, sys
sys.dont_write_bytecode, sys.pycache_prefix = True, "/nonexistent"
given = json.loads({given!r})
"""
_IMPORTS = """
import pkgutil
package = importlib.import_module(given["package"])
names = [package.__name__, *(item.name for item in pkgutil.walk_packages(package.__path__, package.__name__ + "."))]
for name in names:
    if not name.endswith("__main__") and name not in given["but"]:
        importlib.import_module(name)
print(json.dumps(sorted(names)))
"""


def ask(code: str, submission: Path, given: object = None, *, timeout: float = 30) -> object:
    """Return the JSON value that ``code`` prints when it runs beside the submission; None if it fails or prints anything else.

    Parameters
    ----------
    code : str
        Has ``given``, and the modules ``importlib``, ``json`` and ``sys``. It must not hold what its answer is compared with.
    submission : Path
        A folder, first on the code's path.
    given : object
        Anything JSON can hold.
    timeout : float
        Seconds.
    """
    done = run_submitted(_PREAMBLE.format(given=json.dumps(given)) + code, submission=submission, timeout=timeout)
    if done.returncode != 0:
        return None
    try:
        return json.loads(done.stdout)
    except (ValueError, RecursionError):
        return None


def import_all(package: str, submission: Path, but: "tuple[str, ...]" = ()) -> object:
    """Import every module of a submitted package, and return the sorted names of all; None if one cannot be imported.

    ``__main__`` is never imported, nor are the modules in ``but``, such as those for other systems.
    """
    return ask(_IMPORTS, submission, {"package": package, "but": list(but)})
