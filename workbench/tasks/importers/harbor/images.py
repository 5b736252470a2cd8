"""What an upstream image would hold, where that is Python, packages of the index and files: its Dockerfile is read, not built."""

from __future__ import annotations

import io
import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import yaml

from workbench.kernels.view import APP, WORKSPACE
from workbench.tasks.checkout import Checkout
from workbench.tasks.importers.harbor import shell
from workbench.tasks.importers.harbor.formats import Upstream

_BASE = re.compile(
    r"(?:docker\.io/)?(?:library/)?(?:(?P<system>ubuntu|debian)(?::(?P<release>[\w.-]+))?"
    r"|python:(?P<python>3\.1[1-3])(?:\.\d+)?(?:-(?:slim|bookworm|bullseye|trixie|slim-\w+))?)"
    r"|ghcr\.io/laude-institute/t-bench/(?:ubuntu-(?P<ubuntu>\d\d-\d\d)|python-(?P<with_python>3-1[1-3])):\w+"
)
"""Images of nothing but a Debian or Ubuntu, or of a Python that environments can have."""
_PYTHONS = {"24.04": "3.12", "24-04": "3.12", "bookworm": "3.11", "bookworm-slim": "3.11", "12": "3.11", "13": "3.13", "trixie": "3.13"}
"""The Python of a system, by its release."""
_HARMLESS = {
    "DEBIAN_FRONTEND",
    "LANG",
    "LC_ALL",
    "TEST_DIR",
    "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE",
    "PIP_NO_CACHE_DIR",
    "TERM",
    "TZ",
}
_IGNORED = {"CMD", "LABEL", "MAINTAINER", "EXPOSE", "STOPSIGNAL"}
_ROOMS = (APP, WORKSPACE)
_THERE = (*_ROOMS, "/tests", "/logs", "/tmp", "/var/lib/apt/lists")  # noqa: S108 - the container's own
_SERVICE = {"build", "image", "container_name", "command", "environment", "volumes", "deploy", "working_dir", "tty", "stdin_open"}
_MOST = 90
"""Characters of a command in a reason."""


@dataclass
class Image:
    """What a Dockerfile makes.

    Attributes
    ----------
    python : str
        The version of its Python; empty where that cannot be told.
    home : str
        Its last working directory.
    copies : list of (Path, str)
        What it copies, and where to.
    folders : list of PurePosixPath
        Empty folders it makes.
    packages : list of str
        Python packages it installs.
    lacking : list of str
        What it does that is not done here.
    """

    python: str = ""
    home: str = "/"
    copies: list[tuple[Path, PurePosixPath]] = field(default_factory=list)
    folders: list[PurePosixPath] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)


def read(checkout: Checkout, upstream: Upstream) -> Image:
    """Return what a task's Dockerfile and compose file make, as far as that can be had here."""
    image = Image()
    file = upstream.context / "Dockerfile"
    if not file.is_file():
        image.lacking.append("there is none")
        return image
    found = _instructions(checkout.text(str(file.relative_to(checkout.root))))
    for kind, value in found:
        try:
            _apply(image, upstream, kind, value)
        except (ValueError, IndexError, TypeError, AttributeError):
            # a quotation that does not end, nothing at all, or a list of something else
            image.lacking.append(f"it says {kind} {value[:_MOST]}")
    if sum(kind == "FROM" for kind, _ in found) != 1:
        image.lacking.append("it has several stages")
    if (upstream.context / ".dockerignore").exists():
        image.lacking.append("it has a .dockerignore")
    if image.home not in _ROOMS:
        image.lacking.append(f"it works in {image.home}")
    image.lacking += [f"it copies to {to}" for _, to in image.copies if not to.is_relative_to(image.home)]
    image.lacking += [f"it makes {path}" for path in image.folders if not path.is_relative_to(image.home)]
    image.lacking += _services(checkout, upstream)
    return image


def _instructions(text: str) -> list[tuple[str, str]]:
    from dockerfile_parse import DockerfileParser

    found = DockerfileParser(fileobj=io.BytesIO(text.encode())).structure
    return [(each["instruction"].upper(), each["value"]) for each in found if each["instruction"] != "COMMENT"]


def _apply(image: Image, upstream: Upstream, kind: str, value: str) -> None:
    match kind:
        case "FROM":
            (name, *_) = (word for word in shlex.split(value) if not word.startswith("--platform="))
            if found := _BASE.fullmatch(name):
                system = _PYTHONS.get(found["release"] or found["ubuntu"] or "", "")
                image.python = found["python"] or (found["with_python"] or "").replace("-", ".") or system
            else:
                image.lacking.append(f"it starts from {name}")
        case "WORKDIR":
            image.home = str(PurePosixPath(image.home) / shlex.split(value)[0])
        case "COPY" | "ADD":
            _copy(image, upstream, value)
        case "RUN":
            _run(image, value)
        case "ENV":
            words = shlex.split(value)
            changed = {word.partition("=")[0] for word in words} if "=" in words[0] else {words[0]}
            image.lacking += [f"it sets {', '.join(sorted(changed - _HARMLESS))}"] if changed - _HARMLESS else []
        case "USER" if value == "root":
            pass
        case _ if kind not in _IGNORED:
            image.lacking.append(f"it uses {kind}")


def _copy(image: Image, upstream: Upstream, value: str) -> None:
    words = json.loads(value) if value.startswith("[") else shlex.split(value)
    *sources, target = [word for word in words if not word.startswith(("--chown=", "--chmod="))]
    if any(word.startswith(("--", "<<")) for word in words[:1] + sources):
        image.lacking.append(f"it copies {value[:_MOST]}")
        return
    to = PurePosixPath(image.home) / target
    for source in sources:
        parts = PurePosixPath(source.lstrip("/"))
        paths = sorted(upstream.context.glob(str(parts))) if str(parts) != "." else [upstream.context]
        if ".." in parts.parts or not paths:
            image.lacking.append(f"it copies {source}, which is not there")
        for path in paths:
            if upstream.solution.is_relative_to(path):
                image.lacking.append("it copies the solution")
            into_folder = target.endswith(("/", ".")) or len(sources) > 1 or len(paths) > 1 or str(to) in _ROOMS
            image.copies.append((path, to / path.name if path.is_file() and into_folder else to))


def _run(image: Image, value: str) -> None:
    if value.startswith(("[", "<<", "--")):
        image.lacking.append(f"it runs {value[:_MOST]}")
        return
    done = shell.Installed()
    for each in shell.commands(value):
        done.more(shell.installs(each))
    image.packages += done.python
    image.lacking += [f"it installs {', '.join(done.debian)}"] if done.debian else []
    image.lacking += [f"it runs {each[:_MOST]}" for each in done.rest if not _harmless(image, each)]


def _harmless(image: Image, said: str) -> bool:
    words = said.split()
    if words in (["ln", "-s", "/usr/bin/python3", "/usr/bin/python"], ["ln", "-sf", "/usr/bin/python3", "/usr/bin/python"]):
        return True
    if words[0] != "mkdir" or not re.fullmatch(r"[\w\s./-]+", said):
        return False
    folders = [PurePosixPath(image.home, word) for word in words[1:] if word != "-p"]
    image.folders += [path for path in folders if str(path) not in _THERE]
    return True


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
