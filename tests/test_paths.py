"""Where things are."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from workbench import paths
from workbench.errors import UsageError


class TestBuiltin:
    @pytest.mark.parametrize(
        ("kind", "file"), [("tasks", "refactoring/mistune-rename-escape/task.toml"), ("sandboxes", "python-ds/environment.toml")]
    )
    def test_is_found_in_this_installation(self, kind: str, file: str) -> None:
        assert (paths.builtin(kind) / file).is_file()

    def test_is_the_packages_own_in_an_installation(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package = tmp_path / "site-packages" / "workbench"
        (package / "_builtin" / "tasks").mkdir(parents=True)
        (tmp_path / "site-packages" / "tasks").mkdir()
        monkeypatch.setattr(paths, "_PACKAGE", package)
        assert paths.builtin("tasks") == package / "_builtin" / "tasks"
        cached = [paths.cache() / "tasks", paths.cache() / "listings"]
        assert paths.private_roots() == [package, *cached]

    def test_is_beside_the_package_in_a_checkout(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "workbench")
        assert paths.builtin("tasks") == tmp_path / "tasks"
        cached = [paths.cache() / "tasks", paths.cache() / "listings"]
        assert paths.private_roots() == [tmp_path / "workbench", *cached, tmp_path / "tasks", tmp_path / "sandboxes"]

    def test_is_private(self) -> None:
        for kind in ("tasks", "sandboxes"):
            assert any(paths.builtin(kind).is_relative_to(root) for root in paths.private_roots())


class TestCache:
    def test_is_made_where_the_variable_says(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "a" / "b"))
        assert paths.cache() == tmp_path / "a" / "b"
        assert (tmp_path / "a" / "b").is_dir()

    def test_may_be_at_home_or_relative(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("WORKBENCH_CACHE", "~/here")
        assert paths.cache() == tmp_path / "here"
        monkeypatch.setenv("WORKBENCH_CACHE", "there")
        assert paths.cache() == tmp_path / "there"

    @pytest.mark.parametrize("value", [None, ""])
    def test_is_else_the_platforms(self, value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("WORKBENCH_CACHE", raising=False)
        if value is not None:
            monkeypatch.setenv("WORKBENCH_CACHE", value)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setenv("HOME", str(tmp_path))
        assert paths.cache().is_relative_to(tmp_path)
        assert paths.cache().name == "codeact-workbench"


class TestRunRoot:
    @pytest.fixture(autouse=True)
    def temporary(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        return tmp_path

    def test_is_private_and_made_once(self, temporary: Path) -> None:
        root = paths.run_root()
        assert root == paths.run_root()
        assert root.parent == temporary.resolve()
        assert stat.S_IMODE(root.stat().st_mode) == 0o700

    @pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
    def test_that_others_can_enter_is_refused(self, mode: int) -> None:
        root = paths.run_root()
        root.chmod(mode)
        with pytest.raises(UsageError, match="is not private to you") as caught:
            paths.run_root()
        assert str(root) in caught.value.message
        assert "TMPDIR" in caught.value.hint

    def test_that_is_a_link_is_refused(self, temporary: Path) -> None:
        # planted by another user of /tmp
        root = paths.run_root()
        root.rmdir()
        (temporary / "elsewhere").mkdir(mode=0o700)
        root.symlink_to(temporary / "elsewhere")
        with pytest.raises(UsageError, match="is not private to you"):
            paths.run_root()

    def test_that_is_a_file_is_refused(self) -> None:
        root = paths.run_root()
        root.rmdir()
        root.touch(mode=0o700)
        with pytest.raises(UsageError, match="is not private to you"):
            paths.run_root()

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a folder to somebody else")
    def test_that_belongs_to_somebody_else_is_refused(self) -> None:
        os.chown(paths.run_root(), 12345, 12345)
        with pytest.raises(UsageError, match="is not private to you"):
            paths.run_root()


class TestStore:
    @pytest.fixture(autouse=True)
    def _no_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("WORKBENCH_STORE", raising=False)

    def test_is_where_the_variable_says(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "x.db"))
        assert paths.store() == tmp_path / "x.db"
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("WORKBENCH_STORE", "~/y.db")
        assert paths.store() == tmp_path / "y.db"
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("WORKBENCH_STORE", "z.db")
        assert paths.store() == tmp_path / "z.db"

    @pytest.mark.parametrize("marker", [".git/", ".git", "pyproject.toml"])
    def test_is_in_the_project_that_one_is_in(self, marker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        below = tmp_path / "project" / "a" / "b"
        below.mkdir(parents=True)
        made = tmp_path / "project" / marker
        made.mkdir() if marker.endswith("/") else made.touch()
        monkeypatch.chdir(below)
        assert paths.store() == tmp_path / "project" / "workbench.duckdb"

    def test_is_in_the_nearest_project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        inner = tmp_path / "outer" / "inner"
        inner.mkdir(parents=True)
        for folder in (inner, inner.parent):
            (folder / "pyproject.toml").touch()
        monkeypatch.chdir(inner)
        assert paths.store() == inner / "workbench.duckdb"
