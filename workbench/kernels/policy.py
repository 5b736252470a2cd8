"""What an agent may do: the limits, the network, and the folders of its kernel's sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import UsageError
from workbench.kernels.allowlist import Allowlist
from workbench.kernels.limits import Limits
from workbench.kernels.view import APP, BRANCHES, CONNECTION, IN_MEMORY, PROGRAMS, RUNS, WORKSPACE

_TAKEN = (*IN_MEMORY, "/dev", "/proc", "/sys", WORKSPACE, APP, RUNS, BRANCHES, CONNECTION, str(PROGRAMS))


@dataclass(frozen=True)
class Grant:
    """A file or folder of this machine that the agent may use in addition to its workspace.

    Attributes
    ----------
    host : Path
        Where it is.
    inside : str
        Where the agent sees it; an absolute path.
    writable : bool
        Whether the agent may change it.

    Raises
    ------
    UsageError
        If it does not exist, or ``inside`` is no absolute path or lies where every kernel has files of its own.
    """

    host: Path
    inside: str
    writable: bool = False

    def __post_init__(self) -> None:
        if not self.inside.startswith("/") or ".." in Path(self.inside).parts:
            raise UsageError(f"a grant is shown at {self.inside!r}, which is no absolute path", hint="for example /data")
        taken = next((path for path in _TAKEN if Path(self.inside).is_relative_to(path)), "/" if Path(self.inside) == Path("/") else None)
        if taken is not None:
            raise UsageError(f"a grant is shown at {self.inside}, and every kernel has a {taken} of its own", hint="for example /data")
        if not self.host.exists():
            raise UsageError(f"cannot grant {self.host}: it does not exist", hint="check the path, or leave the grant out")


@dataclass(frozen=True)
class Policy:
    """What an agent's kernel may use, reach and see, in the same terms for every backend.

    Attributes
    ----------
    limits : Limits
        Memory, processes, processor, disk, output and time.
    network : tuple of str
        Hosts it may reach by HTTP and HTTPS, for example ``("pypi.org", "*.wikipedia.org")``; none by default.
    grants : tuple of Grant
        Files and folders of this machine that it sees in addition to its workspace.
    hide : tuple of str
        Folders of the environment's site-packages that it sees empty.
    gpu : bool
        Whether it gets this machine's GPUs.

    Raises
    ------
    UsageError
        If a host cannot be allowed.
    """

    limits: Limits = field(default_factory=Limits)
    network: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()
    hide: tuple[str, ...] = ()
    gpu: bool = False

    def __post_init__(self) -> None:
        Allowlist(self.network)

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Policy:
        """Return the policy that a kernelspec says: ``limits`` (a table), ``network`` (a list of hosts), ``gpu`` (true or false).

        Raises
        ------
        UsageError
            If it says anything else.

        Examples
        --------
        >>> Policy.parse({"limits": {"memory": "2G"}, "network": ["pypi.org"]}).network
        ('pypi.org',)
        """
        if unknown := set(table) - {"limits", "network", "gpu"}:
            raise UsageError(f"a policy has no {', '.join(map(repr, sorted(unknown)))}", hint="it has limits, network and gpu")
        limits, network, gpu = table.get("limits", {}), table.get("network", []), table.get("gpu", False)
        if not isinstance(limits, Mapping):
            raise UsageError(f"limits is {limits!r}", hint='write a table, for example {"memory": "2G"}')
        if not isinstance(network, list | tuple) or not all(isinstance(host, str) and host for host in network):
            raise UsageError(f"network is {network!r}", hint='write a list of hosts, for example ["pypi.org"]; an empty one for none')
        if not isinstance(gpu, bool):
            raise UsageError(f"gpu is {gpu!r}", hint="write true or false")
        return cls(Limits.parse(limits), tuple(network), gpu=gpu)
