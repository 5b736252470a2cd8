"""All attacks, and where each can be tried."""

from __future__ import annotations

from . import counters, families, files, grading, jupyter, network, processes, resources, surface, times
from .attack import CATEGORIES, Attack
from .trials import branched, drained, filled, held, outlived, starved

ATTACKS: list[Attack] = sorted(
    [
        *files.ATTACKS,
        *processes.ATTACKS,
        *network.ATTACKS,
        *surface.ATTACKS,
        *resources.ATTACKS,
        *counters.ATTACKS,
        *jupyter.ATTACKS,
        *times.ATTACKS,
        *families.ATTACKS,
        *grading.ATTACKS,
    ],
    key=lambda attack: CATEGORIES.index(attack.category),
)

COLUMNS = {
    "local": "a kernel forked from an image, against another one of the same image",
    "branch": "a branch of such a kernel, against the kernel it was taken from and another branch of that",
    "local alone": "a kernel in a bubblewrap of its own, where images cannot be used, against another one",
    "sandlock": "a kernel under a sandlock supervisor, where there is no bubblewrap, against another one",
    "docker": "a kernel in a container of a Docker engine, against another one of the same image",
    "e2b": "a kernel in a sandbox of E2B, of which a stand-in is tried, against another one",
}
"""Backends, and who attacks whom there."""

SAME_LINE = "what the kernel sends comes over the same line as local's"
ONLY = {
    "branch": "it needs a family: a kernel and its branches",
    "local": "submitted code is graded in a sandbox of this machine, whatever the agent's kernel ran in",
}
OWN_SIZE = "how large a sandbox is the service holds, by giving each a machine of its own; the stand-in has none to give"
REMOTE = ("docker", "e2b")
OWN_LINE = "the kernel's files and processes are another machine's or a container's, and are tried by the backend's own tests"


def beyond(attack: Attack, backend: str) -> str:
    """Return why ``attack`` makes no sense on ``backend``; empty where it does."""
    if attack.only not in ("", backend):
        return ONLY[attack.only]
    if attack.over_the_line and backend not in ("local", *REMOTE):
        return SAME_LINE
    if attack.trial in (filled, outlived, branched) and backend in REMOTE:
        return OWN_LINE
    if attack.trial in (held, starved, drained) and attack.category == "resources" and backend == "e2b":
        return OWN_SIZE
    return attack.beyond.get(backend, "")
