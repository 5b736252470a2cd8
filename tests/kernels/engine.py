"""A Docker engine of the tests' own: started by the first process that wants it, ended when the last is gone.

As a program, ``engine.py FOLDER``: keep an engine in ``FOLDER`` for as long as anybody holds its lock, whichever way they go.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from pathlib import Path

import docker

BASE = f"workbench-tests/base:{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]}"
"""An image with this machine's Python, named by what makes it."""
PR_SET_PDEATHSIG = 1
_HELD = "held"
_NO_ENGINE = "NO WALLS of Docker on this machine"
_START_SECONDS = 60
_ROOM_BYTES = 6 * 2**30
_PROGRAMS = (
    *("sh", "cat", "chmod", "cp", "dirname", "env", "head", "id", "ln", "ls", "mkdir", "mkfifo", "mknod", "mount", "ps", "realpath"),
    *("rm", "sleep", "tar"),
)
# what packages from an index may take for granted (the manylinux policy), beside what Python itself needs
_LIBRARIES = ("libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "librt.so.1", "libpthread.so.0", "libdl.so.2", "libutil.so.1")
_LEFT_OUT = {"test", "tests", "site-packages", "idlelib", "tkinter", "turtledemo", "lib2to3", "pydoc_data"}


def obstacle() -> str:
    """Say why no engine can be started here; empty if one can."""
    if os.geteuid() != 0:
        return f"{_NO_ENGINE}: an engine is started by root only"
    missing = [name for name in ("dockerd", "containerd", "runc") if shutil.which(name) is None]
    return f"{_NO_ENGINE}: {', '.join(missing)} not installed; remedy: apt-get install docker.io" if missing else ""


@functools.cache
def engine() -> str:
    """Return the address of the engine that all test processes of this user share; it is held until this process ends."""
    folder = Path(tempfile.gettempdir()).resolve() / f"workbench-engine-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "starting").open("a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        held = os.open(folder / _HELD, os.O_RDONLY | os.O_CREAT)
        # the keeper has this lock alone while it ends an engine
        fcntl.flock(held, fcntl.LOCK_SH)
        address = f"unix://{folder}/docker.sock"
        if not _answers(address):
            _start(folder, address)
        client = docker.DockerClient(address)
        if not client.images.list(name=BASE):
            _import_base(client, folder)
        client.close()
    return address


def _answers(address: str) -> bool:
    with contextlib.suppress(docker.errors.DockerException, OSError):
        client = docker.DockerClient(address)
        client.close()
        return True
    return False


def _start(folder: Path, address: str) -> None:
    """Start a keeper with its engine and wait until that answers."""
    keeper = subprocess.Popen([sys.executable, __file__, str(folder)], start_new_session=True)
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(address):
        if keeper.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{_NO_ENGINE}: dockerd did not start: {(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.05)


def _keep(folder: Path) -> None:
    """Run an engine until nobody holds it."""
    # thousands of small files are quicker in memory, where there is enough of it
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM_BYTES
    kept = (memory / folder.name) if roomy else folder / "kept"
    _remove(kept)
    paths = {"data-root": kept / "data", "exec-root": kept / "exec", "pidfile": kept / "pid", "config-file": kept / "none.json"}
    kept.mkdir()
    (kept / "none.json").write_text("{}")
    argv = ["dockerd", f"--host=unix://{folder}/docker.sock", *(f"--{name}={path}" for name, path in paths.items())]
    # no test has a network, so the machine's rules and bridges are left alone
    argv += ["--iptables=false", "--ip6tables=false", "--bridge=none", "--shutdown-timeout=2"]
    die_with_keeper = functools.partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, signal.SIGTERM)
    with (folder / "log").open("w") as log, (folder / _HELD).open("a") as held:
        running = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=die_with_keeper)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
        finally:
            running.terminate()
            running.wait(_START_SECONDS)
            _remove(kept)


def _remove(kept: Path) -> None:
    """Remove an engine's files; one that was killed leaves mounts there, which nobody could remove."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((each for each in mounted if Path(each).is_relative_to(kept)), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False)
    shutil.rmtree(kept, ignore_errors=True)


def _import_base(client: docker.DockerClient, folder: Path) -> None:
    """Give the engine an image with this machine's Python: no registry needs to be there."""
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".tar") as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            _fill(tar)
        file.flush()
        repository, _, tag = BASE.partition(":")
        client.api.import_image(file.name, repository=repository, tag=tag, changes=["ENV PATH=/usr/local/bin:/usr/bin"])


def _fill(tar: tarfile.TarFile) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    prefix = Path(sys.base_prefix).resolve()
    libraries = Path("usr/lib") / str(sysconfig.get_config_var("MULTIARCH"))
    for link, target in {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}.items():
        _link(tar, link, target)
    programs = {name: Path(found).resolve() for name in _PROGRAMS if (found := shutil.which(name))}
    programs[version] = prefix / "bin" / version
    _link(tar, "usr/local/bin/python3", version)
    for name, path in programs.items():
        tar.add(path, f"usr/local/bin/{name}" if name == version else f"usr/bin/{name}", filter=_plain)
    library = prefix / "lib" / version
    tar.add(library, f"usr/local/lib/{version}", filter=_plain)
    granted = _libraries()
    wanted = [*programs.values(), *(library / "lib-dynload").glob("*.so"), *granted]
    for name, path in {**_needed(wanted), **{path.name: path for path in granted}}.items():
        # where the loader looks without being told, wherever they are here
        tar.add(path.resolve(), str(Path("usr/lib64") / name if name.startswith("ld-") else libraries / name), filter=_plain)
    for name in ("etc", "proc", "sys", "dev", "root", "workspace"):
        tar.addfile(_folder(name, 0o755))
    tar.addfile(_folder("tmp", 0o1777))


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what no kernel needs, and give the rest to root, for everybody to read."""
    name = Path(member.name).name
    if name in _LEFT_OUT or name.startswith("config-") or ".opt-" in name:
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode |= 0o555 if member.isdir() or member.mode & 0o100 else 0o444
    return member


def _needed(files: list[Path]) -> dict[str, Path]:
    """Return the libraries that ``files`` need, by the name they ask for; with the loader."""
    said = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False).stdout
    found = re.findall(r"^\s+(?:(\S+) => )?(/\S+)", said, re.MULTILINE)
    return {Path(name or path).name: Path(path) for name, path in found}


def _libraries() -> list[Path]:
    """Return the system's libraries that packages take for granted."""
    said = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    known: dict[str, Path] = {}
    for name, path in re.findall(r"^\s+(\S+) \(.*\) => (\S+)", said, re.MULTILINE):
        if f"/{sysconfig.get_config_var('MULTIARCH')}/" in path:
            known.setdefault(name, Path(path))
    return [known[name] for name in _LIBRARIES if name in known]


def _folder(name: str, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, mode
    return member


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    tar.addfile(member)


if __name__ == "__main__":
    _keep(Path(sys.argv[1]))
