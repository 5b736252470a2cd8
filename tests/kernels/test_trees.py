"""Trees of folders at any depth, and while somebody changes them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from workbench.kernels import lending, runtime, trees, walls

DEPTH = 5000


def nest(root: Path, depth: int = DEPTH, name: str = "deep") -> None:
    """Make folders within each other, deeper than Python recurses and longer than a path may be, and a file at the bottom."""
    handle = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=handle)
        inner = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    file = os.open("bottom", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=handle)
    os.write(file, bytes(100_000))
    os.close(file)
    os.close(handle)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "root"
    root.mkdir()
    nest(root)
    yield root
    # pytest's own clean-up recurses
    subprocess.run(["rm", "-rf", root], check=True)


def paths(root: Path) -> list[str]:
    return sorted("/".join([*folder.parts, entry.name]) for folder in trees.walk(root) for entry in folder.entries)


class TestWalk:
    def test_sees_everything_once(self, tmp_path: Path) -> None:
        for name in ("a/b/c", "a/d", "e", "f/g/h/i"):
            (tmp_path / name).mkdir(parents=True)
            (tmp_path / name / "file").touch()
        assert paths(tmp_path) == sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))

    def test_goes_as_deep_as_there_is_something(self, deep: Path) -> None:
        assert max(len(folder.parts) for folder in trees.walk(deep)) == DEPTH

    def test_needs_no_more_descriptors_for_more_depth(self, deep: Path) -> None:
        process = psutil.Process()
        before = process.num_fds()
        assert max(process.num_fds() for folder in trees.walk(deep) if len(folder.parts) % 100 == 0) <= before + 3
        assert process.num_fds() == before

    def test_follows_no_link(self, tmp_path: Path) -> None:
        (tmp_path / "root" / "folder").mkdir(parents=True)
        (tmp_path / "outside" / "secret").mkdir(parents=True)
        (tmp_path / "root" / "link").symlink_to("../outside")
        (tmp_path / "root" / "circle").symlink_to(".")
        assert paths(tmp_path / "root") == ["circle", "folder", "link"]

    def test_passes_over_what_vanishes(self, tmp_path: Path) -> None:
        for name in ("a/b", "c/d"):
            (tmp_path / name).mkdir(parents=True)
        seen = []
        for folder in trees.walk(tmp_path):
            seen.append("/".join(folder.parts))
            if len(seen) == 1:
                shutil.rmtree(tmp_path / "a")
        assert seen == ["", "c", "c/d"]

    def test_goes_on_where_a_folder_was_moved_away_from_under_it(self, tmp_path: Path) -> None:
        root, outside = tmp_path / "root", tmp_path / "outside"
        for name in ("a/b/c", "z"):
            (root / name).mkdir(parents=True)
        (outside / "secret").mkdir(parents=True)
        seen = []
        for folder in trees.walk(root):
            seen.append("/".join(folder.parts))
            if seen[-1] == "a/b/c":
                (root / "a" / "b").rename(outside / "b")
        assert "secret" not in " ".join(seen)
        assert sorted(seen) == ["", "a", "a/b", "a/b/c", "z"]

    def test_of_what_is_no_folder_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(".")
        for name in ("nothing", "link"):
            with pytest.raises(OSError, match=name):
                list(trees.walk(tmp_path / name))


def test_a_file_at_any_depth_counts(deep: Path) -> None:
    assert trees.size(deep, 2**40) >= DEPTH * 4096 + 100_000


def test_counting_ends_where_it_is_enough(deep: Path) -> None:
    assert 0 < trees.size(deep, 10 * 4096) < 20 * 4096


def test_a_file_at_any_depth_can_be_let_read(deep: Path) -> None:
    walls.let_read(deep)
    modes = [entry.stat().st_mode & 0o777 for folder in trees.walk(deep) for entry in folder.entries if entry.name == "bottom"]
    assert modes == [0o644]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_at_any_depth_can_be_given_away(deep: Path) -> None:
    lending.give([deep], lending.FIRST_USER + 1)
    owners = {entry.stat().st_uid for folder in trees.walk(deep) for entry in folder.entries}
    assert owners == {lending.FIRST_USER + 1}


class TestRemove:
    def test_takes_any_depth(self, deep: Path) -> None:
        runtime.remove(deep)
        assert not deep.exists()

    def test_takes_what_is_closed_to_its_owner(self, deep: Path) -> None:
        (deep / "closed" / "inner").mkdir(parents=True)
        (deep / "closed").chmod(0)
        (deep / "deep").chmod(0)
        runtime.remove(deep)
        assert not os.path.lexists(deep)

    def test_follows_no_link(self, tmp_path: Path) -> None:
        (tmp_path / "kept").mkdir()
        (tmp_path / "root").mkdir()
        (tmp_path / "root" / "link").symlink_to("../kept")
        (tmp_path / "itself").symlink_to("kept")
        for name in ("root", "itself", "nothing"):
            runtime.remove(tmp_path / name)
        assert [path.name for path in tmp_path.iterdir()] == ["kept"]

    def test_that_is_not_possible_raises_nothing(self, deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_process(*_: object, **__: object) -> None:
            raise OSError("Too many open files")

        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "run", no_process)
            runtime.remove(deep)
        runtime.remove(deep)
        assert not deep.exists()
