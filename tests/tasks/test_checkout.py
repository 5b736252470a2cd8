"""What a checkout is known by: its content on disk, compared with its commit and with what it was when it was imported."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.errors import TaskError
from workbench.kernels import environments
from workbench.tasks import find, fingerprints, suites
from workbench.tasks.checkout import Checkout
from workbench.tasks.fingerprints import snapshot
from workbench.tasks.imported import Imported, Known, Piece, described, listed
from workbench.tasks.staging import prepare, stage

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Run git as somebody; in the clone, unless it is told where."""

    def run(*arguments: str, at: Path = tmp_path / "clone") -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"]
        environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(["git", *who, "-C", str(at), *arguments], check=True, capture_output=True, text=True, env=environ)
        return done.stdout.strip()

    return run


@pytest.fixture
def clone(tmp_path: Path, git: Git) -> Path:
    """A clone with two folders and no changes."""
    root = tmp_path / "clone"
    for name, text in {"one/a.txt": "a\n", "one/deep/b.txt": "b\n", "two/c.txt": "c\n", ".gitignore": "*.log\n"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "one" / "link").symlink_to("a.txt")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "all")
    return root


def test_a_clone_is_as_in_its_commit(clone: Path, git: Git) -> None:
    checkout = Checkout(clone)
    assert checkout.commit == git("rev-parse", "HEAD")
    assert checkout.differing([clone, clone / "one", clone / "two" / "c.txt"]) == []


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        (lambda root, git: (root / "one" / "a.txt").write_text("A\n"), ["one/a.txt"]),
        (lambda root, git: (root / "one" / "new.txt").touch(), ["one/new.txt"]),
        (lambda root, git: (root / "one" / "deep" / "x.log").touch(), ["one/deep/x.log"]),
        (lambda root, git: (root / "one" / "deep" / "b.txt").unlink(), ["one/deep/b.txt"]),
        (lambda root, git: git("sparse-checkout", "set", "--no-cone", "/two/", "/one/a.txt"), ["one/deep/b.txt", "one/link"]),
        (lambda root, git: (git("update-index", "--assume-unchanged", "one/a.txt"), (root / "one/a.txt").write_text("A\n")), ["one/a.txt"]),
        (lambda root, git: (git("update-index", "--skip-worktree", "one/a.txt"), (root / "one/a.txt").unlink()), ["one/a.txt"]),
        (lambda root, git: ((root / "one/link").unlink(), (root / "one/link").symlink_to("deep/b.txt")), ["one/link"]),
        (lambda root, git: (git("config", "core.autocrlf", "true"), (root / "one/a.txt").write_bytes(b"a\r\n")), ["one/a.txt"]),
        (
            lambda root, git: (
                ((root / ".git/info/attributes").write_text("*.txt filter=x\n"), git("config", "filter.x.clean", "true"))
                and (root / "one/a.txt").write_text("A\n")
            ),
            ["one/a.txt"],
        ),
        (lambda root, git: git("init", "-q", at=(root / "one")), []),
        (lambda root, git: (root / "two" / "d.txt").touch(), []),
    ],
    ids=[
        "edited",
        "new",
        "ignored",
        "deleted",
        "sparse",
        "assumed unchanged",
        "skipped",
        "link",
        "line ends",
        "filter",
        "nested clone",
        "elsewhere",
    ],
)
def test_what_is_not_as_in_the_commit_is_seen_whatever_git_is_told(
    clone: Path, git: Git, change: Callable[[Path, Git], object], differing: list[str]
) -> None:
    before = Checkout(clone).fingerprint(clone / "one")
    change(clone, git)
    after = Checkout(clone)
    found = after.differing([clone / "one"])
    assert found == differing
    assert (after.fingerprint(clone / "one") == before) is not bool(found)


