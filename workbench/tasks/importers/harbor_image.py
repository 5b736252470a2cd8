"""What an upstream image would hold, where that is no more than Python, packages of the index and files: its Dockerfile is read, not built."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from workbench.errors import TaskError
from workbench.kernels.view import APP, WORKSPACE
from workbench.tasks.checkout import Checkout
from workbench.tasks.importers import harbor_shell as shell
from workbench.tasks.importers.harbor_upstream import Upstream

_BASE = re.compile(
    r"(?:docker\.io/)?(?:library/)?(?:ubuntu|debian)(?::[\w.-]+)?"
    r"|(?:docker\.io/)?(?:library/)?python:3\.1[1-3](?:\.\d+)?(?:-(?:slim|bookworm|bullseye|trixie|slim-\w+))?"
    r"|ghcr\.io/laude-institute/t-bench/(?:ubuntu-24-04|python-3-13|python-3-12|python-3-11):\w+"
)
"""Images of nothing but a Debian or Ubuntu, or of a Python that environments can have."""
_HARMLESS = {"DEBIAN_FRONTEND", "LANG", "LC_ALL", "TEST_DIR", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PIP_NO_CACHE_DIR", "TERM", "TZ"}
_IGNORED = {"cmd", "label", "maintainer", "expose", "shell", "stopsignal", "healthcheck"}
_ROOMS = (APP, WORKSPACE)
_SERVICE = {"build", "image", "container_name", "command", "environment", "volumes", "deploy", "working_dir", "tty", "stdin_open"}
_MOST = 90
"""Characters of a command in a reason."""


@dataclass
class Image:
    """What a Dockerfile makes.

    Attributes
    ----------
    home : str
        Its last working directory.
    copies : list of (Path, str)
        What it copies, and where to.
    packages : list of str
        Python packages it installs.
    lacking : list of str
        What it does that is not done here.
    """

    home: str = "/"
    copies: list[tuple[Path, PurePosixPath]] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)


def read(checkout: Checkout, upstream: Upstream) -> Image:
    """Return what a task's Dockerfile and compose file make, as far as that can be had here.

    Raises
    ------
    TaskError
        If the Dockerfile is malformed.
    """
    import dockerfile

    image = Image()
    file = upstream.context / "Dockerfile"
    if not file.is_file():
        image.lacking.append("there is no Dockerfile")
        return image
    try:
        found = dockerfile.parse_string(checkout.text(str(file.relative_to(checkout.root))))
    except dockerfile.GoParseError as error:
        raise TaskError(f"{file} is no Dockerfile: {error}") from None
    for command in found:
        _apply(image, upstream, command)
    if sum(command.cmd.lower() == "from" for command in found) > 1:
        image.lacking.append("it is built in several stages")
    if (upstream.context / ".dockerignore").exists():
        image.lacking.append("it has a .dockerignore")
    if image.home not in _ROOMS:
        image.lacking.append(f"it works in {image.home}")
    image.lacking += [f"it copies to {to}" for _, to in image.copies if not to.is_relative_to(image.home)]
    image.lacking += _services(checkout, upstream)
    return image


def _apply(image: Image, upstream: Upstream, command: Any) -> None:
    kind, value = command.cmd.lower(), list(command.value)
    match kind:
        case "from":
            if not _BASE.fullmatch(value[0]):
                image.lacking.append(f"it starts from {value[0]}")
        case "workdir":
            image.home = str(PurePosixPath(image.home) / value[0])
        case "copy" | "add":
            _copy(image, upstream, command)
        case "run":
            _run(image, command)
        case "env":
            # names and values in turn
            changed = sorted(set(value[::2]) - _HARMLESS)
            image.lacking += [f"it sets {', '.join(changed)}"] if changed else []
        case "user" if value == ["root"]:
            pass
        case _ if kind not in _IGNORED:
            image.lacking.append(f"it uses {kind.upper()}")


def _copy(image: Image, upstream: Upstream, command: Any) -> None:
    *sources, target = command.value
    to = PurePosixPath(image.home) / target
    if [flag for flag in command.flags if not flag.startswith(("--chown", "--chmod"))] or command.heredocs:
        image.lacking.append(f"it copies from elsewhere: {command.original[:_MOST]}")
        return
    for source in sources:
        parts = PurePosixPath(source.lstrip("/"))
        paths = sorted(upstream.context.glob(str(parts))) if str(parts) != "." else [upstream.context]
        if ".." in parts.parts or not paths or "://" in source:
            image.lacking.append(f"it copies {source}, which is not there")
        for path in paths:
            if upstream.solution.is_relative_to(path):
                image.lacking.append("it copies the solution")
            into_folder = target.endswith(("/", ".")) or len(sources) > 1 or len(paths) > 1 or str(to) == image.home
            image.copies.append((path, to / path.name if path.is_file() and into_folder else to))


def _run(image: Image, command: Any) -> None:
    if command.json or command.heredocs or command.flags:
        image.lacking.append(f"it runs {command.original[4:_MOST]}")
        return
    try:
        found = shell.commands(command.value[0])
    except ValueError:
        image.lacking.append(f"it runs {command.value[0][:_MOST]}")
        return
    done = shell.Installed()
    for each in found:
        done.more(shell.installs(each))
    image.packages += done.python
    image.lacking += [f"it installs {', '.join(done.debian)}"] if done.debian else []
    image.lacking += [f"it runs {each[:_MOST]}" for each in done.rest if not _harmless(image, each)]


def _harmless(image: Image, said: str) -> bool:
    words = said.split()
    if words in (["ln", "-s", "/usr/bin/python3", "/usr/bin/python"], ["ln", "-sf", "/usr/bin/python3", "/usr/bin/python"]):
        return True
    # the folder that is the workspace is there
    return words[0] == "mkdir" and all(word == "-p" or word in (*_ROOMS, "/tests", "/logs") for word in words[1:])


def _services(checkout: Checkout, upstream: Upstream) -> list[str]:
    """Return what a compose file asks for beyond the one container that upstream's template has."""
    file = upstream.context / "docker-compose.yaml"
    if not file.is_file():
        return []
    try:
        said = yaml.safe_load(checkout.text(str(file.relative_to(checkout.root))))
        services = said["services"]
        named = sorted(set(services) - {"client", "main"})
        (service,) = list(services.values())[:1]
        more = sorted({*service} - _SERVICE) + sorted({*said} - {"services", "version"})
        variables = service.get("environment") or []
        names = [str(each).partition("=")[0] for each in variables]
        mounted = [each for each in service.get("volumes") or [] if not str(each).startswith("${T_BENCH_")]
    except (yaml.YAMLError, TypeError, KeyError, ValueError, AttributeError):
        return ["its compose file is not like upstream's template"]
    found = [f"it has the services {', '.join(named)}"] if named else []
    found += [f"its compose file says {', '.join(more)}"] if more else []
    found += [f"it sets {', '.join(name for name in names if name not in _HARMLESS)}"] if set(names) - _HARMLESS else []
    return found + [f"it mounts {each}" for each in mounted]
