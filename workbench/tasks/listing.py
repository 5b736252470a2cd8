"""What only a benchmark's own code can tell: asked behind walls, once a version of a checkout."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench import paths
from workbench.errors import SandboxError, TaskError
from workbench.kernels import environments, runtime, walls
from workbench.kernels.view import INSIDE, Mount, View
from workbench.tasks.checkout import Checkout
from workbench.tasks.files import place

_SECONDS = 300


def listed(
    checkout: Checkout,
    folder: Path,
    program: Path,
    *,
    inside: str,
    environment: str = "python-min",
    packages: Sequence[str] = (),
    asked: str = "",
) -> Any:
    """Return the JSON that ``program`` prints when it is run behind walls with a folder of the checkout below ``/checkout``.

    Parameters
    ----------
    checkout : Checkout
        Somebody else's code.
    folder : Path
        The part of it that the program sees; read-only.
    program : Path
        A program of ours. It runs with no network, and never on this machine's own account.
    inside : str
        What the folder is called below ``/checkout``.
    environment : str
        Whose Python it runs with; built when the program is run.
    packages : sequence of str
        What it needs beside the environment's own.
    asked : str
        What the program finds as ``sys.argv[2]``.

    Raises
    ------
    TaskError
        If the program fails: the checkout is then not what it should be.
    SandboxError
        If no walls stand here.
    """
    made = environments.extend(environments.find(environment), packages)
    content = checkout.fingerprint(folder)
    parts = [content, program.read_text(encoding="utf-8"), made.hash, asked]
    kept = paths.cache() / "listings" / f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}.json"
    if kept.is_file():
        return json.loads(kept.read_bytes())
    environments.build(made)
    scratch = runtime.folder(f"l-{secrets.token_hex(4)}")
    try:
        # a copy, since what the user may read here another user need not
        files, name = checkout.located(folder)
        files.copy(name, place(scratch / "checkout", inside))
        checkout.look_again()
        if checkout.fingerprint(folder) != content:
            raise TaskError(f"{folder} was changed while it was copied", hint="start it again")
        walls.let_read(scratch / "checkout")
        shutil.copyfile(program, scratch / "program.py")
        view = View(made, [Mount(scratch / "checkout", "/checkout"), Mount(scratch / "program.py", "/program.py")])
        enclosure = walls.enclose(INSIDE / "prepare.py", ["/program.py", asked], view, made.limits, scratch)
        done = subprocess.run(
            enclosure.argv, env=enclosure.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise TaskError(f"{folder} took longer than {_SECONDS} s to say what is in it") from None
    finally:
        runtime.remove(scratch)
    report, _, said = done.stdout.partition("\n")
    if '"walls"' not in report:
        raise SandboxError(f"the sandbox did not start: {done.stderr.strip()[-600:]}", hint="workbench doctor says what is missing")
    try:
        found = json.loads(said.strip().splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise TaskError(f"{folder} cannot be read: {last[:500]}", hint="is this a complete checkout of the benchmark?") from None
    kept.parent.mkdir(parents=True, exist_ok=True)
    new = kept.with_name(f"{kept.name}.{secrets.token_hex(4)}")
    new.write_text(json.dumps(found), encoding="utf-8")
    new.replace(kept)
    return found
