"""Upstream's solution as code cells, and what it would fetch: a task whose own solution needs the network has to have it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from workbench.tasks.checkout import Checkout
from workbench.tasks.importers.harbor import shell
from workbench.tasks.importers.harbor.formats import Upstream

_FETCHES = re.compile(
    r"\b(?:curl|wget|git clone|npm|cargo|uvx?|conda|opam|requests\.get|urlopen|urlretrieve|hf_hub_download|load_dataset|from_pretrained)\b"
)
_ASKS = re.compile(
    r"\bdownload\b|\bpip install\b|\bapt(?:-get)? install\b|\bgit clone\b|\bhugging ?face\b|https?://(?!localhost|127\.0\.0\.1|example\.)",
    re.IGNORECASE,
)

# a script of upstream's is run as upstream does, by a shell in the working directory; what it would install is there
_CELL = """
import subprocess
import tempfile
from pathlib import Path

SCRIPT = {script!r}
FILES = {files!r}

folder = Path(tempfile.mkdtemp())
for name, text in {{**FILES, "solve.sh": SCRIPT}}.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("/solution/", f"{{folder}}/").replace("/oracle/", f"{{folder}}/"))
there = "\\n".join(f"{{tool}}() {{{{ :; }}}}; export -f {{tool}}" for tool in ("apt", "apt-get", "pip", "pip3"))
done = subprocess.run(["bash", "-c", f"{{there}}\\nsource {{folder}}/solve.sh"], cwd={home!r}, capture_output=True, text=True)
print(done.stdout[-3000:], done.stderr[-3000:])
"""


@dataclass
class Solution:
    """What solves a task.

    Attributes
    ----------
    cells : list of str
        What the oracle plays; empty where there is no solution.
    packages : list of str
        What it installs from the package index: any agent would find them there.
    network : list of str
        Why it needs the network.
    """

    cells: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    network: list[str] = field(default_factory=list)


def read(checkout: Checkout, upstream: Upstream, home: str) -> Solution:
    """Return a task's solution, to be played in the folder ``home``, and what speaks for a network that is needed."""
    solution = Solution()
    if found := _ASKS.search(upstream.instruction):
        solution.network.append(f"its instruction speaks of {found.group()!r}")
    if not upstream.solution.is_file():
        return solution
    script = checkout.text(str(upstream.solution.relative_to(checkout.root)))
    texts = {}
    for path in sorted(upstream.solution.parent.rglob("*")) if upstream.solution.parent != upstream.folder else []:
        if path.is_file() and path != upstream.solution and path.stat().st_size < 2**20:
            texts[path.relative_to(upstream.solution.parent).as_posix()] = checkout.data(path).decode(errors="replace")
    for line in shell.without_comments(shell.without_heredocs(script)).replace("\\\n", " ").splitlines():
        try:
            for command in shell.commands(line):
                done = shell.installs(command)
                solution.packages += done.python
                if done.debian:
                    solution.network.append(f"its solution installs {', '.join(done.debian)}")
        except ValueError:
            # half of a text that goes over several lines installs nothing
            continue
    if found := _FETCHES.search("\n".join([shell.without_comments(script), *texts.values()])):
        solution.network.append(f"its solution uses {found.group()!r}")
    solution.cells = [_CELL.format(script=script, files=texts, home=home)]
    return solution
