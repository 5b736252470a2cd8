"""An environment as an E2B template: the same locked packages, installed once on the service's side."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from workbench.errors import SandboxError
from workbench.kernels import e2b_service
from workbench.kernels.environments import PYTHON, Environment

PREFIX = "/opt/environment"
"""Where the packages are in a template."""
_LOCK = "/opt/requirements.lock"


def _steps() -> list[str]:
    """Return the commands that install the lock; they are part of the template's name."""
    return [
        f"python -m venv {PREFIX}",
        f"{PREFIX}/bin/python -m pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r {_LOCK}",
        f"chmod -R a+rX {PREFIX}",
    ]


def name(environment: Environment) -> str:
    """Return the name of an environment's template: another lock, or another way to install it, is another template.

    Examples
    --------
    >>> from workbench.kernels import environments
    >>> name(environments.find("python-min")).startswith("workbench-python-min-")
    True
    """
    digest = hashlib.sha256(environment.lock.read_bytes())
    digest.update("\0".join([PYTHON, *_steps()]).encode())
    return f"workbench-{environment.name}-{digest.hexdigest()[:16]}"


def definition(environment: Environment) -> Any:
    """Return the SDK's description of the template."""
    from e2b import Template

    return (
        Template(file_context_path=environment.definition)
        .from_python_image(PYTHON)
        .copy(environment.lock.name, _LOCK)
        .run_cmd(_steps(), user="root")
    )


async def build(environment: Environment, *, on_line: Callable[[str], None] | None = None) -> str:
    """Build an environment's template unless the service has it, and return its name.

    Parameters
    ----------
    on_line : callable, optional
        Called with each line of the build's log.

    Raises
    ------
    SandboxError
        If there is no key or a wrong one, the service cannot be reached, or a package cannot be installed.
    """
    from e2b import AsyncTemplate, ConnectionConfig
    from e2b.exceptions import BuildException

    called = name(environment)
    async with e2b_service.asked(f"build the template {called}"):
        if await AsyncTemplate.exists(called):
            return called
        try:
            await AsyncTemplate.build(definition(environment), called, on_build_logs=lambda entry: on_line(str(entry)) if on_line else None)
        except BuildException as error:
            said = e2b_service.clean(str(error))
            # an error of the request itself begins with its status; of other shape are those of a build that was made
            if re.match(r"\d{3}: ", said):
                raise SandboxError(
                    f"cannot build the template {called}: {ConnectionConfig().api_url} refused the request with {said}",
                    hint=e2b_service.ADDRESS_HINT,
                ) from None
            raise SandboxError(f"E2B could not build the template {called}: {said}", hint="the build's log says which package") from None
    return called
