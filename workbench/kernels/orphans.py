"""What dead processes left, in every kind of sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import entry_points

from workbench.errors import SandboxError
from workbench.kernels.provisioners.base import SandboxProvisioner

GROUP = "jupyter_client.kernel_provisioners"
PREFIX = "workbench-"


@dataclass
class Swept:
    """What a sweep did.

    Attributes
    ----------
    removed : dict
        Per sandbox, the names of what was removed.
    skipped : dict
        Per sandbox that could not be looked at, why not.
    """

    removed: dict[str, list[str]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def provisioners() -> dict[str, type[SandboxProvisioner]]:
    """Return the provisioner of every sandbox that is installed.

    Examples
    --------
    >>> provisioners()["local"].__name__
    'LocalProvisioner'
    """
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return {point.name.removeprefix(PREFIX): point.load() for point in points if point.name.startswith(PREFIX)}


async def sweep() -> Swept:
    """Remove what dead processes left in every sandbox; one that cannot be reached does not keep the others from it."""
    swept = Swept()
    for sandbox, provisioner in provisioners().items():
        try:
            swept.removed[sandbox] = await provisioner.sweep()
        except SandboxError as error:
            swept.skipped[sandbox] = str(error)
    return swept
