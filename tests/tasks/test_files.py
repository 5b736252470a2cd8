"""What is read, hashed and copied of a folder that nobody trusts, and what is told instead."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.errors import HostError, TaskError
from workbench.tasks import files as files_module
from workbench.tasks.files import Files, place, tree_hash, write


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "outside" / "secret.txt"
    path.parent.mkdir()
    path.write_text("SECRET")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    (path / "sub" / "deep").mkdir(parents=True)
    (path / "a.txt").write_text("a")
    (path / "sub" / "b.txt").write_text("b")
    (path / "sub" / "deep" / "run.sh").write_text("#!/bin/sh\n")
    (path / "sub" / "deep" / "run.sh").chmod(0o755)
    return path


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


SPECIAL = [
    (pipe, "is neither a file nor a folder, but a named pipe"),
    (listening, "is neither a file nor a folder, but a socket"),
    (device, "is neither a file nor a folder, but a device"),
]


class TestRead:
    def test_a_file_and_one_behind_links_that_stay_inside(self, root: Path) -> None:
        (root / "link.txt").symlink_to("sub/../sub/b.txt")
        (root / "folder").symlink_to("sub/deep")
        (root / "sub" / "up").symlink_to("../a.txt")
        files = Files(root)
        assert (files.read("a.txt"), files.text("link.txt"), files.text("sub/up")) == (b"a", "b", "a")
        assert files.text("folder/run.sh") == "#!/bin/sh\n"
        assert files.text("folder/../b.txt") == "b"

    def test_a_root_that_is_a_link_is_the_users_own(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "named").symlink_to(root)
        assert Files(tmp_path / "named").read("a.txt") == b"a"

    @pytest.mark.parametrize(
        ("path", "target"),
        [
            ("link", "{secret}"),
            ("link", "../outside/secret.txt"),
            ("sub/link", "../../outside/secret.txt"),
            ("folder/secret.txt", "../outside"),
            ("folder/secret.txt", "{secret.parent}"),
            ("chain", "other"),
            ("link", "/proc/self/environ"),
            ("link", "//etc/passwd"),
            ("link", "/"),
        ],
    )
    def test_what_leads_outside_is_told_and_not_read(self, root: Path, secret: Path, path: str, target: str) -> None:
        (root / "other").symlink_to(secret)
        name = "folder" if path.startswith("folder") else path
        (root / name).symlink_to(target.format(secret=secret))
        with pytest.raises(TaskError, match="is a symbolic link that leads outside its folder; who says so") as caught:
            Files(root).read(path, "who says so")
        assert str(root / path) in caught.value.message and "SECRET" not in str(caught.value)

    @pytest.mark.parametrize("path", ["..", "../outside/secret.txt", "sub/../../outside/secret.txt", "/etc/passwd", "//etc/passwd"])
    def test_a_path_that_leads_outside_is_told(self, root: Path, secret: Path, path: str) -> None:
        with pytest.raises(TaskError, match="is outside its folder"):
            Files(root).read(path)

    @pytest.mark.parametrize(("make", "said"), SPECIAL)
    def test_what_is_no_file_is_told_and_waits_for_nobody(self, root: Path, make: Callable[[Path], None], said: str) -> None:
        make(root / "odd")
        (root / "link").symlink_to("odd")
        for name in ("odd", "link"):
            with pytest.raises(TaskError, match=f"{name} {said}"):
                Files(root).read(name)

    @pytest.mark.parametrize(
        ("target", "said"),
        [("nowhere", "leads nowhere"), ("link", "leads in a circle"), ("sub", "is a folder, where a file is needed")],
    )
    def test_a_link_that_is_no_use_is_told(self, root: Path, target: str, said: str) -> None:
        (root / "link").symlink_to(target)
        with pytest.raises(TaskError, match=said):
            Files(root).read("link")

    @pytest.mark.parametrize("path", ["nope", "nope/more", "a.txt/more", "a\0b", "n" * 300])
    def test_what_is_not_there_is_told_with_the_hint(self, root: Path, path: str) -> None:
        with pytest.raises(TaskError) as caught:
            Files(root).read(path, hint="write it")
        assert caught.value.hint == "write it"

    def test_what_is_too_large_or_no_text_is_told(self, root: Path) -> None:
        with pytest.raises(TaskError, match=r"a\.txt is larger than the 0 bytes"):
            Files(root).read("a.txt", most=0)
        (root / "a.txt").write_bytes(b"\xff")
        with pytest.raises(TaskError, match="it is not UTF-8"):
            Files(root).text("a.txt")

    def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(self, root: Path, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (root / "sub" / "secret.txt").write_text("mine")
        real = os.open

        def late(path: str, flags: int, *arguments: int, **more: int) -> int:
            if path == "sub":
                (root / "sub").rename(root / "was")
                (root / "sub").symlink_to(secret.parent)
            return real(path, flags, *arguments, **more)

        monkeypatch.setattr(files_module.os, "open", late)
        with pytest.raises(TaskError):
            Files(root).read("sub/secret.txt")

    def test_a_folder_that_is_private_is_known_by_any_name(self, root: Path) -> None:
        (root / "hidden").mkdir()
        (root / "hidden" / "x").write_text("x")
        (root / "alias").symlink_to("hidden")
        files = Files(root)
        for path in ("hidden/x", "alias/x", "sub/../hidden/x"):
            with pytest.raises(TaskError, match="leads into the task's folder hidden"):
                files.read(path, never=("hidden",))
        assert files.read("alias/x") == b"x"

    def test_a_machine_that_has_run_out_is_not_the_tasks_fault(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_arguments: object, **_more: object) -> int:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(files_module.os, "open", full)
        with pytest.raises(HostError, match="Too many open files"):
            Files(root).read("a.txt")


class TestCopy:
    def test_takes_files_folders_links_and_modes(self, root: Path, tmp_path: Path) -> None:
        (root / "sub" / "link").symlink_to("deep/run.sh")
        (root / "sub" / "folder").symlink_to("deep")
        (root / "sub" / "new\nline \udcff").touch()
        (root / "sub" / "__pycache__").mkdir()
        os.link(root / "sub" / "b.txt", root / "sub" / "hard.txt")
        (root / "sub" / "deep" / "run.sh").chmod(0o4755)
        Files(root).copy("sub", tmp_path / "to")
        to = tmp_path / "to"
        assert names(to) == {"b.txt", "deep", "folder", "hard.txt", "link", "new\nline \udcff"}
        assert {str((to / name).readlink()) for name in ("link", "folder")} == {"deep/run.sh", "deep"}
        assert (to / "hard.txt").read_text() == "b"
        assert (to / "deep" / "run.sh").stat().st_mode & 0o7777 == 0o755
        (root / "sub" / "deep" / "run.sh").chmod(0o755)
        assert tree_hash(to) == Files(root).hash("sub")

    def test_goes_over_what_is_there(self, root: Path, secret: Path, tmp_path: Path) -> None:
        to = tmp_path / "to"
        to.mkdir()
        (to / "b.txt").symlink_to(secret)
        (to / "kept").touch()
        Files(root).copy("sub", to)
        assert (secret.read_text(), (to / "b.txt").read_text(), (to / "b.txt").is_symlink()) == ("SECRET", "b", False)
        assert (to / "kept").exists()

    def test_never_goes_through_a_link_that_is_there(self, root: Path, secret: Path, tmp_path: Path) -> None:
        to = tmp_path / "to"
        to.mkdir()
        (to / "deep").symlink_to(secret.parent)
        with pytest.raises(TaskError, match=r"deep is a folder where another part of the task has a file or a link"):
            Files(root).copy("sub", to)
        assert names(secret.parent) == {"secret.txt"}
        with pytest.raises(TaskError, match="has a file or a link"):
            place(to, "deep/x")
        write(to / "deep", b"own")
        assert ((to / "deep").read_bytes(), names(secret.parent)) == (b"own", {"secret.txt"})

    @pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", ".."])
    def test_goes_nowhere_else(self, tmp_path: Path, path: str) -> None:
        with pytest.raises(TaskError, match="leads outside"):
            place(tmp_path, path)

    @pytest.mark.parametrize(
        ("where", "target"),
        [
            ("link", "{secret}"),
            ("link", "../a.txt"),
            ("deep/link", "../../a.txt"),
            ("link", "{root}/sub/b.txt"),
            ("link", "deep/../../sub/b.txt"),
            ("link", "chain/secret.txt"),
            ("link", "/"),
            ("link", "//etc"),
            ("link", ".."),
        ],
    )
    def test_a_link_that_would_lead_outside_is_told(self, root: Path, secret: Path, tmp_path: Path, where: str, target: str) -> None:
        if target.startswith("chain"):
            (root / "sub" / "zchain").symlink_to(secret.parent)
            target = "zchain/secret.txt"
        (root / "sub" / where).symlink_to(target.format(secret=secret, root=root))
        for files in (Files(root), Files(root, dangling=True)):
            with pytest.raises(TaskError, match="is a symbolic link that leads outside its folder, to ") as caught:
                files.copy("sub", tmp_path / "to", "who says so")
            assert str(root / "sub" / where) in caught.value.message and caught.value.message.endswith("; who says so")
            with pytest.raises(TaskError, match="leads outside"):
                files.check("sub")

    def test_a_link_that_leads_nowhere_is_told_or_kept(self, root: Path, tmp_path: Path) -> None:
        (root / "sub" / "link").symlink_to("nowhere")
        (root / "sub" / "round").symlink_to("round")
        with pytest.raises(TaskError, match="link is a symbolic link that leads nowhere, to 'nowhere'"):
            Files(root).copy("sub", tmp_path / "to")
        Files(root, dangling=True).copy("sub", tmp_path / "kept")
        assert (tmp_path / "kept" / "link").readlink() == Path("nowhere")

    @pytest.mark.parametrize(("make", "said"), SPECIAL)
    def test_what_is_neither_file_nor_folder_is_told(self, root: Path, tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
        make(root / "sub" / "deep" / "odd")
        with pytest.raises(TaskError, match=f"deep/odd {said}"):
            Files(root).copy("sub", tmp_path / "to")
        with pytest.raises(TaskError, match=f"deep/odd {said}"):
            list(Files(root).entries())
        # it is there, and nobody waits for its content
        assert Files(root).hash() == Files(root).hash() != Files(root).hash("sub")

    def test_what_is_too_much_is_told_before_it_is_read(self, root: Path, tmp_path: Path) -> None:
        with (root / "sub" / "huge").open("wb") as file:
            file.truncate(2**40)
        for ask in (
            lambda: Files(root).copy("sub", tmp_path / "to"),
            lambda: Files(root).hash(),
            lambda: Files(root).copy("sub/huge", tmp_path / "x"),
        ):
            with pytest.raises(TaskError, match=r"huge (goes beyond|is larger than) the \d+ bytes"):
                ask()

    def test_so_many_files_are_told(self, root: Path, tmp_path: Path) -> None:
        with pytest.raises(TaskError, match="a folder may hold 3 files and folders"):
            Files(root, most_entries=3).copy(".", tmp_path / "to")

    def test_so_many_folders_in_one_another_are_told(self, root: Path, tmp_path: Path) -> None:
        here = os.open(root, os.O_RDONLY)
        try:
            for _ in range(200):
                os.mkdir("d", dir_fd=here)
                inner = os.open("d", os.O_RDONLY, dir_fd=here)
                os.close(here)
                here = inner
        finally:
            os.close(here)
        with pytest.raises(TaskError, match="is nested deeper than 100 folders"):
            Files(root).copy(".", tmp_path / "to")

    def test_a_folder_that_no_agent_may_see_is_not_copied_with_the_rest(self, root: Path, tmp_path: Path) -> None:
        with pytest.raises(TaskError, match="deep leads into the task's folder sub/deep, which no agent may see"):
            Files(root).copy(".", tmp_path / "to", never=("sub/deep",))

    def test_what_cannot_be_written_is_the_machines_fault(self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_arguments: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(files_module.os, "copy_file_range", full)
        monkeypatch.setattr(files_module.os, "sendfile", full)
        with pytest.raises(HostError, match="No space left on device"):
            Files(root).copy(".", tmp_path / "to")

    def test_a_file_that_shrinks_is_told(self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files_module.os, "copy_file_range", lambda *_arguments: 0)
        with pytest.raises(TaskError, match="became shorter"):
            Files(root).copy("a.txt", tmp_path / "to")

    def test_file_systems_that_share_nothing_are_copied_between(self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def other(*_arguments: object) -> int:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        monkeypatch.setattr(files_module.os, "copy_file_range", other)
        Files(root).copy(".", tmp_path / "to")
        assert tree_hash(tmp_path / "to") == tree_hash(root)


class TestHash:
    def test_takes_links_for_what_they_say(self, root: Path, secret: Path) -> None:
        plain = tree_hash(root)
        (root / "link").symlink_to(secret)
        linked = tree_hash(root)
        secret.write_text("ANOTHER")
        assert plain != linked == tree_hash(root)
        (root / "link").unlink()
        (root / "link").symlink_to("elsewhere")
        assert tree_hash(root) != linked

    def test_tells_empty_folders_and_programs(self, root: Path) -> None:
        hashes = [tree_hash(root)]
        (root / "sub" / "empty").mkdir()
        hashes.append(tree_hash(root))
        (root / "a.txt").chmod(0o755)
        hashes.append(tree_hash(root))
        assert len(set(hashes)) == 3
        (root / "sub" / "empty" / "x").touch()
        assert tree_hash(root) not in hashes

    def test_of_plain_files_is_what_it_always_was(self, tmp_path: Path) -> None:
        (tmp_path / "a" / "c").mkdir(parents=True)
        (tmp_path / "a" / "b").write_text("1")
        (tmp_path / "a" / "c" / "d").write_text("22")
        (tmp_path / "a.b").write_text("")
        assert tree_hash(tmp_path) == "cd921f8eba88b0c31e3a0b938d941956847823bae9594f67845fafe48baed05b"

    def test_of_nothing_is_that_of_an_empty_folder(self, tmp_path: Path) -> None:
        assert tree_hash(tmp_path / "nowhere") == tree_hash(tmp_path)
