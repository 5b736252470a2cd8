"""Workspaces as tar files: everything comes through, and nothing hostile does."""

from __future__ import annotations

import io
import os
import string
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import SandboxError
from workbench.kernels import archive, runtime, trees

from .test_trees import nest
from .tools import memory_growth

names = st.text(string.ascii_letters + "é .-\n", min_size=1, max_size=12).filter(lambda name: name not in (".", ".."))


def through(source: Path, target: Path, most: int = 2**20) -> None:
    packed = io.BytesIO()
    archive.pack(source, packed)
    packed.seek(0)
    archive.unpack(packed, target, most=most)


def contents(folder: Path) -> dict[str, bytes | str | None]:
    """Files with their bytes, links with their targets, folders with None."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@settings(deadline=None)
@given(st.dictionaries(st.lists(names, min_size=1, max_size=3).map(tuple), st.binary(max_size=100), max_size=8))
def test_what_goes_in_comes_out(files: dict[tuple[str, ...], bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.mkdir()
        target.mkdir()
        (target / "old" / "folder").mkdir(parents=True)
        for parts, data in files.items():
            path = source.joinpath(*parts)
            if any(above.is_file() for above in path.parents) or path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        through(source, target)
        assert contents(target) == contents(source)


def test_modes_are_plain_and_a_program_stays_one(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    for name, mode in (("program", 0o4755), ("shut", 0o000), ("open", 0o666)):
        (source / name).touch()
        (source / name).chmod(mode)
    through(source, target)
    assert {path.name: path.stat().st_mode & 0o7777 for path in target.iterdir()} == {"program": 0o755, "shut": 0o644, "open": 0o644}


def test_links_within_stay_links_and_pipes_stay_behind(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "data").mkdir(parents=True)
    target.mkdir()
    (source / "data" / "a").write_text("1")
    (source / "data" / "again").hardlink_to(source / "data" / "a")
    (source / "latest").symlink_to("data/a")
    (source / "data" / "up").symlink_to("../latest")
    os.mkfifo(source / "pipe")
    through(source, target)
    assert contents(target) == {"data": None, "data/a": b"1", "data/again": b"1", "latest": "data/a", "data/up": "../latest"}


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", data: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(data)
    return info, data


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    into.seek(0)
    return into


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "inside" / "workspace"
    folder.mkdir(parents=True)
    (folder / "kept").write_text("old")
    return folder


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/../../out", "a/../b"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_name_that_leads_elsewhere_is_refused_and_changes_nothing(workspace: Path, tmp_path: Path, name: str, kind: bytes) -> None:
    before = everything(tmp_path)
    target = "kept" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    with pytest.raises(SandboxError):
        archive.unpack(packed(member("fine"), member(name, kind, target)), workspace, most=2**20)
    assert everything(tmp_path) == before
    assert (workspace / "kept").read_text() == "old"


@pytest.mark.parametrize("target", ["/etc/passwd", "../..", "a/../../x", "../inside2/x", "/"])
def test_a_link_that_leads_elsewhere_is_left_behind(workspace: Path, target: str) -> None:
    archive.unpack(packed(member("link", tarfile.SYMTYPE, target), member("fine")), workspace, most=2**20)
    assert contents(workspace) == {"fine": b""}


def test_nothing_is_written_through_a_link(workspace: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    hostile = packed(
        member("way", tarfile.SYMTYPE, str(outside)),
        member("way/file", data=b"hostile"),
        member("in", tarfile.SYMTYPE, "way"),
        member("in/file", data=b"hostile"),
    )
    with pytest.raises(SandboxError, match="File exists"):
        archive.unpack(hostile, workspace, most=2**20)
    assert list(outside.iterdir()) == []
    assert contents(workspace) == {"kept": b"old"}


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "missing", "link"])
def test_a_hard_link_reaches_only_what_came_with_it(workspace: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").write_text("private")
    with pytest.raises(SandboxError):
        hostile = packed(member("link", tarfile.SYMTYPE, "/etc/passwd"), member("hard", tarfile.LNKTYPE, target))
        archive.unpack(hostile, workspace, most=2**20)
    assert contents(workspace) == {"kept": b"old"}


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_devices_and_pipes_are_left_behind(workspace: Path, kind: bytes) -> None:
    archive.unpack(packed(member("device", kind), member("fine")), workspace, most=2**20)
    assert contents(workspace) == {"fine": b""}


def test_one_name_twice_is_the_last_of_them(workspace: Path) -> None:
    archive.unpack(packed(member("a", data=b"1"), member("a", data=b"2")), workspace, most=2**20)
    assert contents(workspace) == {"a": b"2"}


@pytest.mark.parametrize(
    "hostile",
    [
        [member("large", data=b"x" * 2**21)],
        [member(f"{number}") for number in range(300)],
        [member("a"), member("a/b")],
        [member("a/b"), member("a")],
    ],
)
def test_too_much_and_nonsense_change_nothing(workspace: Path, hostile: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with pytest.raises(SandboxError):
        archive.unpack(packed(*hostile), workspace, most=2**20)
    assert contents(workspace) == {"kept": b"old"}
    assert list(workspace.parent.iterdir()) == [workspace]


@given(st.binary(max_size=2000))
def test_garbage_is_an_error_or_empty(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder, "workspace")
        workspace.mkdir()
        (workspace / "kept").touch()
        try:
            archive.unpack(io.BytesIO(data), workspace, most=2**20)
        except SandboxError:
            assert contents(workspace) == {"kept": b""}


def test_an_archive_that_is_cut_off_changes_nothing(workspace: Path) -> None:
    whole = packed(member("large", data=b"x" * 500_000)).getvalue()
    with pytest.raises(SandboxError):
        archive.unpack(io.BytesIO(whole[:200_000]), workspace, most=2**20)
    assert contents(workspace) == {"kept": b"old"}


def test_very_many_names_take_no_memory(workspace: Path) -> None:
    one = packed(member("a")).getvalue()[:512]
    with memory_growth() as growth:
        archive.unpack(io.BytesIO(one * 20_000), workspace, most=2**40)
    assert growth.bytes < 10 * 2**20


def test_folders_deeper_than_a_path_may_be_long_are_left_behind_and_cost_nothing_else(tmp_path: Path) -> None:
    root, back = tmp_path / "root", tmp_path / "back"
    for folder in (root, back):
        folder.mkdir()
    nest(root)
    (root / "kept").write_text("kept")
    try:
        packed = io.BytesIO()
        archive.pack(root, packed)
        # GNU tar, which packs in a sandbox, takes all of it
        whole = subprocess.run(["tar", "-c", "-C", root, "."], capture_output=True, check=True).stdout
        for data in (packed.getvalue(), whole):
            archive.unpack(io.BytesIO(data), back, most=2**30)
            assert (back / "kept").read_text() == "kept"
            assert max(len(folder.parts) for folder in trees.walk(back)) > 500
    finally:
        for folder in (root, back):
            runtime.remove(folder)


def test_a_link_to_a_file_that_was_left_behind_costs_nothing_else(workspace: Path) -> None:
    long = "/".join(["x" * 200] * 30)
    file, link, other = tarfile.TarInfo(f"{long}/file"), tarfile.TarInfo("link"), tarfile.TarInfo("other")
    link.type, link.linkname = tarfile.LNKTYPE, file.name
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in (file, link, other):
            tar.addfile(member)
    packed.seek(0)
    archive.unpack(packed, workspace, most=2**20)
    assert [path.name for path in workspace.iterdir()] == ["other"]
