"""What an environment lacks is found without running anything of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from workbench.errors import SandboxError
from workbench.kernels.contents import lacking_modules, lacking_packages, require_system


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site-packages with one distribution, whose code must never run."""
    (tmp_path / "Six_Pack-1.17.0.dist-info").mkdir()
    (tmp_path / "Six_Pack-1.17.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: Six_Pack\nVersion: 1.17.0\n")
    (tmp_path / "pack" / "inner").mkdir(parents=True)
    for file in ("pack/__init__.py", "pack/inner/__init__.py", "pack/inner/deep.py", "single.py"):
        (tmp_path / file).write_text("raise SystemExit('this ran')")
    return tmp_path


def test_packages_that_are_there_are_not_lacking(site: Path) -> None:
    assert lacking_packages(site, ["six-pack", "SIX.pack>=1,<2", "six-pack[extra]", "other; sys_platform == 'atari'"]) == []


def test_packages_that_are_not_are_named_with_what_is(site: Path) -> None:
    assert lacking_packages(site, ["six-pack<1", "other>=2"]) == ["six-pack<1 (it has 1.17.0)", "other>=2"]


def test_modules_are_found_at_any_depth_and_never_imported(site: Path) -> None:
    assert lacking_modules(site, ["pack", "pack.inner", "pack.inner.deep", "single", "json", "xml.etree"]) == []


@pytest.mark.parametrize("name", ["nothing", "pack.nothing", "single.nothing", "pack.inner.deep.nothing", "workbench"])
def test_modules_that_are_not_there_are_named(site: Path, name: str) -> None:
    assert lacking_modules(site, ["pack", name]) == [name]


class TestSystem:
    def test_none_need_no_dpkg(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", None)
        require_system("mine", [])

    def test_without_dpkg_it_says_so_and_what_else_can_be_done(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", lambda _: None)
        with pytest.raises(SandboxError, match=r"needs the Debian packages git, graphviz, and this machine has no dpkg") as raised:
            require_system("mine", ["git", "graphviz"])
        assert "--backend docker" in raised.value.hint

    @pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="there is no dpkg on this machine")
    def test_those_that_are_missing_are_named_with_the_command(self) -> None:
        require_system("mine", ["dpkg"])
        with pytest.raises(SandboxError, match=r"not installed here: no-such-package \(") as raised:
            require_system("mine", ["dpkg", "no-such-package"])
        assert raised.value.hint == "apt-get install no-such-package"

    def test_one_that_was_removed_but_for_its_settings_is_missing(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        query = tmp_path / "dpkg-query"
        query.write_text("#!/bin/sh\nprintf 'git config-files\\ngraphviz installed\\n'\n")
        query.chmod(0o755)
        monkeypatch.setattr(shutil, "which", lambda _: str(query))
        with pytest.raises(SandboxError, match=r"not installed here: git \("):
            require_system("mine", ["git", "graphviz"])
