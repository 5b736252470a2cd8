"""Definitions: found by name among the built-in ones and the user's, and read strictly."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from pydantic import ValidationError

from workbench.errors import UsageError
from workbench.kernels.definition import Definition, folders, load, locate, lowest_python

GOOD = """
name = "mine"
summary = "for a test"
python = ">=3.11"
packages = ["ipykernel>=7", "Matplotlib_Inline", "sandlock"]
"""


def write(root: Path, name: str, text: str = GOOD) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "environment.toml").write_text(text.replace("mine", name), encoding="utf-8")
    return folder


class TestFolders:
    def test_the_users_own_stand_beside_the_built_in_ones(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        roots = [tmp_path / "one", tmp_path / "two"]
        made = {"mine": write(roots[0], "mine"), "yours": write(roots[1], "yours")}
        monkeypatch.setenv("WORKBENCH_ENVIRONMENTS", os.pathsep.join(map(str, [*roots, "", roots[0], tmp_path / "no-such"])))
        found = folders()
        assert {name: found[name] for name in made} == made
        assert {"python-ds", "python-min"} < set(found)
        assert locate("yours") == made["yours"]

    def test_two_of_one_name_are_an_error_that_names_both(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        mine = write(tmp_path, "python-ds")
        monkeypatch.setenv("WORKBENCH_ENVIRONMENTS", str(tmp_path))
        with pytest.raises(UsageError, match="two environments are called python-ds") as raised:
            folders()
        assert str(mine) in raised.value.message and "sandboxes/python-ds" in raised.value.message

    def test_a_name_that_is_nearly_right_is_suggested(self) -> None:
        with pytest.raises(UsageError) as raised:
            locate("python-dx")
        assert raised.value.hint.startswith("did you mean python-ds? there are: ")

    @pytest.mark.parametrize("name", ["", "\0", "a" * 5000, "no/such/folder"])
    def test_what_is_neither_name_nor_path_is_unknown(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(write(tmp_path, "mine"))
        with pytest.raises(UsageError, match="no environment is called"):
            locate(name)


class TestLoad:
    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("colour = 1", "colour: Extra inputs are not permitted"),
            ("python = 'three'", "TOML"),
            ("system = ['libgomp1; rm -rf /']", "system.0"),
            ("system = ['--purge']", "system.0"),
            ("system = 'libgomp1'", "system: "),
            ("preload = ['numpy', 'import os']", "preload.1"),
            ("preload = ['.numpy']", "preload.0"),
            ("lock = '../other/requirements.lock'", "lock: "),
            ("[limits]\nmemory = 'much'", "limits: .*the limit memory: 'much' is not a size"),
            ("[limits]\nmemories = 2", "limits: .*there is no limit 'memories' .there are: memory, "),
            ("[limits]\nprocesses = 'many'", "limits: .*the limit processes cannot be 'many'"),
            ("[limits]\nprocesses = true", "limits: .*the limit processes cannot be True .give a whole number above 0"),
            ("[limits]\nmemory = '0G'", "limits: .*the limit memory cannot be 0"),
            ("[limits]\nmemory = 1.5", "limits: .*the limit memory cannot be 1.5"),
            ("[limits]\nmemory = [1]", "limits: .*the limit memory cannot be "),
            ("[limits]\ncpus = '1'", "limits: .*the limit cpus cannot be '1' .give a number from 0.01 up"),
            ("limits = 2", "limits: .*must be a table"),
            ("[oops", "is not TOML"),
        ],
    )
    def test_a_mistake_is_told_with_file_and_field(self, tmp_path: Path, line: str, says: str) -> None:
        folder = write(tmp_path, "mine", GOOD + line)
        with pytest.raises(UsageError, match=says) as raised:
            load(folder)
        assert raised.value.message.startswith(str(folder / "environment.toml"))

    @pytest.mark.parametrize(
        ("package", "says"),
        [
            ("numpy @ https://example.org/numpy.whl", "names a place"),
            ("numpy @ file:///tmp/numpy.whl", "names a place"),
            ("./numpy.whl", "is not a package"),
            ("-r requirements.txt", "is not a package"),
            ("--index-url=https://example.org", "is not a package"),
            ("numpy==", "is not a package"),
            ("", "is not a package"),
        ],
    )
    def test_packages_are_names_and_versions(self, tmp_path: Path, package: str, says: str) -> None:
        folder = write(tmp_path, "mine", GOOD.replace('"sandlock"', f'"sandlock", "{package}"'))
        with pytest.raises(UsageError, match=rf"packages\.3: .*{says}"):
            load(folder)

    def test_packages_hold_what_a_kernel_is_started_with(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"packages: .*must hold ipykernel, sandlock too"):
            load(write(tmp_path, "mine", GOOD.replace("ipykernel>=7", "numpy").replace("sandlock", "numpy<3")))

    @pytest.mark.parametrize("python", ["three", "<3", "==2.7.*"])
    def test_some_python_3_must_do(self, tmp_path: Path, python: str) -> None:
        with pytest.raises(UsageError, match="python: "):
            load(write(tmp_path, "mine", GOOD.replace(">=3.11", python)))

    def test_a_folder_without_a_definition_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be read: No such file"):
            load(tmp_path)

    @given(st.text())
    def test_any_file_is_a_definition_or_an_error_that_names_it(self, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
        folder = tmp_path_factory.mktemp("any")
        (folder / "environment.toml").write_text(text, encoding="utf-8", errors="replace")
        with pytest.raises(UsageError, match=r"environment\.toml"):
            load(folder)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.one_of(st.text(), st.integers(), st.lists(st.text()), st.dictionaries(st.text(), st.text()), st.booleans())
            for name in ("name", "packages", "system", "preload", "limits", "lock", "python", "summary", "else")
        },
    )
)
def test_whatever_a_table_holds_it_is_read_or_refused(changes: dict[str, object]) -> None:
    try:
        definition = Definition.model_validate({**tomllib.loads(GOOD), **changes})
    except ValidationError:
        return
    assert definition.packages and lowest_python(definition.python).startswith("3.")


@given(st.integers(8, 20), st.integers(0, 30), st.sampled_from([">=3.{}", "==3.{}.*", ">=3.{}.{}", ">3.{}.{}"]))
def test_the_lowest_python_is_one_it_takes_and_none_is_lower(minor: int, micro: int, form: str) -> None:
    specifier = form.format(minor, micro)
    assert lowest_python(specifier) == f"3.{minor}"
    assert not any(SpecifierSet(specifier).contains(f"3.{minor - 1}.{each}") for each in (0, 50, 99))