def test_a_file_of_the_same_size_and_time_is_read_again(clone: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_SMALL", 0)
    monkeypatch.setattr(fingerprints, "_RACY_NS", 0)
    files, path = Checkout(clone).files, clone / "one" / "a.txt"
    first = snapshot(files, "one")
    assert list((cache / "fingerprints").iterdir())
    info = path.stat()
    path.write_text("A\n")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    second = snapshot(files, "one")
    other = clone / "other"
    other.write_text("B\n")
    os.utime(other, ns=(info.st_atime_ns, info.st_mtime_ns))
    other.rename(path)
    assert len({each.fingerprint for each in (first, second, snapshot(files, "one"))}) == 3


def test_what_was_not_touched_is_not_read_again(clone: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_SMALL", 0)
    monkeypatch.setattr(fingerprints, "_RACY_NS", 0)
    files = Checkout(clone).files
    first = snapshot(files, "one")
    monkeypatch.setattr(fingerprints, "_ids", None)
    assert snapshot(files, "one") == first
    (kept,) = (cache / "fingerprints").iterdir()
    kept.write_text("{nonsense")
    with pytest.raises(TypeError):
        snapshot(files, "one")


def test_what_has_just_been_written_is_not_remembered(clone: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_SMALL", 0)
    monkeypatch.setattr(fingerprints, "_RACY_NS", 10**18)
    snapshot(Checkout(clone).files, "one")
    assert not (cache / "fingerprints").exists()


def test_a_folder_of_a_clone_knows_its_commit(clone: Path, git: Git) -> None:
    checkout = Checkout(clone / "one")
    assert (checkout.commit, checkout.differing([clone / "one" / "deep"])) == (git("rev-parse", "HEAD"), [])
    (clone / "one" / "deep" / "b.txt").write_text("B")
    assert Checkout(clone / "one").differing([clone / "one" / "deep"]) == ["deep/b.txt"]
    assert Checkout(clone / "two" / "c.txt").commit == git("rev-parse", "HEAD")


def test_a_folder_that_lies_in_somebody_elses_clone_has_no_commit(clone: Path) -> None:
    (clone / "three").mkdir()
    (clone / "three" / "x").touch()
    checkout = Checkout(clone / "three")
    assert (checkout.commit, checkout.differing([clone / "three"])) == (None, [])
    assert Checkout(clone / "one").commit is not None


def test_what_the_user_has_to_bring_is_no_change(clone: Path) -> None:
    (clone / "data").mkdir()
    (clone / "data" / "x.csv").write_text("1")
    assert Checkout(clone).differing([clone / "data", clone / "one"]) == []


def test_a_submodule_is_as_in_its_own_commit(clone: Path, git: Git, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    git("init", "-q", at=inner)
    (inner / "x").write_text("x")
    git("add", "-A", at=inner)
    git("commit", "-qm", "x", at=inner)
    git("submodule", "--quiet", "add", str(inner), "one/sub")
    git("commit", "-qm", "sub")
    assert Checkout(clone).differing([clone / "one"]) == []
    (clone / "one" / "sub" / "x").write_text("y")
    assert Checkout(clone).differing([clone / "one"]) == ["one/sub/x"]
    git("checkout", "-q", "--", "x", at=clone / "one" / "sub")
    git("commit", "-q", "--allow-empty", "-m", "y", at=clone / "one" / "sub")
    assert Checkout(clone).differing([clone / "one"]) == ["one/sub", "one/sub/x"]


def test_what_lfs_fetches_is_as_in_the_commit(clone: Path, git: Git) -> None:
    content = b"large\n"
    oid = subprocess.run(["sha256sum"], input=content, capture_output=True, check=True).stdout.split()[0].decode()
    (clone / "two" / "lfs").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n")
    git("add", "-A")
    git("commit", "-qm", "lfs")
    (clone / "two" / "lfs").write_bytes(content)
    assert Checkout(clone).differing([clone / "two"]) == []
    (clone / "two" / "lfs").write_bytes(b"other\n")
    assert Checkout(clone).differing([clone / "two"]) == ["two/lfs"]


def test_nothing_that_a_repository_configures_is_run(clone: Path, git: Git, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    git("config", "core.fsmonitor", f"touch {ran}")
    git("config", "core.sshCommand", f"touch {ran}")
    git("config", "core.pager", f"touch {ran}")
    git("config", "filter.x.clean", f"touch {ran}")
    git("config", "filter.x.smudge", f"touch {ran}")
    git("config", "remote.origin.url", f"ext::touch {ran}")
    git("config", "protocol.ext.allow", "always")
    git("config", "remote.origin.promisor", "true")
    git("config", "extensions.partialClone", "origin")
    (clone / ".git" / "info" / "attributes").write_text("* filter=x\n")
    (clone / "one" / "a.txt").write_text("A")
    missing = git("rev-parse", "HEAD:two/c.txt")
    (clone / ".git" / "objects" / missing[:2] / missing[2:]).unlink()
    (clone / "two" / "c.txt").write_text("C")
    checkout = Checkout(clone)
    assert (checkout.commit, checkout.differing([clone])) != (None, [])
    assert not ran.exists()


def test_a_replaced_object_hides_nothing(clone: Path, git: Git) -> None:
    (clone / "one" / "a.txt").write_text("A\n")
    old, new = git("rev-parse", "HEAD:one/a.txt"), git("hash-object", "-w", "one/a.txt")
    git("replace", old, new)
    tree = git("rev-parse", "HEAD^{tree}")
    git("add", "-A")
    git("replace", tree, git("write-tree"))
    assert Checkout(clone).differing([clone / "one"]) == ["one/a.txt"]


def test_the_users_own_variables_for_git_have_no_say(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Checkout(clone).commit
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert Checkout(clone).commit == commit is not None


def test_without_git_there_is_no_commit(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert (Checkout(clone).commit, Checkout(clone).differing([clone])) == (None, [])


class TestPieces:
    async def test_what_is_copied_is_what_its_fingerprint_says(self, clone: Path, git: Git, cache: Path, tmp_path: Path) -> None:
        (clone / "one" / "left.log").write_text("left by somebody")
        (clone / "one" / "__pycache__").mkdir()
        (clone / "one" / "__pycache__" / "a.pyc").touch()
        git("init", "-q", at=clone / "one" / "deep")
        git("clone", "-q", str(clone), str(tmp_path / "clean"))
        assert await served(clone, tmp_path / "w1") == {"a.txt": "a\n", "deep/b.txt": "b\n", "left.log": "left by somebody"}
        assert await served(tmp_path / "clean", tmp_path / "w2") == {"a.txt": "a\n", "deep/b.txt": "b\n"}
        assert len([path for path in (cache / "trees").iterdir() if path.suffix != ".lock"]) == 2

    async def test_one_checkout_after_another_shares_what_is_the_same(self, clone: Path, git: Git, cache: Path, tmp_path: Path) -> None:
        git("clone", "-q", str(clone), str(tmp_path / "clean"))
        await served(clone, tmp_path / "w1")
        await served(tmp_path / "clean", tmp_path / "w2")
        assert len([path for path in (cache / "trees").iterdir() if path.suffix != ".lock"]) == 1

    async def test_a_sparse_checkout_lacks_what_it_lacks_and_a_whole_one_nothing(
        self, clone: Path, git: Git, cache: Path, tmp_path: Path
    ) -> None:
        git("sparse-checkout", "set", "--no-cone", "/one/a.txt")
        assert await served(clone, tmp_path / "w1") == {"a.txt": "a\n"}
        git("sparse-checkout", "disable")
        assert await served(clone, tmp_path / "w2") == {"a.txt": "a\n", "deep/b.txt": "b\n"}

    async def test_that_change_while_they_are_copied_are_not_kept(
        self, clone: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = Imported._copy

        def late(self: Imported, source: Path, target: Path) -> None:
            (clone / "one" / "a.txt").write_text("late")
            real(self, source, target)

        monkeypatch.setattr(Imported, "_copy", late)
        with pytest.raises(TaskError, match="were changed after they were looked at"):
            await served(clone, tmp_path / "w1")
        assert [path for path in (cache / "trees").iterdir() if path.suffix != ".lock"] == []

    @pytest.mark.parametrize("target", ["{secret}", "../../../private/secret", "//etc/passwd"])
    async def test_that_lead_outside_are_told(self, clone: Path, cache: Path, tmp_path: Path, target: str) -> None:
        secret = tmp_path / "private" / "secret"
        secret.parent.mkdir()
        secret.write_text("SECRET")
        (clone / "one" / "deep" / "leak").symlink_to(target.format(secret=secret))
        with pytest.raises(TaskError, match="deep/leak is a symbolic link that leads outside its folder"):
            await served(clone, tmp_path / "w")
        (clone / "two" / "leak").symlink_to(target.format(secret=secret).replace("../../../", "../../"))
        for ask in (Checkout(clone).text, lambda *parts: Checkout(clone).fingerprint(clone.joinpath(*parts))):
            with pytest.raises(TaskError, match="two/leak is a symbolic link that leads outside its folder"):
                ask("two", "leak")
        with pytest.raises(TaskError, match="is outside"):
            Checkout(clone).data(secret)

    async def test_over_one_another_write_nothing_elsewhere(self, clone: Path, cache: Path, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (clone / "one" / "away").symlink_to("deep")
        folder = task(clone, Piece("workspace", clone / "one"), Piece("workspace/link", "text"), Piece("workspace/away/x", "text"))
        with pytest.raises(TaskError, match="has a file or a link"):
            await prepare(folder, environments.find("python-min"))
        folder = task(clone, Piece("workspace", clone / "one"), Piece("workspace/link", "text"))
        made = await prepare(folder, environments.find("python-min"))
        assert ((made.workspace / "link").read_text(), (made.workspace / "a.txt").read_text()) == ("text", "a\n")
        with pytest.raises(TaskError, match="leads outside"):
            await prepare(task(clone, Piece("workspace/../../x", "text")), environments.find("python-min"))


def task(root: Path, *pieces: Piece) -> Imported:
    made = described("made/task", family="data-science", licence="none", source="a test", summary="x", environment={"name": "python-min"})
    return Imported(made, Checkout(root), {"": "Do it."}, pieces)


async def served(root: Path, workspace: Path) -> dict[str, str]:
    """Return the files that an agent would start from, whose whole workspace is the folder ``one`` of a checkout."""
    folder = task(root, Piece("workspace", root / "one"))
    prepared = await prepare(folder, environments.find("python-min"))
    workspace.mkdir()
    stage(folder, prepared, workspace)
    assert all(path.parent == workspace for path in workspace.rglob("link"))
    return {
        path.relative_to(workspace).as_posix(): path.read_text()
        for path in workspace.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


ROWS = [
    {
        "task_id": f"HumanEval/{number}",
        "prompt": f"def f{number}():\n    '''Return {number}.'''\n",
        "entry_point": f"f{number}",
        "canonical_solution": f"    return {number}\n",
        "test": f"def check(f):\n    assert f() == {number}\n",
    }
    for number in range(3)
]


def save(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


class TestSinceTheImport:
    @pytest.fixture
    def sheet(self, clone: Path, git: Git, cache: Path) -> Path:
        path = clone / "HumanEval.jsonl"
        save(path, ROWS)
        git("add", "-A")
        git("commit", "-qm", "rows")
        return path

    def changes(self) -> dict[str, list[str]]:
        return {each.task.id: each.changes() for each in suites.load("humaneval")}

    def test_nothing_has_changed(self, sheet: Path) -> None:
        report = suites.import_("humaneval", sheet.parent)
        assert report.differing == []
        assert self.changes() == {"humaneval/0": [], "humaneval/1": [], "humaneval/2": []}
        assert find("humaneval/0").changes() == []

    def test_a_later_edit_is_named_where_it_was_made(self, sheet: Path) -> None:
        suites.import_("humaneval", sheet.parent)
        save(sheet, [{**ROWS[0], "test": "def check(f):\n    pass\n"}, *ROWS[1:]])
        changed = {"humaneval/0": ["its files were changed since it was imported"], "humaneval/1": [], "humaneval/2": []}
        assert self.changes() == changed
        save(sheet, ROWS)
        assert not any(self.changes().values())

    def test_a_later_edit_of_what_is_no_clone_is_named_too(self, sheet: Path, tmp_path: Path) -> None:
        alone = tmp_path / "HumanEval.jsonl"
        save(alone, ROWS)
        assert suites.import_("humaneval", alone).record.commit is None
        save(alone, [*ROWS[:2], {**ROWS[2], "prompt": ROWS[2]["prompt"] + " "}])
        assert [name for name, found in self.changes().items() if found] == ["humaneval/2"]

    def test_what_was_dirty_when_it_was_imported_stays_named(self, sheet: Path, git: Git) -> None:
        save(sheet, [{**ROWS[0], "test": "def check(f):\n    pass\n"}, *ROWS[1:]])
        assert suites.import_("humaneval", sheet.parent).differing == ["HumanEval.jsonl"]
        said = f"when it was imported, files were not as in commit {git('rev-parse', 'HEAD')[:12]}: HumanEval.jsonl"
        assert self.changes()["humaneval/0"] == [said]

    def test_another_commit_is_named(self, sheet: Path, git: Git) -> None:
        suites.import_("humaneval", sheet.parent)
        before = git("rev-parse", "HEAD")[:12]
        git("commit", "-q", "--allow-empty", "-m", "next")
        after = git("rev-parse", "HEAD")[:12]
        assert self.changes()["humaneval/1"] == [f"it was imported at commit {before}, and the checkout is at commit {after}"]
        suites.import_("humaneval", sheet.parent)
        assert self.changes()["humaneval/1"] == []

    def test_a_task_that_is_new_is_named(self, sheet: Path) -> None:
        suites.import_("humaneval", sheet.parent)
        save(sheet, [*ROWS, {**ROWS[0], "task_id": "HumanEval/9"}])
        assert self.changes()["humaneval/9"] == ["what it was when the suite was imported is not known"]

    def test_records_of_earlier_versions_are_read_and_told(self, sheet: Path) -> None:
        suites.import_("humaneval", sheet.parent)
        path = Path(os.environ["WORKBENCH_SUITES"])
        record = json.loads(path.read_text())
        del record["humaneval"]["tasks"]
        path.write_text(json.dumps(record))
        assert self.changes()["humaneval/0"] == ["what it was when the suite was imported is not known"]

    def test_what_cannot_be_read_any_more_is_told(self, clone: Path, cache: Path) -> None:
        folder = task(clone, Piece("workspace", clone / "one"))
        folder.known = Known(commit=folder.checkout.commit, content=folder.content())
        assert folder.changes() == []
        os.mkfifo(clone / "one" / "pipe")
        folder.checkout.look_again()
        (said,) = folder.changes()
        assert "one/pipe is neither a file nor a folder, but a named pipe" in said

    def test_a_checkout_that_has_become_a_link_is_not_followed(self, sheet: Path, tmp_path: Path) -> None:
        suites.import_("humaneval", sheet.parent)
        sheet.parent.rename(tmp_path / "moved")
        sheet.parent.symlink_to(tmp_path / "moved")
        with pytest.raises(TaskError, match="is behind a symbolic link now and leads to"):
            suites.load("humaneval")


def test_a_line_names_three_paths() -> None:
    assert listed(["a", "b", "c"]) == "a, b, c"
