"""Fixtures every test may use: a world without the user's keys and stores, and built environments."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import hypothesis
import pytest

from workbench.kernels import environments, walls
from workbench.kernels.environments import Environment

_NO_WALLS = "NO WALLS"
_NO_DISK = "NO SMALL DISK"
NO_BROWSER = "NO BROWSER"
REQUIRED = "WORKBENCH_REQUIRE_WALLS"
"""Set where walls are known to stand, as in CI: tests that need them then fail instead of being skipped."""


def pytest_configure() -> None:
    """Hide the user's tasks and benchmarks before a test module is read: some take their parameters from the registry."""
    os.environ.pop("WORKBENCH_TASKS", None)
    os.environ["WORKBENCH_SUITES"] = str(Path(__file__).with_name("no-suites.json"))
    # how long an example takes says more about what else the machine does
    hypothesis.settings.register_profile("any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
    hypothesis.settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _nothing_of_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test writes into the user's store, looks into the user's benchmarks, calls the user's model or spends on the user's key."""
    for name in list(os.environ):
        if name.endswith("_API_KEY") or name in ("WORKBENCH_MODEL", "WORKBENCH_JUDGE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "runs.duckdb"))
    monkeypatch.setenv("WORKBENCH_SUITES", str(tmp_path / "suites.json"))


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    """A store of the test's own, the one ``WORKBENCH_STORE`` names."""
    return tmp_path / "runs.duckdb"


class SmallDisk:
    """A file system of its own that is soon full."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._filler = root / "filler"

    def fill(self) -> None:
        """Leave no byte free."""
        with self._filler.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                try:
                    file.write(bytes(2**16))
                except OSError:
                    # what is left is less than that
                    file.write(bytes(1))

    def empty(self) -> None:
        """Make room again."""
        self._filler.unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 8 MiB; only root may mount one."""
    root = tmp_path / "disk"
    root.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", root], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"{_NO_DISK}: a tmpfs cannot be mounted: {mounted.stderr.strip()}; remedy: run as root")
    yield SmallDisk(root)
    subprocess.run(["umount", "--lazy", root], check=True)


@pytest.fixture(scope="session")
def ds() -> Environment:
    """The environment with the data stack, built."""
    return environments.build(environments.find("python-ds"))


@pytest.fixture(scope="session")
def minimal() -> Environment:
    """The environment with a kernel and the standard library, built."""
    return environments.build(environments.find("python-min"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("walls") is None:
        return
    given = walls.protection()
    if given.kind == "none":
        reason = f"{_NO_WALLS} on this machine: {'; '.join(given.missing)}; remedy: {given.remedy}"
        if os.environ.get(REQUIRED):
            pytest.fail(f"{reason} ({REQUIRED} is set)", pytrace=False)
        pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in red what could not be tried on this machine, so that a green run never hides it."""
    skipped = terminalreporter.stats.get("skipped", [])
    said = [report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)]
    reasons = [reason for reason in said if any(lacking in reason for lacking in (_NO_WALLS, _NO_DISK, NO_BROWSER))]
    if reasons:
        terminalreporter.section(f"{len(reasons)} tests of the sandbox, a full disk or the browser DID NOT RUN", red=True, bold=True)
        for reason in sorted(set(reasons)):
            terminalreporter.line(f"{reasons.count(reason)} tests: {reason}", red=True)


@contextmanager
def without_bubblewrap() -> Iterator[None]:
    """A machine like this one on which bubblewrap is not installed; skips where no other wall is left."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            hide_bubblewrap(patch)
            require_walls("sandlock")
            yield
    finally:
        walls.protection.cache_clear()


def hide_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``workbench.kernels.walls`` find no ``bwrap``; whoever calls this clears the cache again after undoing it."""

    class Shutil:
        @staticmethod
        def which(name: str) -> str | None:
            return None

    monkeypatch.setattr(walls, "shutil", Shutil)
    walls.protection.cache_clear()


def require_walls(kind: str) -> walls.Protection:
    """Return this machine's protection if it is of ``kind``; else skip and say what is missing."""
    given = walls.protection()
    if given.kind != kind:
        reason = f"{_NO_WALLS} of {kind} on this machine: {'; '.join(given.missing) or f'it has {given.kind}'}"
        # root is never given the fallback, so only another user can try it
        if os.environ.get(REQUIRED) and not (kind == "sandlock" and os.geteuid() == 0):
            pytest.fail(f"{reason} ({REQUIRED} is set)", pytrace=False)
        pytest.skip(reason)
    return given
