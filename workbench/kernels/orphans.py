"""What dead processes left, in every kind of sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

from workbench.errors import WorkbenchError
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


def installed() -> dict[str, EntryPoint]:
    """Return where the provisioner of every sandbox is; none of them is imported, for the packages it needs may be missing.

    Examples
    --------
    >>> installed()["local"].load().__name__
    'LocalProvisioner'
    """
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return {point.name.removeprefix(PREFIX): point for point in points if point.name.startswith(PREFIX)}


async def sweep() -> Swept:
    """Remove what dead processes left in every sandbox; one that cannot be looked at does not keep the others from it."""
    swept = Swept()
    for sandbox, point in installed().items():
        try:
            swept.removed[sandbox] = await _sweep(point)
        except ImportError as error:
            remedy = f"pip install 'codeact-workbench[{sandbox}]'"
            swept.skipped[sandbox] = f"not installed: the package {error.name or error} is missing ({remedy})"
        except WorkbenchError as error:
            swept.skipped[sandbox] = str(error)
        except Exception as error:
            # of a service far away, or of a provisioner that somebody else wrote
            swept.skipped[sandbox] = f"{type(error).__name__}: {error}"
    return swept


async def _sweep(point: EntryPoint) -> list[str]:
    provisioner: type[SandboxProvisioner] = point.load()
    return await provisioner.sweep()
