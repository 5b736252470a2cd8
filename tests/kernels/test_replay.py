"""What a workspace had at the beginning is kept where it can be, and costs nothing where it cannot."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workbench.kernels import runtime
from workbench.kernels.replay import MOST_KEPT, Origin

from .test_trees import nest


@pytest.fixture
def workspace() -> Iterator[Path]:
    folder = runtime.folder("w-replay")
    yield folder
    runtime.remove(folder)


def test_files_are_kept_until_nobody_needs_them(workspace: Path, tmp_path: Path) -> None:
    (workspace / "file").write_text("as it was")
    (workspace / "link").symlink_to("file")
    origin = Origin.keep(workspace, "o-replay")
    assert origin.folder is not None
    (workspace / "file").write_text("changed")
    origin.share().lay_out(tmp_path)
    assert (tmp_path / "file").read_text() == "as it was" and (tmp_path / "link").is_symlink()
    origin.release()
    assert origin.folder.exists()
    origin.release()
    assert not origin.folder.exists()


def sparse(workspace: Path) -> None:
    with (workspace / "large").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, MOST_KEPT + 1)


@pytest.mark.parametrize("make", [nest, lambda workspace: os.mkfifo(workspace / "pipe"), sparse], ids=["deep", "pipe", "large"])
def test_files_that_cannot_be_kept_are_no_error(workspace: Path, make: Callable[[Path], None]) -> None:
    make(workspace)
    assert Origin.keep(workspace, "o-replay").folder is None
    assert not (runtime.mine() / "o-replay").exists()
