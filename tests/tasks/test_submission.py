"""Freezing: what is declared is copied, and nothing an agent left behind leads out, hangs, or breaks the run."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench
from workbench.events import SubmissionFrozen
from workbench.tasks.spec import Submission
from workbench.tasks.submission import Frozen, control, freeze, thaw

SECRET = b"the hidden labels"


class Place:
    """A workspace, and beside it what no submission may ever hold."""

    def __init__(self, root: Path) -> None:
        self.workspace, self.outside, self.root = root / "workspace", root / "outside", root / "frozen"
        for path in (self.workspace, self.outside, self.root):
            path.mkdir()
        (self.outside / "out.csv").write_bytes(SECRET)
        (self.outside / "deep").mkdir()
        (self.outside / "deep" / "out.csv").write_bytes(SECRET)

    def freeze(self, kind: str, path: str | None = None, *, answer: str | None = None, **more: Any) -> Frozen:
        frozen = freeze(Submission.model_validate({"kind": kind, "path": path, **more}), self.workspace, answer, self.root)
        self.check(frozen)
        return frozen

    def check(self, frozen: Frozen) -> None:
        """Whatever was handed in: plain files, as described, and none of them the secret."""
        held = {path for path in self.root.rglob("*") if not path.is_dir()}
        assert all(stat.S_ISREG(path.lstat().st_mode) and SECRET not in path.read_bytes() for path in held)
        for file in frozen.files:
            data = (self.root / file.path).read_bytes()
            assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        if frozen.invalid is None:
            assert {os.fspath(self.root / file.path) for file in frozen.files} == set(map(os.fspath, held))
        # and it must fit into a journal
        event = SubmissionFrozen(kind="x", files=frozen.files, answer=frozen.answer, invalid=frozen.invalid, artifact=None)
        assert event.model_dump(mode="json")
        with tarfile.open(fileobj=io.BytesIO(frozen.archive())) as archive:
            assert [member.name for member in archive] == [file.path for file in frozen.files]
            assert all(member.isreg() for member in archive)

    def write(self, name: str | bytes, data: bytes = b"data") -> None:
        path = os.path.join(os.fsencode(self.workspace), os.fsencode(name))  # noqa: PTH118 - bytes
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(data)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def names(frozen: Frozen) -> list[str]:
    return [file.path for file in frozen.files]


class TestFile:
    @pytest.mark.parametrize("kind", ["file", "json"])
    @pytest.mark.parametrize("path", ["out.csv", "a/b/out.csv", "a b/ü\n.csv"])
    def test_is_copied_to_the_same_place(self, place: Place, kind: str, path: str) -> None:
        place.write(path, b"[1, 2]\n")
        place.write("other", b"left alone")
        frozen = place.freeze(kind, path)
        assert (frozen.invalid, names(frozen)) == (None, [path])
        assert (place.root / path).read_bytes() == b"[1, 2]\n"

    def test_may_be_empty(self, place: Place) -> None:
        place.write("out.csv", b"")
        frozen = place.freeze("file", "out.csv")
        assert (frozen.invalid, frozen.files[0].size) == (None, 0)

    @pytest.mark.parametrize("path", ["out.csv", "a/out.csv"])
    def test_that_is_missing_is_invalid(self, place: Place, path: str) -> None:
        frozen = place.freeze("file", path)
        assert (frozen.invalid, frozen.files) == (f"{path} does not exist", [])

    def test_may_be_as_large_as_allowed_and_no_larger(self, place: Place) -> None:
        place.write("out.csv", b"x" * 1000)
        assert place.freeze("file", "out.csv", max_bytes=1000).invalid is None

    def test_that_is_too_large_is_invalid(self, place: Place) -> None:
        place.write("out.csv", b"x" * 1001)
        assert place.freeze("file", "out.csv", max_bytes=1000).invalid == "out.csv goes beyond the 1000 bytes a submission may have"

    def test_that_claims_a_terabyte_is_invalid_at_once(self, place: Place) -> None:
        place.write("out.csv")
        os.truncate(place.workspace / "out.csv", 2**40)
        assert "goes beyond" in (place.freeze("file", "out.csv", max_bytes=1000).invalid or "")

    def test_is_not_what_changes_later(self, place: Place) -> None:
        place.write("out.csv", b"before")
        frozen = place.freeze("file", "out.csv")
        place.write("out.csv", b"after!")
        assert (frozen.root / "out.csv").read_bytes() == b"before"


ELSEWHERE = {
    "file": lambda place: place.outside / "out.csv",
    "relative": lambda place: Path("../outside/out.csv"),
    "folder": lambda place: place.outside,
    "nowhere": lambda place: Path("nowhere"),
    "itself": lambda place: Path("out.csv"),
    "inside": lambda place: Path("real.csv"),
    "process": lambda place: Path("/proc/self/environ"),
    "device": lambda place: Path("/dev/zero"),
}


class TestLinks:
    @pytest.mark.parametrize("where", ELSEWHERE.values(), ids=ELSEWHERE.keys())
    def test_in_place_of_the_file_are_invalid(self, place: Place, where: Any) -> None:
        place.write("real.csv")
        (place.workspace / "out.csv").symlink_to(where(place))
        frozen = place.freeze("file", "out.csv")
        assert frozen.invalid is not None and "symbolic link" in frozen.invalid
        assert frozen.files == []

    @pytest.mark.parametrize("position", [0, 1, 2])
    def test_in_place_of_a_folder_are_invalid(self, place: Place, position: int) -> None:
        parts = ["a", "deep", "b"]
        real = place.outside.joinpath(*parts[position + 1 :])
        real.mkdir(parents=True, exist_ok=True)
        (real / "out.csv").write_bytes(SECRET)
        above = place.workspace.joinpath(*parts[:position])
        above.mkdir(parents=True, exist_ok=True)
        (above / parts[position]).symlink_to(place.outside)
        for kind, path in (("file", "a/deep/b/out.csv"), ("tree", "a/deep/b")):
            frozen = place.freeze(kind, path)
            assert frozen.invalid is not None and "symbolic link" in frozen.invalid
            assert frozen.files == []

    def test_in_a_tree_are_left_out(self, place: Place) -> None:
        place.write("src/kept.py")
        for name, target in {"file": place.outside / "out.csv", "folder": place.outside, "loop": Path(), "self": Path("self")}.items():
            (place.workspace / "src" / name).symlink_to(target)
        assert names(place.freeze("tree", "src")) == ["src/kept.py"]

    def test_alone_make_no_tree(self, place: Place) -> None:
        (place.workspace / "out.csv").symlink_to(place.outside / "out.csv")
        assert place.freeze("tree").invalid == ". has no files"

    def test_in_place_of_the_tree_are_invalid(self, place: Place) -> None:
        (place.workspace / "src").symlink_to(place.outside)
        assert "symbolic link" in (place.freeze("tree", "src").invalid or "")

    def test_of_the_hard_kind_are_files_of_their_own_afterwards(self, place: Place) -> None:
        place.write("a", b"same")
        os.link(place.workspace / "a", place.workspace / "b")
        frozen = place.freeze("tree")
        assert names(frozen) == ["a", "b"]
        assert {(place.root / name).stat().st_nlink for name in "ab"} == {1}


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path must be short
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def make_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root may make devices")


SPECIAL = {"fifo": make_fifo, "socket": make_socket, "device": make_device}


class TestSpecialFiles:
    @pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL.keys())
    def test_are_invalid_and_do_not_hang(self, place: Place, make: Any) -> None:
        make(place.workspace / "out.csv")
        frozen = place.freeze("file", "out.csv")
        assert frozen.invalid is not None and frozen.invalid.startswith("out.csv is ")

    @pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL.keys())
    def test_in_a_tree_are_invalid_and_do_not_hang(self, place: Place, make: Any) -> None:
        # "what is neither file nor folder makes the submission invalid, with the reason"
        place.write("src/kept.py")
        make(place.workspace / "src" / "odd")
        frozen = place.freeze("tree", "src")
        assert frozen.invalid is not None and "src/odd" in frozen.invalid

    @pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL.keys())
    def test_in_place_of_a_folder_are_invalid(self, place: Place, make: Any) -> None:
        make(place.workspace / "src")
        assert place.freeze("tree", "src").invalid is not None
        assert place.freeze("file", "src/out.csv").invalid is not None

    def test_a_folder_is_no_file(self, place: Place) -> None:
        place.write("out.csv/inside")
        frozen = place.freeze("json", "out.csv")
        assert (frozen.invalid, frozen.files) == ("out.csv is not a regular file", [])

    def test_a_file_is_no_folder(self, place: Place) -> None:
        place.write("src")
        assert "not a folder" in (place.freeze("tree", "src").invalid or "")
        assert "not a folder" in (place.freeze("file", "src/out.csv").invalid or "")


class TestTree:
    def test_is_the_whole_workspace_by_default(self, place: Place) -> None:
        for name in ("b.py", "a/c.py", "a/d/e"):
            place.write(name)
        frozen = place.freeze("tree")
        assert names(frozen) == ["a/c.py", "a/d/e", "b.py"]

    def test_passes_over_what_is_not_the_agents_work(self, place: Place) -> None:
        for name in (
            "a.py",
            "__pycache__/a.pyc",
            "d/__pycache__/b.pyc",
            ".git/config",
            "d/.git/HEAD",
            ".ipynb_checkpoints/a",
            ".gitignore",
        ):
            place.write(name)
        assert names(place.freeze("tree")) == [".gitignore", "a.py"]

    @pytest.mark.parametrize("path", [None, "src"])
    def test_without_files_is_invalid(self, place: Place, path: str | None) -> None:
        (place.workspace / "src" / "empty").mkdir(parents=True)
        assert place.freeze("tree", path).invalid == f"{path or '.'} has no files"

    def test_that_is_missing_is_invalid(self, place: Place) -> None:
        assert place.freeze("tree", "src").invalid == "src does not exist"

    @pytest.mark.parametrize(("files", "invalid"), [(5, None), (6, ". has more than 5 files")])
    def test_may_have_so_many_files(self, place: Place, files: int, invalid: str | None) -> None:
        for number in range(files):
            place.write(f"d{number}/f")
        assert place.freeze("tree", max_files=5).invalid == invalid

    @pytest.mark.parametrize(("size", "valid"), [(50, True), (51, False)])
    def test_may_have_so_many_bytes_in_all(self, place: Place, size: int, valid: bool) -> None:
        place.write("a", b"x" * 50)
        place.write("b", b"x" * size)
        assert (place.freeze("tree", max_bytes=100).invalid is None) is valid

    @pytest.mark.parametrize(("depth", "valid"), [(60, True), (70, False)])
    def test_may_be_so_deep(self, place: Place, depth: int, valid: bool) -> None:
        place.write("/".join(["d"] * depth) + "/f")
        assert (place.freeze("tree").invalid is None) is valid

    def test_with_a_path_that_no_system_takes_is_invalid(self, place: Place) -> None:
        # folder by folder one gets deeper than any path may be long
        here = Path.cwd()
        try:
            os.chdir(place.workspace)
            for _ in range(30):
                Path("d" * 200).mkdir()
                os.chdir("d" * 200)
            Path("f").write_text("deep down")
        finally:
            os.chdir(here)
        frozen = place.freeze("tree")
        assert frozen.invalid is not None

    def test_keeps_names_as_they_are(self, place: Place) -> None:
        odd = ["new\nline", "ta\tb", " ", "-rf", "日本語", "🧪", "a'b\"c", "back\\slash", "..."]
        for name in odd:
            place.write(name)
        assert sorted(names(place.freeze("tree"))) == sorted(odd)

    def test_with_a_name_that_is_no_text_ends_well(self, place: Place) -> None:
        place.write(b"caf\xe9.txt")
        place.write("fine")
        frozen = place.freeze("tree")
        assert frozen.invalid is not None or "fine" in names(frozen)

    def test_the_reason_can_be_written_whatever_the_name_is(self, place: Place) -> None:
        os.mkfifo(os.fsencode(place.workspace) + b"/caf\xe9")
        assert place.freeze("tree").invalid == "caf? is neither a file nor a folder"

    def test_does_not_depend_on_the_order_on_disk(self, place: Place, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.mkdir()
        other_place = Place(other)
        files = {f"f{number}": b"%d" % number for number in range(20)}
        for name, data in files.items():
            place.write(name, data)
        for name, data in reversed(files.items()):
            other_place.write(name, data)
        assert place.freeze("tree").archive() == other_place.freeze("tree").archive()


class TestBase:
    """A tree that began as another: only the difference is kept in the record."""

    FILES = st.dictionaries(
        st.sampled_from(["a.py", "src/b.py", "src/deep/c.txt", "d"]), st.sampled_from([b"", b"x", b"y", b"xx"]), min_size=1
    )

    @settings(max_examples=50, deadline=None)
    @given(before=FILES, after=FILES)
    def test_what_was_frozen_comes_back_from_base_and_record(self, before: dict[str, bytes], after: dict[str, bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            base, workspace, root, again = (Path(folder, name) for name in ("base", "workspace", "root", "again"))
            for path, files in ((base, before), (workspace, after), (root, {}), (again, {})):
                path.mkdir()
                for name, data in files.items():
                    (path / name).parent.mkdir(parents=True, exist_ok=True)
                    (path / name).write_bytes(data)
            declared = Submission(kind="tree")
            frozen = freeze(declared, workspace, None, root, base)
            assert {file.path for file in frozen.files} == {name for name, data in after.items() if before.get(name) != data}
            assert frozen.deleted == sorted(before.keys() - after.keys())
            assert frozen.unchanged == len(after) - len(frozen.files)
            thawed = thaw(frozen.archive(), base, declared, frozen.deleted, again)
            for found in (root, again):
                assert {str(path.relative_to(found)): path.read_bytes() for path in found.rglob("*") if path.is_file()} == after
            assert (thawed.files, thawed.unchanged) == (frozen.files, frozen.unchanged)
            assert {str(path.relative_to(base)): path.read_bytes() for path in base.rglob("*") if path.is_file()} == before

    def test_a_link_in_the_base_is_no_file_of_it(self, place: Place, tmp_path: Path) -> None:
        base = tmp_path / "base"
        base.mkdir()
        (base / "out.csv").symlink_to(place.outside / "out.csv")
        place.write("out.csv", SECRET)
        frozen = freeze(Submission(kind="tree"), place.workspace, None, place.root, base)
        assert (names(frozen), frozen.unchanged, frozen.deleted) == (["out.csv"], 0, [])

    def test_the_limits_count_what_is_unchanged_too(self, place: Place) -> None:
        place.write("a", b"12345")
        place.write("b", b"12345")
        for more, reason in ({"max_files": 1}, "more than 1 files"), ({"max_bytes": 9}, "goes beyond"):
            root = place.root.with_name("-".join(more))
            root.mkdir()
            frozen = freeze(Submission.model_validate({"kind": "tree", **more}), place.workspace, None, root, place.workspace)
            assert reason in (frozen.invalid or "")


class TestAnswer:
    def test_becomes_a_file(self, place: Place) -> None:
        frozen = place.freeze("answer", answer="naïve\n42 ")
        assert (frozen.invalid, frozen.answer, names(frozen)) == (None, "naïve\n42 ", ["answer.txt"])
        assert (place.root / "answer.txt").read_text(encoding="utf-8") == "naïve\n42 "

    @pytest.mark.parametrize("answer", [None, "", " \n\t"])
    def test_that_is_missing_is_invalid(self, place: Place, answer: str | None) -> None:
        assert place.freeze("answer", answer=answer).invalid == "no answer was given"

    def test_that_is_no_text_ends_well(self, place: Place) -> None:
        frozen = place.freeze("answer", answer="half a pair: \ud83d")
        assert frozen.invalid is not None or (place.root / "answer.txt").read_bytes().startswith(b"half a pair: ")

    def test_that_is_too_large_is_invalid(self, place: Place) -> None:
        assert "1000 bytes" in (place.freeze("answer", answer="x" * 1001, max_bytes=1000).invalid or "")

    def test_is_not_taken_from_the_workspace(self, place: Place) -> None:
        place.write("answer.txt", b"planted")
        assert place.freeze("answer", answer=None).invalid == "no answer was given"


FORBIDDEN = """
import os, sys, tempfile
from pathlib import Path
from workbench.tasks.spec import Submission
from workbench.tasks.submission import freeze
root = Path(tempfile.mkdtemp(dir=sys.argv[1]))
if os.getuid() == 0:
    os.chown(root, 65534, 65534)
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for what in ("file", "folder"):
    (root / what).mkdir()
    (root / what / "fine").write_text("x")
