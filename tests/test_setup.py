"""The scripts that set everything up on a fresh machine."""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from workbench.kernels import authorities

from .kernels.package_index import index, wheel

ROOT = Path(__file__).parents[1]


def venv(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    return subprocess.run(["sh", ROOT / ".ci" / "venv", folder], env=given | environ, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_python_that_is_named_is_taken(tmp_path: Path) -> None:
    assert venv(tmp_path / "v", PYTHON=sys.executable).returncode == 0
    asked = [tmp_path / "v" / "bin" / "python", "-c", "import sys; print(sys.base_prefix)"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() == sys.base_prefix


@pytest.mark.parametrize("named", ["/nowhere/python3.12", "old"])
def test_no_other_is_taken_in_its_place(tmp_path: Path, named: str) -> None:
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = venv(tmp_path / "v", PYTHON=str(tmp_path / named))
    assert done.returncode == 1
    assert f"PYTHON={tmp_path / named} is not a Python 3.11, 3.12 or 3.13" in done.stderr
    assert not (tmp_path / "v").exists()


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Install the uv of a lock, with ``.ci/uv``, from an index that only an authority of the user's own vouches for."""
    authority, server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    assert venv(tmp_path / "v").returncode == 0
    with index(tmp_path, tls=server) as port:
        served = tmp_path / "served" / "simple" / "uv"
        wheel(served, "1.0", name="uv", module="uv")
        digest = hashlib.sha256(next(served.glob("*.whl")).read_bytes()).hexdigest()
        (tmp_path / "requirements.lock").write_text(f"uv==1.0 \\\n    --hash=sha256:{digest}\n")
        # neither this machine's authorities nor its other indexes have a say
        foreign = (*authorities.NAMES, "SSL_CERT_DIR", "CURL_CA_BUNDLE")
        given = {name: value for name, value in os.environ.items() if name not in foreign and not name.startswith(("PIP_", "UV_"))}
        given |= {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": f"https://localhost:{port}/simple",
            "PIP_RETRIES": "0",
            "PIP_NO_CACHE_DIR": "1",
        }

        def install(**environ: str) -> subprocess.CompletedProcess[str]:
            command = ["sh", ROOT / ".ci" / "uv", tmp_path / "v" / "bin" / "python"]
            return subprocess.run(command, env=given | environ, capture_output=True, text=True, check=False, cwd=tmp_path)

        yield install


def test_set_up_behind_an_authority_of_the_users_own(behind: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    refused = behind()
    assert refused.returncode != 0 and "set SSL_CERT_FILE" in refused.stderr
    # what is installed already is not fetched again, so each variable is tried by itself
    for name in authorities.NAMES:
        done = behind(**{name: str(tmp_path / "authority.pem"), "PIP_FORCE_REINSTALL": "1"})
        assert done.returncode == 0, (name, done.stderr)


@pytest.mark.parametrize("name", authorities.NAMES)
def test_uv_is_told_of_the_authority_too(tmp_path: Path, name: str) -> None:
    given = {each: value for each, value in os.environ.items() if each not in authorities.NAMES}
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\necho "$SSL_CERT_FILE"\n')
    uv.chmod(0o755)
    command = ["sh", ROOT / ".ci" / "install", sys.executable, uv]
    told = subprocess.run(command, env=given | {name: "/ours.pem"}, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert set(told.split()) == {"/ours.pem"}
