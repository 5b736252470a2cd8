"""An environment as a Docker image: the same locked packages, laid into an image that has the same Python."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from workbench.errors import SandboxError
from workbench.kernels import docker_engine
from workbench.kernels.docker_engine import Engine, asked
from workbench.kernels.environments import PYTHON, Environment
from workbench.kernels.installer import uv
from workbench.kernels.view import APP, INSIDE, PROGRAMS, WORKSPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX = "/opt/environment"
"""Where the packages are in an image."""

_BASE = "WORKBENCH_DOCKER_BASE"
_BASE_LABEL = "workbench.base"
_PLATFORMS = {
    "x86_64": "x86_64-manylinux_2_28",
    "amd64": "x86_64-manylinux_2_28",
    "aarch64": "aarch64-manylinux_2_28",
    "arm64": "aarch64-manylinux_2_28",
}
_CHECK = (
    "import sys, subprocess; "
    "found = '%d.%d' % sys.version_info[:2]; "
    "found == sys.argv[1] or sys.exit(f'the base image has Python {found}, this needs {sys.argv[1]}'); "
    "subprocess.run([sys.executable, '-m', 'venv', '--without-pip', sys.argv[2]], check=True)"
)
_DOCKERFILE = """\
FROM {{ base }}
{% if system %}
USER root
RUN apt-get update && apt-get install -y --no-install-recommends {{ system | join(" ") }} && rm -rf /var/lib/apt/lists/*
{% endif %}
RUN ["python3", "-c", {{ check | tojson }}, "{{ python }}", "{{ prefix }}"]
ADD environment.tar {{ prefix }}/
COPY inside {{ programs }}
RUN ["ln", "-sfn", "{{ workspace }}", "{{ app }}"]
LABEL workbench.base={{ base | tojson }}
"""


def base() -> str:
    """Return the image that environments are laid into: ``WORKBENCH_DOCKER_BASE``, else the official one of this Python."""
    return os.environ.get(_BASE) or f"python:{PYTHON}-slim"


def name(environment: Environment) -> str:
    """Return the name of an environment's image: another lock, base or way to build it is another image.

    Examples
    --------
    >>> from workbench.kernels import environments
    >>> name(environments.find("python-min")).startswith("workbench/python-min:")
    True
    """
    digest = hashlib.sha256(environment.lock.read_bytes())
    digest.update(dockerfile(environment.system).encode())
    for file in _programs():
        digest.update(f"\0{file.relative_to(INSIDE)}\0".encode() + file.read_bytes())
    return f"workbench/{environment.name}:{digest.hexdigest()[:16]}"


def dockerfile(system: Sequence[str] = ()) -> str:
    """Return the text of the Dockerfile, with ``system`` as the Debian packages to install.

    Examples
    --------
    >>> print(dockerfile(["graphviz"]).splitlines()[2])
    RUN apt-get update && apt-get install -y --no-install-recommends graphviz && rm -rf /var/lib/apt/lists/*
    """
    template = jinja2.Environment(autoescape=False, trim_blocks=True, keep_trailing_newline=True).from_string(_DOCKERFILE)  # noqa: S701
    paths = {"prefix": PREFIX, "programs": PROGRAMS, "workspace": WORKSPACE, "app": APP}
    return template.render(base=base(), system=system, python=PYTHON, check=_CHECK, **paths)


def _programs() -> list[Path]:
    return sorted(file for file in INSIDE.rglob("*.py") if file.is_file())


def built(engine: Engine, environment: Environment) -> str:
    """Return the name of an environment's image, which the engine has; blocks.

    Raises
    ------
    SandboxError
        If it has not.
    """
    from docker.errors import ImageNotFound

    image = name(environment)
    with asked(f"look for the image {image}"):
        try:
            engine.client.api.inspect_image(image)
        except ImageNotFound:
            hint = f"workbench environments build {environment.name} --backend docker"
            if others := _other_bases(engine, environment):
                hint += f"; or set {_BASE} to the base that it was built on before: {' or '.join(others)}"
            raise SandboxError(
                f"environment {environment.name} has no image {image}, on the base {base()}, in the Docker engine at {engine.address}",
                hint=hint,
            ) from None
    return image


def _other_bases(engine: Engine, environment: Environment) -> list[str]:
    """Return the base images, other than today's, on which an environment was built."""
    found = engine.client.api.images(filters={"label": f"workbench.environment={environment.name}"})
    return sorted({named for each in found if (named := (each.get("Labels") or {}).get(_BASE_LABEL))} - {base()})


async def build(environment: Environment) -> str:
    """Build an environment's image unless the engine has it, and return its name.

    The packages are installed here, by the same installer and from the same index as for the local sandbox, and copied:
    the engine needs no network, unless it lacks the base image or Debian packages are asked for.

    Raises
    ------
    SandboxError
        If there is no engine, it cannot get the base image, or a package cannot be installed.
    """
    return await asyncio.to_thread(_build, environment)


def _build(environment: Environment) -> str:
    engine = docker_engine.connect()
    try:
        try:
            return built(engine, environment)
        except SandboxError:
            pass
        image = name(environment)
        _have_base(engine)
        with tempfile.TemporaryDirectory(prefix="workbench-image-") as context:
            _prepare(environment, Path(context), str(engine.facts.get("Architecture")))
            _ask(engine, Path(context), image, environment)
        return image
    finally:
        engine.client.close()


def _have_base(engine: Engine) -> None:
    from docker.errors import ImageNotFound

    with asked(f"get the base image {base()}"):
        try:
            engine.client.api.inspect_image(base())
        except ImageNotFound:
            engine.client.images.pull(base())


def _prepare(environment: Environment, context: Path, architecture: str) -> None:
    """Lay out what the image is made of."""
    if architecture not in _PLATFORMS:
        raise SandboxError(f"no packages are locked for an engine on {architecture}", hint=f"use one on {' or '.join(_PLATFORMS)}")
    tree = context / "environment"
    python = str(tree / "bin" / "python")
    # relocatable: its scripts find the interpreter beside them, wherever they are copied to
    uv("venv", "--quiet", "--no-project", "--relocatable", "--python", sys.executable, str(tree))
    target = ("--python", python, "--python-platform", _PLATFORMS[architecture])
    uv("pip", "sync", "--quiet", *target, "--require-hashes", "--compile-bytecode", "--only-binary", ":all:", str(environment.lock))
    # the interpreter is the image's own
    for file in [*(tree / "bin").glob("python*"), tree / "pyvenv.cfg"]:
        file.unlink()
    for file in _programs():
        copy = context / "inside" / file.relative_to(INSIDE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        # what its user's umask made of it says nothing about who may read it there
        copy.chmod(0o644)
        copy.parent.chmod(0o755)
    # one file: an engine takes twice as long for thousands
    with tarfile.open(context / "environment.tar", "w") as tar:
        tar.add(tree, ".", filter=_everybodys)
    shutil.rmtree(tree)
    (context / "Dockerfile").write_text(dockerfile(environment.system))


def _everybodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Make root the owner of a file, and the file readable for everybody."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def _ask(engine: Engine, context: Path, image: str, environment: Environment) -> None:
    from docker.errors import BuildError

    labels = {"workbench": "1", "workbench.environment": environment.name, "workbench.hash": environment.hash}
    with asked(f"build the image {image}"):
        try:
            engine.client.images.build(path=str(context), tag=image, labels=labels, rm=True, forcerm=True)
        except BuildError as error:
            said = "".join(str(line.get("stream", "")) for line in error.build_log if isinstance(line, dict))
            raise SandboxError(
                f"cannot build the image {image}: {' '.join((said[-300:] + ' ' + error.msg).split())}",
                hint="WORKBENCH_DOCKER_BASE names the image it is built on; it needs python3 and its venv module",
            ) from None