(root / "file" / "shut").write_text("x")
(root / "file" / "shut").chmod(0)
(root / "folder" / "shut").mkdir(mode=0)
for what in ("file", "folder"):
    (root / f"frozen-{what}").mkdir()
    frozen = freeze(Submission(kind="tree"), root / what, None, root / f"frozen-{what}")
    assert frozen.invalid and "shut" in frozen.invalid, frozen
frozen = freeze(Submission(kind="file", path="shut"), root / "file", None, root / "frozen-file")
assert frozen.invalid and "shut" in frozen.invalid and "link" not in frozen.invalid, frozen
"""


def test_what_may_not_be_read_is_invalid() -> None:
    # an agent may take the rights off its own files, which stops everybody but root
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", FORBIDDEN, folder],
            env={**os.environ, "PYTHONPATH": str(Path(workbench.__file__).parents[1])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


NAMES = ["a", "b", "out.csv", "deep", "__pycache__", "new\nline"]
LINKS = [
    "../outside",
    "../../outside/out.csv",
    "{outside}",
    "{outside}/out.csv",
    "{outside}/deep",
    ".",
    "..",
    "a",
    "/proc/self/root{outside}",
]
trees = st.recursive(
    st.binary(max_size=4) | st.sampled_from(LINKS),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)


def grow(at: Path, tree: Any, outside: Path) -> None:
    if isinstance(tree, dict):
        at.mkdir()
        for name, inner in tree.items():
            grow(at / name, inner, outside)
    elif isinstance(tree, str):
        at.symlink_to(tree.format(outside=outside))
    else:
        at.write_bytes(tree)


def plain(tree: Any, at: str = "") -> dict[str, bytes]:
    """The files of a tree that are reached without a link."""
    if not isinstance(tree, dict):
        return {at: tree} if isinstance(tree, bytes) else {}
    inner = [
        plain(value, f"{at}/{name}".lstrip("/")) for name, value in tree.items() if not (isinstance(value, dict) and name == "__pycache__")
    ]
    return {path: data for files in inner for path, data in files.items()}


class TestAnyTree:
    @settings(deadline=None)
    @given(tree=st.dictionaries(st.sampled_from(NAMES), trees, max_size=4))
    def test_is_frozen_without_leaving_it(self, tmp_path_factory: pytest.TempPathFactory, tree: dict[str, Any]) -> None:
        place = Place(tmp_path_factory.mktemp("place"))
        place.workspace.rmdir()
        grow(place.workspace, tree, place.outside)
        frozen = place.freeze("tree")
        assert {file.path: (place.root / file.path).read_bytes() for file in frozen.files} == plain(tree)
        assert (frozen.invalid is None) is bool(plain(tree))

    @settings(deadline=None)
    @given(
        tree=st.dictionaries(st.sampled_from(NAMES), trees, min_size=1, max_size=4),
        path=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join),
    )
    def test_gives_up_a_file_just_where_it_has_one(self, tmp_path_factory: pytest.TempPathFactory, tree: dict[str, Any], path: str) -> None:
        place = Place(tmp_path_factory.mktemp("place"))
        place.workspace.rmdir()
        grow(place.workspace, tree, place.outside)
        frozen = place.freeze("file", path)
        found: Any = tree
        for part in path.split("/"):
            found = found.get(part) if isinstance(found, dict) else None
        if isinstance(found, bytes):
            assert (frozen.invalid, (place.root / path).read_bytes()) == (None, found)
        else:
            assert frozen.invalid is not None and frozen.files == []


class TestControl:
    """What a grader is given to see whether it grades anything."""

    @pytest.mark.parametrize(
        ("kind", "path", "files"),
        [
            ("tree", None, {"a.txt": b"as it was"}),
            ("file", "a.txt", {"a.txt": b"as it was"}),
            ("file", "b/c.csv", {"b/c.csv": b""}),
            ("json", "b.json", {"b.json": b"{}"}),
            ("answer", None, {"answer.txt": b""}),
            ("episode", None, {"episode.json": b'{"calls": [], "queries": 0, "answer": ""}'}),
        ],
    )
    def test_is_what_nobody_has_worked_at(self, tmp_path: Path, kind: str, path: str | None, files: dict[str, bytes]) -> None:
        workspace, root = tmp_path / "workspace", tmp_path / "root"
        workspace.mkdir()
        root.mkdir()
        (workspace / "a.txt").write_bytes(b"as it was")
        found = control(Submission.model_validate({"kind": kind, "path": path}), workspace, root)
        assert found.invalid is None
        assert {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()} == files

    def test_of_a_workspace_without_files_is_empty(self, tmp_path: Path) -> None:
        (tmp_path / "workspace").mkdir()
        (tmp_path / "root").mkdir()
        assert control(Submission(kind="tree"), tmp_path / "workspace", tmp_path / "root").invalid is None
        assert list((tmp_path / "root").iterdir()) == []


class TestAShortageOnThisMachine:
    @pytest.mark.parametrize("kind", ["file", "tree"])
    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO])
    def test_is_not_the_submissions_fault(self, place: Place, monkeypatch: pytest.MonkeyPatch, kind: str, number: int) -> None:
        place.write("d/out.csv")
        opened = os.open

        def short(path: Any, *rest: Any, **more: Any) -> int:
            if path == "out.csv":
                raise OSError(number, os.strerror(number), path)
            return opened(path, *rest, **more)

        monkeypatch.setattr(os, "open", short)
        with pytest.raises(OSError, match=os.strerror(number)):
            place.freeze(kind, "d/out.csv" if kind == "file" else None)
