"""Kernelspecs: what is installed is what is read, and nothing is installed that cannot be."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.kernelspec import KernelSpecManager

from workbench.errors import UsageError
from workbench.kernels import environments, specs
from workbench.kernels.limits import Limits
from workbench.kernels.policy import Policy
from workbench.kernels.provisioners.local import LocalProvisioner


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place that Jupyter looks at, and no other."""
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    return tmp_path


def test_what_is_installed_is_found_again(prefix: Path) -> None:
    mine = prefix / "mine"
    mine.mkdir()
    policy = {"limits": {"memory": "4G"}, "network": ["pypi.org"]}
    first = specs.install(prefix=prefix)
    other = specs.install("python-min", policy=policy, workspace=mine, prefix=prefix)
    assert (first.name, first.display_name, first.workspace) == ("python-sandboxed", "Python (sandboxed)", None)
    assert (other.environment, other.policy, other.workspace) == ("python-min", policy, str(mine))
    assert [each for each in specs.installed() if each.folder.is_relative_to(prefix)] == [first, other]


def test_jupyter_reads_it_and_has_nothing_to_run_without_the_provisioner(prefix: Path) -> None:
    specs.install("python-min", name="tiny", display_name="Tiny", prefix=prefix)
    spec = KernelSpecManager().get_kernel_spec("tiny")
    assert (spec.display_name, spec.interrupt_mode, spec.language, spec.argv) == ("Tiny", "message", "python", [])
    assert spec.metadata["kernel_provisioner"]["provisioner_name"] == "workbench-local"


def test_one_of_the_same_name_is_replaced(prefix: Path) -> None:
    specs.install("python-min", name="one", prefix=prefix)
    specs.install("python-ds", name="one", prefix=prefix)
    assert [each.environment for each in specs.installed() if each.name == "one"] == ["python-ds"]


def test_for_this_user(prefix: Path) -> None:
    made = specs.install("python-min", user=True)
    assert made.folder.is_relative_to(prefix / "data")


def test_kernelspecs_of_others_are_left_out(prefix: Path) -> None:
    for name, text in {"stock": json.dumps({"argv": ["x"], "display_name": "x", "language": "x"}), "broken": "{", "list": "[]"}.items():
        folder = prefix / "share" / "jupyter" / "kernels" / name
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(text)
    assert not {"stock", "broken", "list"} & {each.name for each in specs.installed()}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"environment": "python-none"}, "no environment is called 'python-none'"),
        ({"sandbox": "moon"}, "no sandbox 'moon' is installed"),
        ({"name": "a b"}, "Invalid kernel name 'a b'"),
        ({"policy": {"limits": {"memory": "2X"}}}, "'2X' is not a size"),
        ({"workspace": Path("/no/such/folder")}, "/no/such/folder is no folder"),
        ({"prefix": Path("/proc/nowhere")}, "cannot be written"),
    ],
    ids=["environment", "sandbox", "name", "size", "workspace", "place"],
)
def test_nothing_is_installed_that_cannot_be(prefix: Path, options: dict[str, Any], said: str) -> None:
    before = specs.installed()
    with pytest.raises(UsageError, match=said):
        specs.install(**{"environment": "python-min", "prefix": prefix, **options})
    assert specs.installed() == before


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"hosts": []}, "a policy has no 'hosts'"),
        ({"limits": []}, "limits is"),
        ({"limits": {"memroy": 1}}, "no limit 'memroy'"),
        ({"network": "pypi.org"}, "network is 'pypi.org'"),
        ({"network": [7]}, "network is"),
        ({"gpu": 1}, "gpu is 1"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Policy.parse(table)


words = st.sampled_from(["limits", "network", "gpu", "memory", "cpus", "x"])
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["limits", "network", "gpu", "x"]), json_like))
def test_any_table_is_a_policy_or_a_usage_error(table: dict[str, Any]) -> None:
    try:
        policy = Policy.parse(table)
    except UsageError:
        return
    assert list(policy.network) == list(table.get("network", []))
    assert policy.gpu is table.get("gpu", False)


def test_limits_that_a_kernelspec_leaves_out_are_those_of_the_environment() -> None:
    environment = replace(environments.find("python-min"), limits=Limits(memory=2**28, processes=33))
    said = {"limits": {"processes": 44}, "network": ["pypi.org"]}
    policy = LocalProvisioner(environment=environment, policy=said).policy
    assert (policy.limits.memory, policy.limits.processes, policy.network) == (2**28, 44, ("pypi.org",))


def test_reading_the_words_loads_nothing_heavy() -> None:
    code = "import sys; import workbench.kernels.specs, workbench.kernels.labels; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"docker", "e2b", "pandas", "pyarrow", "litellm", "jupyter_server"} & set(done.stdout.split())
