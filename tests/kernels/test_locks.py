"""Locks: read strictly, compared with what was asked for, and written whole or not at all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import SandboxError, UsageError
from workbench.kernels import installer, locks

HASHES = st.lists(st.text("0123456789abcdef", min_size=64, max_size=64).map("--hash=sha256:{}".format), min_size=1, max_size=3)
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,4})?", fullmatch=True)
VERSIONS = st.lists(st.integers(0, 99), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
MARKERS = st.sampled_from(["", " ; python_full_version >= '3.12'", " ; sys_platform == 'win32'"])
PINS = st.tuples(NAMES, VERSIONS, MARKERS, HASHES)
HASH = "--hash=sha256:" + "a" * 64


class TestParse:
    @given(st.lists(PINS), st.sampled_from([" \\\n    ", " ", " \\\r\n\t"]), st.sampled_from(["", "# made by hand\n", "\n\n"]))
    def test_what_uv_writes_is_read_back(self, pins: list[tuple[str, str, str, list[str]]], between: str, before: str) -> None:
        text = before + "\n".join(between.join([f"{name}=={version}{marker}", *hashes]) for name, version, marker, hashes in pins)
        found = locks.parse(text)
        assert [(pin.name, str(pin.specifier), pin.marker is not None) for pin in found] == [
            (name, f"=={version}", bool(marker)) for name, version, marker, _ in pins
        ]

    @given(st.text())
    def test_anything_else_is_an_error_of_ours_that_names_the_line(self, text: str) -> None:
        try:
            assert all(len(pin.specifier) == 1 for pin in locks.parse(text))
        except UsageError as error:
            assert error.message.startswith("line ")

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("six==1.17.0", "six has no sha256 hash"),
            (f"six==1.17.0 {HASH} --no-deps", "more than hashes"),
            ("six==1.17.0 --hash=md5:" + "a" * 32, "six has no sha256 hash"),
            (f"six {HASH}", "six has no single version"),
            (f"six>=1 {HASH}", "six has no single version"),
            (f"six==1.* {HASH}", "six has no single version"),
            (f"six==1,==2 {HASH}", "six has no single version"),
            ("-e .", "is not a package"),
            ("--index-url https://example.org", "is not a package"),
            (f"six @ https://example.org/six.whl {HASH}", "names a place"),
        ],
    )
    def test_what_does_not_pin_is_refused_with_its_line(self, line: str, says: str) -> None:
        with pytest.raises(UsageError, match=says) as raised:
            locks.parse(f"# a comment\nnumpy==2.4.6 \\\n    {HASH}\n{line}\n")
        assert raised.value.message.startswith("line 4: ")


class TestUnmet:
    LOCK = locks.parse(
        f"""
numpy==2.4.6 ; python_full_version >= '3' {HASH}
numpy==1.0 ; python_full_version < '3' {HASH}
Typing_Extensions==4.0 {HASH}
pywin32==3 ; sys_platform == 'atari' {HASH}
beta==2.0rc1 {HASH}
"""
    )

    @pytest.mark.parametrize(
        "package", ["numpy", "NumPy>=2", "numpy[extra]", "typing-extensions", "beta>=1", "nothing; sys_platform == 'atari'"]
    )
    def test_what_the_lock_holds_for_this_machine_is_met(self, package: str) -> None:
        assert locks.unmet([package], self.LOCK) == []

    @pytest.mark.parametrize(
        ("package", "says"),
        [("numpy<2.4", "the lock has 2.4.6"), ("pywin32", "not in the lock"), ("polars>=1", "not in the lock")],
    )
    def test_what_it_does_not_is_named(self, package: str, says: str) -> None:
        assert locks.unmet([package], self.LOCK) == [f"{package} ({says})"]


class TestResolve:
    def test_a_lock_is_left_alone_where_nothing_is_found(self, tmp_path: Path) -> None:
        lock = tmp_path / "requirements.lock"
        lock.write_text("as it was")
        with pytest.raises(UsageError, match=r"the packages of a test cannot be resolved: Because .*six>=1 and six<1"):
            locks.resolve("the packages of a test", ["six>=1", "six<1"], lock, python="3.11")
        assert [path.name for path in tmp_path.iterdir()] == ["requirements.lock"]
        assert lock.read_text() == "as it was"

    def test_an_index_that_cannot_be_reached_is_not_the_users_fault(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        said = "error: Request failed after 3 retries in 3.5s\n  cause: Failed to fetch: http://127.0.0.1:9/simple/six/\n"
        monkeypatch.setattr(installer, "run", lambda *_, **__: subprocess.CompletedProcess([], 2, "", said))
        with pytest.raises(SandboxError, match=r"Failed to fetch: http://127\.0\.0\.1:9/simple/six/") as raised:
            locks.resolve("the packages of a test", ["six"], tmp_path / "requirements.lock", python="3.11")
        assert "network" in raised.value.hint
        assert list(tmp_path.iterdir()) == []

    def test_a_lock_that_cannot_be_written_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.lock").mkdir()
        with pytest.raises(UsageError, match=r"requirements\.lock cannot be written: Is a directory"):
            locks.resolve("the packages of a test", ["six==1.17.0"], tmp_path / "requirements.lock", python="3.11")
        assert [path.name for path in tmp_path.iterdir()] == ["requirements.lock"]

    def test_a_project_around_it_has_no_say(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "uv.toml").write_text('exclude-newer = "2001-01-01"\n')
        monkeypatch.chdir(tmp_path)
        locks.resolve("the packages of a test", ["six==1.17.0"], tmp_path / "requirements.lock", python="3.11", header="# mine\n")
        text = (tmp_path / "requirements.lock").read_text()
        assert text.startswith("# mine\nsix==1.17.0 ")
        assert [str(pin) for pin in locks.parse(text)] == ["six==1.17.0"]
