"""No sandbox at all, under that explicit name: a kernel with the user's rights, for machines that are a sandbox themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_client.provisioning import LocalProvisioner as JupyterLocalProvisioner
from traitlets import Instance

from workbench.kernels import walls
from workbench.kernels.environments import Environment


class UnwalledProvisioner(JupyterLocalProvisioner):  # type: ignore[misc]
    """Starts the same kernel program in the same environment, with no wall around it.

    The user's environment variables are kept out all the same: no key ever enters a kernel.
    """

    environment = Instance(Environment)
    workspace = Instance(Path)

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Say what is run where."""
        environ = walls.inside_environ(self.environment, str(self.workspace))
        kwargs = await super().pre_launch(**{**kwargs, "env": environ, "cwd": str(self.workspace)})
        kwargs["cmd"] = [str(self.environment.python), "-I", str(walls.INSIDE / "kernel.py"), self.parent.connection_file]
        return kwargs
