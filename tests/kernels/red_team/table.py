"""All attacks, and where each can be tried."""

from __future__ import annotations

from . import families, files, jupyter, network, processes, resources, surface, times
from .attack import CATEGORIES, Attack

ATTACKS: list[Attack] = sorted(
    [
        *files.ATTACKS,
        *processes.ATTACKS,
        *network.ATTACKS,
        *surface.ATTACKS,
        *resources.ATTACKS,
        *jupyter.ATTACKS,
        *times.ATTACKS,
        *families.ATTACKS,
    ],
    key=lambda attack: CATEGORIES.index(attack.category),
)

COLUMNS = {
    "local": "a kernel forked from an image, against another one of the same image",
    "branch": "a branch of such a kernel, against the kernel it was taken from and another branch of that",
    "local alone": "a kernel in a bubblewrap of its own, where images cannot be used, against another one",
    "sandlock": "a kernel under a sandlock supervisor, where there is no bubblewrap, against another one",
}
"""Backends, and who attacks whom there."""

SAME_LINE = "what the kernel sends comes over the same line as local's"
NO_FAMILY = "it needs a family: a kernel and its branches"


def beyond(attack: Attack, backend: str) -> str:
    """Return why ``attack`` makes no sense on ``backend``; empty where it does."""
    if attack.only not in ("", backend):
        return NO_FAMILY
    if attack.over_the_line and backend != "local":
        return SAME_LINE
    return attack.beyond.get(backend, "")
